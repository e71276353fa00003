//! Values from outside: variables passed through by name, contents of configs and secrets.

use super::interpolate::Environment;
use crate::node::{Node, Value};
use crate::trail::Action;

/// The internal key under which the value of a config or secret travels. It never leaves the crate in text.
pub const CONTENT_KEY: &str = "x-#value";

/// Looks up what a file names without a value, with the variables of that file.
pub fn resolve(top: &mut Node, environment: &Environment) {
    let Some(top) = top.as_map_mut() else { return };
    let services = top.get_mut("services").and_then(Node::as_map_mut);
    for service in services.into_iter().flat_map(|map| map.values_mut()) {
        if let Some(variables) = service.as_map_mut().and_then(|map| map.get_mut("environment")) {
            pass_through(variables, environment);
        }
    }
    for section in ["secrets", "configs"] {
        let resources = top.get_mut(section).and_then(Node::as_map_mut);
        for resource in resources.into_iter().flat_map(|map| map.values_mut()) {
            take_content(resource, environment);
        }
    }
}

/// `- NAME` in a list takes the variable's value.
fn pass_through(variables: &mut Node, environment: &Environment) {
    let Value::List(list) = &mut variables.value else { return };
    for item in list {
        let Value::Text(name) = &mut item.value else { continue };
        if let Some(value) = environment.get(name.as_str()) {
            let before = std::mem::take(name);
            *name = format!("{before}={value}");
            item.trail.push(Action::FromEnvironment, item.span, before);
        }
    }
}

fn take_content(resource: &mut Node, environment: &Environment) {
    let Some(map) = resource.as_map_mut() else { return };
    let Some(name) = map.get("environment") else { return };
    if let Some(value) = name.as_text().and_then(|name| environment.get(name)) {
        let mut node = Node::at(Value::Text(value.clone()), name.span);
        node.trail.push(Action::FromEnvironment, name.span, "");
        map.insert(CONTENT_KEY.to_owned(), node);
    }
}
