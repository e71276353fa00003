//! Short forms to long ones, so that every later stage sees one form only.

use super::merge::started;
use crate::diagnostic::{Diagnostic, NODE_COST, Report};
use crate::node::{Map, Node, Value};
use crate::place::Path;
use crate::scalar::spell;
use crate::source::Span;
use crate::syntax::{path as paths, port, volume};
use crate::trail::Action;

/// How to treat what can't be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// An error.
    Strict,
    /// Left as it is: variables are not replaced, so a short form may not be readable yet.
    Templates,
}

/// Expands every short form of a stack file. Does nothing to what is long already.
pub fn expand(top: &mut Node, mode: Mode, report: &mut Report) {
    let services = top.as_map_mut().and_then(|top| top.get_mut("services"));
    for (name, service) in services.and_then(Node::as_map_mut).into_iter().flatten() {
        let path = Path::TOP.key("services");
        let path = path.key(name);
        for (key, node) in service.as_map_mut().into_iter().flatten() {
            expand_attribute(key, node, mode, &path.key(key), report);
        }
    }
}

/// Expands one attribute of a service.
pub(super) fn expand_attribute(key: &str, node: &mut Node, mode: Mode, path: &Path<'_>, report: &mut Report) {
    match key {
        "build" => build(node, path, mode, report),
        "depends_on" => depends_on(node),
        "env_file" => env_files(node),
        "label_file" => text_to_list(node),
        "dns" => dns(node),
        "extends" => text_to_map(node, "service"),
        "gpus" => gpus(node),
        "networks" | "models" => names_to_map(node),
        "volumes" => items(node, |item, index| volume_item(item, &path.index(index), mode, report)),
        "devices" => items(node, |item, index| device(item, &path.index(index), mode, report)),
        "secrets" | "configs" => items(node, |item, _| text_to_map(item, "source")),
        "ports" => ports(node, path, mode, report),
        "ulimits" => ulimits(node, path, report),
        "develop" => watch(node),
        _ => {}
    }
}

fn items(node: &mut Node, mut each: impl FnMut(&mut Node, usize)) {
    if let Value::List(list) = &mut node.value {
        for (index, item) in list.iter_mut().enumerate() {
            each(item, index);
        }
    }
}

/// A value of the long form that the short form at `at` implies.
fn implied(value: Value, at: Span) -> Node {
    Node::at(value, at)
}

fn text_at(text: impl Into<String>, at: Span) -> Node {
    implied(Value::Text(text.into()), at)
}

fn set_map(node: &mut Node, entries: impl IntoIterator<Item = (&'static str, Node)>) {
    if let Value::Text(short) = &node.value {
        node.trail.push(Action::Expanded, node.span, short.clone());
    }
    node.value = Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
}

fn text_to_map(node: &mut Node, key: &'static str) {
    if matches!(node.value, Value::Text(_)) {
        let value = std::mem::replace(&mut node.value, Value::Null);
        let inner = Node { key: node.span, ..node.with(value) };
        let text = spell(&inner.value);
        node.trail.push(Action::Expanded, node.span, text);
        node.value = Value::Map([(key.to_owned(), inner)].into_iter().collect());
    }
}

fn text_to_list(node: &mut Node) {
    if matches!(node.value, Value::Text(_)) {
        let value = std::mem::replace(&mut node.value, Value::Null);
        let item = node.with(value);
        node.value = Value::List(vec![item]);
    }
}

/// Empty servers, often from an unset variable, are dropped.
fn dns(node: &mut Node) {
    text_to_list(node);
    if let Value::List(list) = &mut node.value {
        list.retain(|item| !(item.is_null() || item.as_text() == Some("")));
    }
}

fn names_to_map(node: &mut Node) {
    if let Value::List(list) = &mut node.value {
        let names = std::mem::take(list).into_iter().filter_map(|item| match item.value {
            Value::Text(name) => Some((name, Node { key: item.span, ..Node::at(Value::Null, item.span) })),
            _ => None,
        });
        node.value = Value::Map(names.collect());
    }
}

fn depends_on(node: &mut Node) {
    match &mut node.value {
        Value::List(list) => {
            let names = std::mem::take(list).into_iter().filter_map(|item| match item.value {
                Value::Text(name) => Some((name, Node { key: item.span, ..started(item.span) })),
                _ => None,
            });
            node.value = Value::Map(names.collect());
        }
        Value::Map(map) => {
            for dependency in map.values_mut() {
                let at = dependency.span;
                let Value::Map(dependency) = &mut dependency.value else { continue };
                let defaults = started(at);
                for (key, value) in defaults.as_map().into_iter().flatten() {
                    dependency.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        _ => {}
    }
}

fn env_files(node: &mut Node) {
    text_to_list(node);
    items(node, |item, _| {
        text_to_map(item, "path");
        let at = item.span;
        if let Value::Map(map) = &mut item.value {
            map.entry("required".to_owned()).or_insert_with(|| implied(Value::Bool(true), at));
        }
    });
}

fn gpus(node: &mut Node) {
    if let Value::Text(all) = &node.value {
        let count = text_at("all", node.span);
        let mut request = node.with(Value::Map([("count".to_owned(), count)].into_iter().collect()));
        request.trail.push(Action::Expanded, node.span, all.clone());
        node.value = Value::List(vec![request]);
    }
}

fn watch(node: &mut Node) {
    let Some(rules) = node.as_map_mut().and_then(|map| map.get_mut("watch")) else { return };
    items(rules, |rule, _| {
        for key in ["ignore", "include"] {
            if let Some(patterns) = rule.as_map_mut().and_then(|map| map.get_mut(key)) {
                text_to_list(patterns);
            }
        }
    });
}

fn volume_item(node: &mut Node, path: &Path<'_>, mode: Mode, report: &mut Report) {
    let Value::Text(short) = &node.value else { return };
    match volume::parse(short) {
        Ok(volume) => {
            let entries = volume_entries(&volume, node.span);
            set_map(node, entries);
        }
        Err(_) if mode == Mode::Templates => {}
        Err(reason) => invalid(node, "invalid-volume", path, &reason, report),
    }
}

fn volume_entries(volume: &volume::Volume, at: Span) -> Vec<(&'static str, Node)> {
    let is_bind = volume.is_bind();
    let mut entries = vec![("type", text_at(if is_bind { "bind" } else { "volume" }, at))];
    if !volume.source.is_empty() {
        entries.push(("source", text_at(&*volume.source, at)));
    }
    if !volume.target.is_empty() {
        entries.push(("target", text_at(paths::clean(&volume.target), at)));
    }
    if volume.read_only {
        entries.push(("read_only", implied(Value::Bool(true), at)));
    }
    let mut bind = Map::new();
    if let Some(selinux) = &volume.selinux {
        bind.insert("selinux".to_owned(), text_at(&**selinux, at));
    }
    if let Some(propagation) = &volume.propagation {
        bind.insert("propagation".to_owned(), text_at(&**propagation, at));
    }
    if is_bind {
        // The short form has always made missing folders.
        bind.insert("create_host_path".to_owned(), implied(Value::Bool(true), at));
    } else {
        let mut named = Map::new();
        if volume.no_copy {
            named.insert("nocopy".to_owned(), implied(Value::Bool(true), at));
        }
        entries.push(("volume", implied(Value::Map(named), at)));
    }
    if is_bind || !bind.is_empty() {
        entries.push(("bind", implied(Value::Map(bind), at)));
    }
    if !volume.options.is_empty() {
        let words = volume.options.iter().map(|option| text_at(&**option, at)).collect();
        entries.push((volume::OPTIONS_KEY, implied(Value::List(words), at)));
    }
    entries
}

fn invalid(node: &mut Node, code: &'static str, path: &Path<'_>, reason: &str, report: &mut Report) {
    let finding = Diagnostic::error(code, format!("`{path}`: {reason}"));
    let template = node.trail.steps().find(|step| step.action == Action::Interpolated);
    let note = template
        .map_or_else(String::new, |step| format!("`{}` becomes `{}`", step.before, spell(&node.value)));
    report.push(finding.label(node.span, note));
    node.value = Value::Broken;
}

fn device(node: &mut Node, path: &Path<'_>, mode: Mode, report: &mut Report) {
    let Value::Text(short) = &node.value else { return };
    let parts: Vec<&str> = short.split(':').collect();
    if parts.len() > 3 && mode == Mode::Strict {
        let reason = "too many colons; use source, target and permissions as keys";
        return invalid(node, "invalid-device", path, reason, report);
    }
    let source = parts[0];
    let target = parts.get(1).copied().filter(|target| !target.is_empty()).unwrap_or(source);
    let permissions = parts.get(2).copied().unwrap_or("rwm");
    let at = node.span;
    let entries = [
        ("source", text_at(source, at)),
        ("target", text_at(target, at)),
        ("permissions", text_at(permissions, at)),
    ];
    set_map(node, entries);
}

fn ports(node: &mut Node, path: &Path<'_>, mode: Mode, report: &mut Report) {
    let Value::List(list) = &mut node.value else { return };
    if mode == Mode::Templates && !list.iter().all(|item| readable_port(&item.value)) {
        return;
    }
    let mut expanded = Vec::with_capacity(list.len());
    for (index, mut item) in std::mem::take(list).into_iter().enumerate() {
        let short = match &item.value {
            Value::Text(_) | Value::Int(_) => spell(&item.value),
            Value::Float(_) | Value::Big(_) => {
                invalid(&mut item, "invalid-port", &path.index(index), "a port is an integer", report);
                continue;
            }
            _ => {
                expanded.push(item);
                continue;
            }
        };
        match port::parse(&short) {
            Ok(ports) if !report.afford(ports.len() * 8 * NODE_COST, item.span) => return,
            Ok(ports) if ports.iter().any(|port| port.target == 0) => {
                invalid(&mut item, "invalid-port", &path.index(index), "there is no port 0", report);
            }
            Ok(ports) => expanded.extend(ports.into_iter().map(|port| {
                let mut node = item.clone();
                set_map(&mut node, port_entries(port, item.span));
                node
            })),
            Err(reason) => {
                invalid(&mut item, "invalid-port", &path.index(index), &reason, report);
                expanded.push(item);
            }
        }
    }
    *list = expanded;
}

fn readable_port(value: &Value) -> bool {
    match value {
        Value::Text(short) => port::parse(short).is_ok(),
        _ => true,
    }
}

fn port_entries(port: port::Port, at: Span) -> Vec<(&'static str, Node)> {
    let mut entries = vec![("mode", text_at("ingress", at))];
    if !port.host_ip.is_empty() {
        entries.push(("host_ip", text_at(port.host_ip, at)));
    }
    entries.push(("target", implied(Value::Int(i64::from(port.target)), at)));
    if !port.published.is_empty() {
        entries.push(("published", text_at(port.published, at)));
    }
    entries.push(("protocol", text_at(port.protocol, at)));
    entries
}

fn ulimits(node: &mut Node, path: &Path<'_>, report: &mut Report) {
    for (name, limit) in node.as_map_mut().into_iter().flatten() {
        if !matches!(limit.value, Value::Int(_) | Value::Map(_) | Value::Broken) {
            let message = format!("`{}` must be an integer or soft and hard", path.key(name));
            report.error("wrong-type", limit.span.or(limit.key), message);
            limit.value = Value::Broken;
        }
        if let Value::Map(sides) = &limit.value
            && !sides.is_empty()
            && !["soft", "hard"].iter().all(|side| sides.contains_key(*side))
        {
            let message = format!("`{}` needs both `soft` and `hard`", path.key(name));
            report.error("missing-key", limit.place(), message);
        }
    }
}

fn build(node: &mut Node, path: &Path<'_>, mode: Mode, report: &mut Report) {
    text_to_map(node, "context");
    for (key, node) in node.as_map_mut().into_iter().flatten() {
        let path = path.key(key);
        match key.as_str() {
            "secrets" => items(node, |item, _| text_to_map(item, "source")),
            "provenance" | "sbom" if !matches!(node.value, Value::Text(_) | Value::Broken) => {
                node.value = Value::Text(spell(&node.value));
            }
            "additional_contexts" => contexts(node, &path, mode, report),
            "ssh" => ssh(node, &path, report),
            "ulimits" => ulimits(node, &path, report),
            _ => {}
        }
    }
}

fn contexts(node: &mut Node, path: &Path<'_>, mode: Mode, report: &mut Report) {
    let Value::List(list) = &mut node.value else { return };
    if mode == Mode::Templates && list.iter().any(|item| item.as_text().is_none_or(|t| !t.contains('='))) {
        return;
    }
    let mut map = Map::new();
    for (index, mut item) in std::mem::take(list).into_iter().enumerate() {
        match item.as_text().and_then(|text| text.split_once('=')) {
            Some((name, context)) => {
                let (name, context) = (name.to_owned(), context.to_owned());
                map.insert(name, Node { key: item.span, ..item.with(Value::Text(context)) });
            }
            None => {
                invalid(&mut item, "invalid-context", &path.index(index), "expected NAME=CONTEXT", report);
            }
        }
    }
    node.value = Value::Map(map);
}

fn ssh(node: &mut Node, path: &Path<'_>, report: &mut Report) {
    let Value::List(list) = &mut node.value else { return };
    let mut map = Map::new();
    for (index, mut item) in std::mem::take(list).into_iter().enumerate() {
        let Some(text) = item.as_text().map(str::to_owned) else { continue };
        let key = item.span;
        match text.split_once('=') {
            Some((id, file)) => {
                map.insert(id.to_owned(), Node { key, ..item.with(Value::Text(file.to_owned())) });
            }
            None if text == "default" => {
                map.insert(text, Node { key, ..item.with(Value::Null) });
            }
            None => {
                let reason = "expected `default` or ID=PATH";
                invalid(&mut item, "invalid-ssh", &path.index(index), reason, report);
            }
        }
    }
    node.value = Value::Map(map);
}

/// `external: {name: X}` is the old way to write `external: true` with `name: X`.
pub(super) fn expand_resource(node: &mut Node, path: &Path<'_>, report: &mut Report) {
    let Some(map) = node.as_map_mut() else { return };
    let Some(external) = map.get_mut("external") else { return };
    if external.as_map().is_none() {
        return;
    }
    let external_at = external.span;
    let Value::Map(old) = std::mem::replace(&mut external.value, Value::Bool(true)) else { return };
    let Some(old_name) = old.get("name").cloned() else { return };
    let message = format!("`{path}`: `external.name` is deprecated");
    report.push(
        Diagnostic::warning("deprecated", message)
            .label(old_name.place(), "")
            .help("write `name` beside `external: true`"),
    );
    match map.get("name") {
        Some(name) if *name != old_name => {
            let finding = Diagnostic::error("conflicting-name", format!("`{path}` has two names"))
                .label(name.span, "one")
                .label(old_name.span.or(external_at), "another");
            report.push(finding.help("keep `name` only"));
        }
        Some(_) => {}
        None => _ = map.insert("name".to_owned(), old_name),
    }
}
