//! The form all tools agree on: the default network, implied dependencies, names of resources.

use super::defaults::default;
use super::interpolate::Environment;
use crate::node::{Map, Node, Value};
use crate::source::Span;
use crate::syntax::path;
use crate::trail::Action;

/// Normalises a stack file in its long form.
pub fn normalize(top: &mut Node, project: &str, environment: &Environment) {
    let Some(top) = top.as_map_mut() else { return };
    default_network(top);
    for service in values(top, "services") {
        let Some(map) = service.as_map_mut() else { continue };
        normalize_service(map, environment);
    }
    name_resources(top, project);
}

fn values<'a>(top: &'a mut Map, section: &str) -> impl Iterator<Item = &'a mut Node> {
    top.get_mut(section).and_then(Node::as_map_mut).into_iter().flat_map(|map| map.values_mut())
}

/// A value that follows from a rule, because of what stands at `at`.
fn implied(value: Value, at: Span) -> Node {
    let mut node = Node::new(value);
    node.trail.push(Action::Defaulted, at, "");
    node
}

fn default_network(top: &mut Map) {
    let mut used = Span::NONE;
    let mut is_used = false;
    for service in values(top, "services") {
        let place = service.place();
        let Some(map) = service.as_map_mut() else { continue };
        if map.contains_key("provider") || map.contains_key("network_mode") {
            continue;
        }
        let networks = map.get("networks").and_then(Node::as_map).filter(|map| !map.is_empty());
        let on_default = match networks {
            Some(networks) => networks.contains_key("default"),
            None => {
                let only = [("default".to_owned(), implied(Value::Null, place))].into_iter().collect();
                map.insert("networks".to_owned(), implied(Value::Map(only), place));
                true
            }
        };
        if on_default && !is_used {
            (is_used, used) = (true, place);
        }
    }
    if is_used {
        let networks =
            top.entry("networks".to_owned()).or_insert_with(|| implied(Value::Map(Map::new()), used));
        if networks.is_null() {
            networks.value = Value::Map(Map::new());
        }
        if let Some(networks) = networks.as_map_mut()
            && !networks.contains_key("default")
        {
            networks.insert("default".to_owned(), implied(Value::Null, used));
        }
    }
}

fn normalize_service(service: &mut Map, environment: &Environment) {
    if let Some(policy) = service.get_mut("pull_policy")
        && policy.as_text() == Some("if_not_present")
    {
        policy.trail.push(Action::Expanded, policy.span, "if_not_present");
        policy.value = Value::Text("missing".to_owned());
    }
    if let Some(build) = service.get_mut("build") {
        normalize_build(build, environment);
    }
    if let Some(variables) = service.get_mut("environment") {
        look_up(variables, environment, true);
    }
    for volume in service.get_mut("volumes").into_iter().flat_map(list_mut) {
        if let Some(target) = volume.as_map_mut().and_then(|map| map.get_mut("target"))
            && let Value::Text(text) = &mut target.value
        {
            *text = path::clean(text);
        }
    }
    implied_dependencies(service);
    hook_images(service);
}

fn list_mut(node: &mut Node) -> std::slice::IterMut<'_, Node> {
    match &mut node.value {
        Value::List(list) => list.iter_mut(),
        _ => [].iter_mut(),
    }
}

fn normalize_build(build: &mut Node, environment: &Environment) {
    default(build, "context", || Value::Text(".".to_owned()));
    if build.get("dockerfile").is_none() && build.get("dockerfile_inline").is_none() {
        default(build, "dockerfile", || Value::Text("Dockerfile".to_owned()));
    }
    if let Some(args) = build.as_map_mut().and_then(|map| map.get_mut("args")) {
        look_up(args, environment, false);
    }
}

/// Variables without a value take the one of the environment; without one they stay or go.
fn look_up(variables: &mut Node, environment: &Environment, keep: bool) {
    match &mut variables.value {
        Value::List(list) => list.retain_mut(|item| {
            let Value::Text(text) = &mut item.value else { return true };
            if text.contains('=') {
                return true;
            }
            match environment.get(text.as_str()) {
                Some(value) => {
                    let name = std::mem::take(text);
                    *text = format!("{name}={value}");
                    item.trail.push(Action::FromEnvironment, item.span, name);
                    true
                }
                None => keep,
            }
        }),
        Value::Map(map) => map.retain(|name, node| {
            if !node.is_null() {
                return true;
            }
            match environment.get(name.as_str()) {
                Some(value) => {
                    node.value = Value::Text(value.clone());
                    node.trail.push(Action::FromEnvironment, node.key, "");
                    true
                }
                None => keep,
            }
        }),
        _ => {}
    }
}

/// Links, shared namespaces and shared volumes need the other service.
fn implied_dependencies(service: &mut Map) {
    let mut wanted: Vec<(String, bool, Span)> = Vec::new();
    for link in service.get("links").and_then(Node::as_list).into_iter().flatten() {
        let Some(text) = link.as_text() else { continue };
        let name = match text.split_once(':') {
            Some((name, alias)) if !alias.contains(':') => name,
            _ => text,
        };
        wanted.push((name.to_owned(), true, link.span));
    }
    for namespace in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        let Some(node) = service.get(namespace) else { continue };
        if let Some(name) = node.as_text().and_then(|text| text.strip_prefix("service:")) {
            wanted.push((name.to_owned(), true, node.span));
        }
    }
    for source in service.get("volumes_from").and_then(Node::as_list).into_iter().flatten() {
        let Some(text) = source.as_text().filter(|text| !text.starts_with("container:")) else { continue };
        let name = text.split(':').next().unwrap_or_default();
        wanted.push((name.to_owned(), false, source.span));
    }
    if wanted.is_empty() {
        return;
    }
    let at = wanted[0].2;
    let dependencies =
        service.entry("depends_on".to_owned()).or_insert_with(|| implied(Value::Map(Map::new()), at));
    let Some(map) = dependencies.as_map_mut() else { return };
    for (name, restart, at) in wanted {
        map.entry(name).or_insert_with(|| dependency(restart, at));
    }
}

fn dependency(restart: bool, at: Span) -> Node {
    let entries = [
        ("condition".to_owned(), implied(Value::Text("service_started".to_owned()), at)),
        ("restart".to_owned(), implied(Value::Bool(restart), at)),
        ("required".to_owned(), implied(Value::Bool(true), at)),
    ];
    Node { key: at, ..implied(Value::Map(entries.into_iter().collect()), at) }
}

/// A `pre_start` step runs the service's image unless it names one.
fn hook_images(service: &mut Map) {
    let Some(image) = service.get("image").filter(|image| image.as_text().is_some_and(|t| !t.is_empty()))
    else {
        return;
    };
    let image = image.clone();
    for hook in service.get_mut("pre_start").into_iter().flat_map(list_mut) {
        if let Some(map) = hook.as_map_mut() {
            map.entry("image".to_owned()).or_insert_with(|| implied(image.value.clone(), image.span));
        }
    }
}

/// Resources without a name are named by project and key; external ones by key.
fn name_resources(top: &mut Map, project: &str) {
    for section in ["networks", "volumes", "configs", "secrets"] {
        let Some(resources) = top.get_mut(section).and_then(Node::as_map_mut) else { continue };
        for (key, resource) in resources {
            let place = resource.place();
            if resource.is_null() {
                resource.value = Value::Map(Map::new());
            }
            let Some(map) = resource.as_map_mut() else { continue };
            if map.get("name").is_some_and(|name| !name.is_null()) {
                continue;
            }
            let external = map.get("external").is_some_and(|node| node.value == Value::Bool(true));
            let name = if external { key.clone() } else { format!("{project}_{key}") };
            map.insert("name".to_owned(), implied(Value::Text(name), place));
        }
    }
}
