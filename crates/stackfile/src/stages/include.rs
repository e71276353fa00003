//! `include`: another project's services, networks, volumes, read with its own folder and variables.

use super::check::check_shape;
use super::interpolate::Environment;
use super::merge::merge;
use super::reset::Resets;
use crate::diagnostic::Diagnostic;
use crate::loader::{Context, Loader, Opened, VariableOrigin};
use crate::node::{Map, Node, Value};
use crate::place::Path as KeyPath;
use crate::reader::FileKind;
use crate::schema::{INCLUDE, Shape, Site};
use crate::source::Span;
use crate::syntax::path;
use std::path::Path;

/// Deeper includes are refused.
const MAX_DEPTH: usize = 50;

static INCLUDE_SHAPE: Shape = Shape::Record(&INCLUDE);

/// One entry of `include`.
struct Entry {
    paths: Vec<(String, Span)>,
    project_directory: Option<String>,
    env_files: Vec<(String, Span)>,
    at: Span,
}

impl Loader<'_> {
    /// Takes in everything under `include` and removes the key.
    pub(crate) fn apply_include(&mut self, top: &mut Node, resets: &Resets, context: &Context) {
        let Some(include) = top.as_map_mut().and_then(|top| top.shift_remove("include")) else { return };
        let list = match include.value {
            Value::List(list) => list,
            Value::Null | Value::Broken => return,
            other => {
                let message = format!("`include` must be a list, not {}", other.kind());
                self.report.error("wrong-type", include.span.or(include.key), message);
                return;
            }
        };
        for item in list {
            let Some(entry) = self.include_entry(&item) else { continue };
            if let Some(imported) = self.load_include(&entry, context) {
                self.import(imported, top, resets);
            }
        }
    }

    fn include_entry(&mut self, item: &Node) -> Option<Entry> {
        let texts = |node: Option<&Node>| match node {
            Some(node) => match &node.value {
                Value::Text(text) => vec![(text.clone(), node.span)],
                Value::List(list) => {
                    list.iter().filter_map(|n| Some((n.as_text()?.to_owned(), n.span))).collect()
                }
                _ => Vec::new(),
            },
            None => Vec::new(),
        };
        match &item.value {
            Value::Text(text) => Some(Entry {
                paths: vec![(text.clone(), item.span)],
                project_directory: None,
                env_files: Vec::new(),
                at: item.span,
            }),
            Value::Map(map) => {
                let errors = self.report.errors();
                check_shape(item, &INCLUDE_SHAPE, &KeyPath::TOP.key("include"), &mut self.report);
                let directory = map.get("project_directory").and_then(Node::as_text);
                (self.report.errors() == errors).then(|| Entry {
                    paths: texts(map.get("path")),
                    project_directory: directory.filter(|text| !text.is_empty()).map(str::to_owned),
                    env_files: texts(map.get("env_file")),
                    at: item.place(),
                })
            }
            Value::Broken => None,
            other => {
                let message = format!("`include` takes paths or mappings, not {}", other.kind());
                self.report.error("wrong-type", item.span, message);
                None
            }
        }
    }

    fn load_include(&mut self, entry: &Entry, context: &Context) -> Option<Node> {
        let (files, is_remote) = self.open_includes(entry, context)?;
        let first = files.first()?;
        let folder = match &entry.project_directory {
            None => path::parent(&first.path),
            Some(directory) if path::is_absolute(directory) => path::clean(directory),
            Some(directory) => path::join(&context.folder, directory),
        };
        let mut environment = context.environment.clone();
        for (name, value) in self.include_variables(entry, &folder, context)? {
            environment.entry(name).or_insert(value);
        }
        let base = match &entry.project_directory {
            Some(directory) if path::is_absolute(directory) => folder.clone(),
            None if is_remote => folder.clone(),
            _ => path::relative(&context.folder, &folder).unwrap_or_else(|| folder.clone()),
        };
        let inner = Context { folder, base, environment, including: context.including.clone() };
        let bases = std::mem::take(&mut self.bases);
        // Paths of a part are always seen from its own folder, even where those of the whole stay relative.
        let resolve_paths = std::mem::replace(&mut self.options.resolve_paths, true);
        let model = self.load_model(files, &inner);
        self.options.resolve_paths = resolve_paths;
        self.bases = bases;
        model
    }

    /// The files of an entry, and whether the first, which says where relative paths start, was elsewhere.
    fn open_includes(&mut self, entry: &Entry, context: &Context) -> Option<(Vec<Opened>, bool)> {
        let mut files = Vec::with_capacity(entry.paths.len());
        let mut is_remote = false;
        for (index, (name, at)) in entry.paths.iter().enumerate() {
            if context.including.len() > MAX_DEPTH {
                self.report.error("too-deep", *at, format!("includes are nested deeper than {MAX_DEPTH}"));
                return None;
            }
            let found = self.locate(name, &context.folder, *at)?;
            if index == 0 {
                is_remote = found.is_remote;
                if context.including.iter().any(|(file, _)| *file == found.path) {
                    self.include_cycle(&found.path, *at, context);
                    return None;
                }
            }
            let text = self.read_stack_file(&found.path, *at)?;
            files.push(self.open(&found.path, &text, *at)?);
        }
        Some((files, is_remote))
    }

    fn include_cycle(&mut self, full: &str, at: Span, context: &Context) {
        let names: Vec<&str> =
            context.including.iter().map(|(file, _)| self.shown(file)).chain([self.shown(full)]).collect();
        let message = format!("files include each other in a circle: {}", names.join(" -> "));
        let mut finding =
            Diagnostic::error("include-cycle", message).label(at, "back to a file that is open");
        for (_, at) in context.including.iter().rev() {
            finding = finding.label(*at, "included here");
        }
        self.report.push(finding);
    }

    fn include_variables(&mut self, entry: &Entry, folder: &str, context: &Context) -> Option<Environment> {
        let mut files = Vec::new();
        if entry.env_files.is_empty() {
            let default = path::join(folder, ".env");
            if self.reader.kind(Path::new(&default)) == Some(FileKind::File) {
                files.push((default, entry.at));
            }
        }
        for (name, at) in entry.env_files.iter().filter(|(name, _)| name != "/dev/null") {
            let full = match path::is_absolute(name) {
                true => name.clone(),
                false => path::join(&context.folder, name),
            };
            match self.reader.kind(Path::new(&full)) {
                Some(FileKind::File) => files.push((full, *at)),
                Some(FileKind::Folder) => {
                    self.report.error("env-file", *at, format!("the env file {full} is a folder"));
                    return None;
                }
                None => {
                    self.report.error("file-not-found", *at, format!("there is no env file {full}"));
                    return None;
                }
            }
        }
        let variables = self.variables_of(&files, &context.environment)?;
        for (name, value) in &variables {
            if let Some((file, _)) = files.last().filter(|_| !context.environment.contains_key(name)) {
                let origin = VariableOrigin { file: file.clone(), value: value.clone() };
                self.variable_files.entry(name.clone()).or_insert(origin);
            }
        }
        Some(variables)
    }

    /// Adds what was included; what this file says itself wins.
    fn import(&mut self, mut imported: Node, top: &mut Node, resets: &Resets) {
        let Some(target) = top.as_map_mut() else { return };
        for section in ["services", "volumes", "networks", "secrets", "configs", "models"] {
            let Some(from) = imported.as_map_mut().and_then(|map| map.shift_remove(section)) else {
                continue;
            };
            let (span, key) = (from.span, from.key);
            let Value::Map(from) = from.value else { continue };
            let slot = target
                .entry(section.to_owned())
                .or_insert_with(|| Node { key, ..Node::at(Value::Map(Map::new()), span) });
            if slot.is_null() {
                slot.value = Value::Map(Map::new());
            }
            let Some(into) = slot.as_map_mut() else { continue };
            let section_path = KeyPath::TOP.key(section);
            for (name, mut node) in from {
                match into.get_mut(&name) {
                    None => _ = into.insert(name, node),
                    Some(slot) => {
                        resets.apply_below(&[section, &name], &mut node);
                        let own = std::mem::replace(slot, Node::new(Value::Null));
                        let site = Site::TOP.key(section).key(&name);
                        *slot = merge(node, own, site, &section_path.key(&name), &mut self.report);
                    }
                }
            }
        }
    }
}
