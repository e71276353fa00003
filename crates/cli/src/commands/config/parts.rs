//! Parts of a stack, a line each, as docker compose prints them.

use std::collections::{BTreeMap, BTreeSet};

use hoist_stackfile::Project;
use hoist_stackfile::canonical::to_yaml;
use hoist_stackfile::node::{Node, Value};
use hoist_stackfile::syntax::template::{self, Use};
use serde_json::json;

use crate::args::{ConfigFormat, ConfigPart};
use crate::error::CommandError;
use crate::{load, table};

/// The part that a flag asks for; none when no flag does.
///
/// # Errors
/// When `--hash` names no service, or the stack can't be lowered for it.
pub(crate) fn of(project: &Project, part: &ConfigPart) -> Result<Option<String>, CommandError> {
    let lines: Vec<String> = if part.profiles {
        profiles(project)
    } else if part.images {
        project.services().map(|(name, service)| image(project, name, service)).collect()
    } else if part.environment {
        project.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()
    } else if let Some(which) = &part.hash {
        hashes(project, which)?
    } else {
        return Ok(named(&project.tree, part));
    };
    Ok(Some(joined(lines)))
}

/// The part that a flag asks for, where names are all it takes.
pub(crate) fn named(tree: &Node, part: &ConfigPart) -> Option<String> {
    let keys = |key: &str| -> Vec<String> {
        let map = tree.get(key).and_then(Node::as_map);
        map.into_iter().flat_map(|map| map.keys().cloned()).collect()
    };
    if part.services {
        Some(joined(in_order(tree, &keys("services"))))
    } else if part.volumes {
        Some(joined(keys("volumes")))
    } else if part.networks {
        Some(joined(keys("networks")))
    } else if part.models {
        let models = tree.get("models").and_then(Node::as_map).into_iter().flatten();
        let names = models.filter_map(|(_, model)| model.get("model")?.as_text());
        Some(joined(names.map(str::to_owned).collect()))
    } else {
        None
    }
}

fn joined(lines: Vec<String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Each service after those it depends on.
fn in_order(tree: &Node, names: &[String]) -> Vec<String> {
    let mut ordered = Vec::with_capacity(names.len());
    let mut seen = BTreeSet::new();
    // Dependencies are pushed above what waits for them; a name is taken when it is met the second time.
    let mut open: Vec<(String, bool)> = names.iter().rev().map(|name| (name.clone(), false)).collect();
    while let Some((name, is_ready)) = open.pop() {
        if is_ready {
            ordered.push(name);
            continue;
        }
        if !names.contains(&name) || !seen.insert(name.clone()) {
            continue;
        }
        let needs = tree.at_path(&["services", &name, "depends_on"]).and_then(Node::as_map);
        let needs: Vec<String> = needs.into_iter().flat_map(|map| map.keys().rev().cloned()).collect();
        open.push((name, true));
        open.extend(needs.into_iter().map(|need| (need, false)));
    }
    ordered
}

fn profiles(project: &Project) -> Vec<String> {
    let services = project.services().map(|(_, node)| node).chain(project.disabled.values());
    let listed = services.filter_map(|service| service.get("profiles")).filter_map(Node::as_list);
    let names: BTreeSet<&str> = listed.flatten().filter_map(Node::as_text).collect();
    names.into_iter().map(str::to_owned).collect()
}

fn image(project: &Project, name: &str, service: &Node) -> String {
    match service.get("image").and_then(Node::as_text) {
        Some(image) => image.to_owned(),
        // As docker compose names what it builds.
        None => format!("{}-{name}", project.name),
    }
}

/// What decides recreation, of one service, of several with commas, or of all (`*`).
fn hashes(project: &Project, which: &str) -> Result<Vec<String>, CommandError> {
    let lowered = load::lower(project)?;
    let line = |(name, service): (&hoist_model::ServiceName, &hoist_model::Service)| {
        format!("{name} {}", service.recreation_hash())
    };
    if which == "*" {
        return Ok(lowered.stack.services.iter().map(line).collect());
    }
    let wanted: BTreeSet<&str> = which.split(',').collect();
    let find = |name: &&str| {
        let found = lowered.stack.services.iter().find(|(service, _)| service.as_str() == *name);
        found.map(line).ok_or_else(|| CommandError::usage(format!("no such service: {name}")))
    };
    wanted.iter().map(find).collect()
}

/// The variables that a model uses, with what their templates say of them.
pub(crate) fn variables(model: &Node, format: Option<ConfigFormat>) -> String {
    let mut found = BTreeMap::new();
    collect(model, &mut found);
    let object = |used: &Use| {
        json!({
            "Name": used.name,
            "DefaultValue": used.default,
            "PresenceValue": used.alternate,
            "Required": used.required,
        })
    };
    let entry = |(name, used): (&String, &Use)| (name.clone(), object(used));
    match format {
        Some(ConfigFormat::Json) => {
            format!("{:#}\n", serde_json::Value::Object(found.iter().map(entry).collect()))
        }
        Some(ConfigFormat::Yaml) => to_yaml(&yaml(&found)),
        None | Some(ConfigFormat::Table) => {
            let heading = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"].map(str::to_owned);
            let row = |used: Use| [used.name, used.required.to_string(), used.default, used.alternate];
            let rows: Vec<_> = std::iter::once(heading).chain(found.into_values().map(row)).collect();
            joined(table::lines(&rows))
        }
    }
}

/// docker compose's YAML has the same keys in small letters.
fn yaml(found: &BTreeMap<String, Use>) -> Node {
    let one = |used: &Use| {
        let entries = [
            ("name", Node::text(&*used.name)),
            ("defaultvalue", Node::text(&*used.default)),
            ("presencevalue", Node::text(&*used.alternate)),
            ("required", Node::new(Value::Bool(used.required))),
        ];
        Node::new(Value::Map(entries.into_iter().map(|(key, node)| (key.to_owned(), node)).collect()))
    };
    Node::new(Value::Map(found.iter().map(|(name, used)| (name.clone(), one(used))).collect()))
}

fn collect(node: &Node, found: &mut BTreeMap<String, Use>) {
    match &node.value {
        Value::Text(text) if text.contains('$') => {
            for used in template::uses(text) {
                found.entry(used.name.clone()).or_insert(used);
            }
        }
        Value::List(list) => list.iter().for_each(|item| collect(item, found)),
        Value::Map(map) => map.values().for_each(|node| collect(node, found)),
        _ => {}
    }
}
