//! Files of variables and labels that services name: read, merged under what the service says itself.

use crate::diagnostic::Diagnostic;
use crate::loader::Loader;
use crate::node::{Map, Node, Value};
use crate::project::Project;
use crate::source::Span;
use crate::stages::interpolate::Environment;
use crate::syntax::dotenv::{self, Variables};
use crate::trail::Action;
use std::path::Path;

impl Loader<'_> {
    /// Reads the `env_file` and `label_file` of every service in use.
    pub(crate) fn service_files(&mut self, project: &mut Project) {
        let environment = std::mem::take(&mut project.environment);
        let services = project.tree.as_map_mut().and_then(|top| top.get_mut("services"));
        for service in services.and_then(Node::as_map_mut).into_iter().flat_map(|map| map.values_mut()) {
            let Some(service) = service.as_map_mut() else { continue };
            if self.options.resolve_environment {
                self.read_env_files(service, &environment);
            }
            self.read_label_files(service);
        }
        project.environment = environment;
    }

    fn read_env_files(&mut self, service: &mut Map, environment: &Environment) {
        let mut own = take_map(service, "environment");
        for (name, node) in &mut own {
            if let Some(value) = environment.get(name).filter(|_| node.is_null()) {
                node.trail.push(Action::FromEnvironment, node.place(), "");
                node.value = Value::Text(value.clone());
            }
        }
        let mut variables: Variables =
            own.iter().filter_map(|(name, node)| Some((name.clone(), node.as_text()?.to_owned()))).collect();
        let mut origins: Vec<(String, Span, String)> = Vec::new();
        let files = service.get("env_file").and_then(Node::as_list).unwrap_or_default().to_vec();
        for file in &files {
            let before = variables.clone();
            let text = self.read_env_file(file, &mut variables, environment, &own).unwrap_or_default();
            let path = file.get("path").and_then(Node::as_text).unwrap_or_default();
            let changed = variables.iter().filter(|(name, value)| before.get(*name) != Some(*value));
            origins.extend(changed.map(|(name, _)| {
                (name.clone(), file.span, format!("{path}:{}", dotenv::line_of(&text, name)))
            }));
        }
        let mut merged = Map::new();
        for (name, value) in variables {
            let mut node = Node::text(value);
            if let Some((_, at, origin)) = origins.iter().rev().find(|(origin, ..)| *origin == name) {
                node.trail.push(Action::FromFile, *at, origin.as_str());
            }
            merged.insert(name, node);
        }
        merged.extend(own);
        merged.sort_unstable_keys();
        if !merged.is_empty() {
            put_map(service, "environment", merged);
        }
        if self.options.discard_env_files {
            service.shift_remove("env_file");
        }
    }

    /// Reads one file; gives its text.
    fn read_env_file(
        &mut self,
        file: &Node,
        variables: &mut Variables,
        outer: &Environment,
        own: &Map,
    ) -> Option<String> {
        let required = file.get("required").is_none_or(|node| node.value != Value::Bool(false));
        let Some(path) = file.get("path").and_then(Node::as_text) else {
            if required {
                let finding = Diagnostic::error("file-not-found", "an env file has an empty name");
                self.report.push(finding.label(file.span, "").help("name it, or leave the entry out"));
            }
            return None;
        };
        let at = file.get("path").map_or(file.span, |node| node.span);
        if self.reader.kind(Path::new(path)).is_none() {
            if required {
                let finding = Diagnostic::error("file-not-found", format!("there is no env file {path}"));
                let help = "create it, or write it as a mapping with `required: false`";
                self.report.push(finding.label(at, "").help(help));
            }
            return None;
        }
        let text = self.read_text(path, at)?;
        let lookup = |name: &str| {
            let own = || own.get(name).and_then(Node::as_text).map(str::to_owned);
            outer.get(name).cloned().or_else(own)
        };
        let result = match file.get("format").and_then(Node::as_text) {
            None => dotenv::parse(&text, variables, &lookup),
            Some("raw") => dotenv::parse_raw(&text, variables, &lookup),
            Some(other) => {
                let message = format!("unknown env file format `{other}`: only `raw` is known");
                self.report.error("invalid-value", at, message);
                return None;
            }
        };
        if let Err(error) = result {
            self.dotenv_error(path, &text, &error, at);
        }
        Some(text)
    }

    fn read_label_files(&mut self, service: &mut Map) {
        let files = service.get("label_file").and_then(Node::as_list).unwrap_or_default().to_vec();
        let mut labels = Variables::new();
        for file in &files {
            let Some(path) = file.as_text() else { continue };
            if self.reader.kind(Path::new(path)).is_none() {
                let message = format!("there is no label file {path}");
                self.report.error("file-not-found", file.span, message);
                continue;
            }
            let Some(text) = self.read_text(path, file.span) else { continue };
            let known = labels.clone();
            let lookup = |name: &str| known.get(name).cloned();
            let mut read = Variables::new();
            if let Err(error) = dotenv::parse(&text, &mut read, &lookup) {
                self.dotenv_error(path, &text, &error, file.span);
            }
            labels.extend(read);
        }
        if !labels.is_empty() {
            let own = take_map(service, "labels");
            let mut merged: Map = labels
                .into_iter()
                .map(|(name, value)| {
                    let mut node = Node::text(value);
                    node.trail.push(Action::FromFile, files[0].span, files[0].as_text().unwrap_or_default());
                    (name, node)
                })
                .collect();
            merged.extend(own);
            merged.sort_unstable_keys();
            put_map(service, "labels", merged);
        }
        if self.options.discard_env_files {
            service.shift_remove("label_file");
        }
    }
}

fn take_map(service: &mut Map, key: &str) -> Map {
    match service.get_mut(key).map(|node| &mut node.value) {
        Some(Value::Map(map)) => std::mem::take(map),
        _ => Map::new(),
    }
}

/// Puts a mapping back where it was taken from.
fn put_map(service: &mut Map, key: &str, map: Map) {
    let slot = service.entry(key.to_owned()).or_insert_with(|| Node::new(Value::Null));
    slot.value = Value::Map(map);
}
