//! Resources that no service in use refers to, dropped.

use super::check::section;
use crate::node::Node;
use std::collections::BTreeSet;

/// Drops unused resources from a decoded project.
pub fn prune(top: &mut Node) {
    for kind in ["networks", "volumes", "secrets", "configs", "models"] {
        let used: BTreeSet<String> =
            section(top, "services").flat_map(|(_, service)| references(service, kind)).collect();
        if let Some(map) = top.as_map_mut()
            && let Some(resources) = map.get_mut(kind).and_then(Node::as_map_mut)
        {
            resources.retain(|name, _| used.contains(name));
            if resources.is_empty() {
                map.shift_remove(kind);
            }
        }
    }
}

/// The names of one kind that a service uses.
fn references(service: &Node, kind: &str) -> Vec<String> {
    let keys = |path: &[&str]| -> Vec<String> {
        service
            .at_path(path)
            .and_then(Node::as_map)
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect()
    };
    let sources = |path: &[&str]| -> Vec<String> {
        let list = service.at_path(path).and_then(Node::as_list).unwrap_or_default();
        list.iter().filter_map(|item| Some(item.get("source")?.as_text()?.to_owned())).collect()
    };
    match kind {
        "networks" | "models" => keys(&[kind]),
        "volumes" => {
            let list = service.get("volumes").and_then(Node::as_list).unwrap_or_default();
            let named = list.iter().filter(|v| v.get("type").and_then(Node::as_text) == Some("volume"));
            named.filter_map(|item| Some(item.get("source")?.as_text()?.to_owned())).collect()
        }
        "secrets" => [sources(&["secrets"]), sources(&["build", "secrets"])].concat(),
        _ => sources(&[kind]),
    }
}
