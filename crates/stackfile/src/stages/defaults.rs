//! Values that nobody wrote: the defaults of the Compose specification.

use crate::node::{Map, Node, Value};
use crate::trail::Action;

/// Fills in defaults.
pub fn set_defaults(top: &mut Node) {
    let services = top.as_map_mut().and_then(|top| top.get_mut("services"));
    for service in services.and_then(Node::as_map_mut).into_iter().flat_map(|map| map.values_mut()) {
        let Some(service) = service.as_map_mut() else { continue };
        for (key, node) in service.iter_mut() {
            match key.as_str() {
                "build" => default_text(node, "context", "."),
                "secrets" => each(node, secret),
                "ports" => each(node, |port| {
                    default_text(port, "protocol", "tcp");
                    default_text(port, "mode", "ingress");
                }),
                "gpus" => each(node, device_request),
                "deploy" => {
                    if let Some(devices) = descend(node, &["resources", "reservations", "devices"]) {
                        each(devices, device_request);
                    }
                }
                "volumes" => each(node, |volume| {
                    if let Some(bind) = descend(volume, &["bind"]) {
                        default(bind, "create_host_path", || Value::Bool(true));
                    }
                }),
                _ => {}
            }
        }
    }
}

fn each(node: &mut Node, act: impl FnMut(&mut Node)) {
    if let Value::List(list) = &mut node.value {
        list.iter_mut().for_each(act);
    }
}

fn descend<'a>(node: &'a mut Node, path: &[&str]) -> Option<&'a mut Node> {
    path.iter().try_fold(node, |node, key| node.as_map_mut()?.get_mut(*key))
}

/// Sets a key that is not there.
pub(super) fn default(node: &mut Node, key: &str, value: impl FnOnce() -> Value) {
    let at = node.span;
    if let Some(map) = node.as_map_mut() {
        default_in(map, key, || {
            let mut node = Node::new(value());
            node.trail.push(Action::Defaulted, at, "");
            node
        });
    }
}

pub(super) fn default_in(map: &mut Map, key: &str, node: impl FnOnce() -> Node) {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), node());
    }
}

fn default_text(node: &mut Node, key: &str, text: &str) {
    default(node, key, || Value::Text(text.to_owned()));
}

fn secret(secret: &mut Node) {
    let source = secret.get("source").map(|source| crate::scalar::spell(&source.value));
    if let Some(source) = source {
        default(secret, "target", || Value::Text(format!("/run/secrets/{source}")));
    }
}

fn device_request(request: &mut Node) {
    if request.get("count").is_none() && request.get("device_ids").is_none() {
        default_text(request, "count", "all");
    }
}
