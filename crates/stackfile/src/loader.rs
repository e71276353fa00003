//! The pipeline from files to one decoded tree. The stages do the work; this module orders them.

use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Map, Node, Value};
use crate::place::Path as KeyPath;
use crate::reader::FileReader;
use crate::schema::Site;
use crate::source::Span;
use crate::stages::extends::Base;
use crate::stages::interpolate::{Environment, Interpolation};
use crate::stages::paths::Resolver;
use crate::stages::reset::Resets;
use crate::stages::{defaults, environment, values};
use crate::syntax::dotenv::{self, Variables};
use crate::syntax::template;
use crate::yaml;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;

/// Which stages run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Replace variables.
    pub interpolate: bool,
    /// Bring into the normal form.
    pub normalize: bool,
    /// Make paths absolute.
    pub resolve_paths: bool,
    /// Check values against the table.
    pub validate: bool,
    /// Check references between services and resources.
    pub consistency: bool,
    /// Read `env_file` into `environment`.
    pub resolve_environment: bool,
    /// Leave `env_file` and `label_file` out of the result once they are read.
    pub discard_env_files: bool,
    /// Drop networks, volumes, configs, secrets and models that no service in use refers to.
    pub prune: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interpolate: true,
            normalize: true,
            resolve_paths: true,
            validate: true,
            consistency: true,
            resolve_environment: true,
            discard_env_files: true,
            prune: true,
        }
    }
}

/// A variable that a file of variables gave, to the project or to a part that it includes.
#[derive(Clone, Debug)]
pub struct VariableOrigin {
    /// The file.
    pub file: String,
    /// The value.
    pub value: String,
}

/// A file that has been read and parsed.
#[derive(Debug)]
pub(crate) struct Opened {
    pub path: String,
    pub documents: Vec<Node>,
    pub included_at: Span,
}

/// What relative names and variables mean for a set of files.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The folder that files are read from.
    pub folder: String,
    /// The folder that paths in the result start from; for an include, seen from the including project.
    pub base: String,
    pub environment: Environment,
    /// Files being read, outermost first, with the place that included them.
    pub including: Vec<(String, Span)>,
}

/// State of one load.
pub(crate) struct Loader<'a> {
    pub reader: &'a dyn FileReader,
    pub options: Options,
    pub home: Option<String>,
    pub report: Report,
    pub bases: HashMap<String, Base>,
    pub variables: BTreeMap<String, template::Use>,
    pub variable_files: BTreeMap<String, VariableOrigin>,
    /// What files that were elsewhere are called, by where they are now.
    pub names: HashMap<String, String>,
    warned: HashSet<String>,
}

impl std::fmt::Debug for Loader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<'a> Loader<'a> {
    pub(crate) fn new(reader: &'a dyn FileReader, options: Options, home: Option<String>) -> Self {
        Self {
            reader,
            options,
            home,
            report: Report::default(),
            bases: HashMap::new(),
            variables: BTreeMap::new(),
            variable_files: BTreeMap::new(),
            names: HashMap::new(),
            warned: HashSet::new(),
        }
    }

    /// Files of one project, merged, in their long form with defaults, paths resolved.
    pub(crate) fn load_model(&mut self, files: Vec<Opened>, context: &Context) -> Option<Node> {
        let errors = self.report.errors();
        let mut model = Node::new(Value::Map(Map::new()));
        for file in files {
            self.load_file(file, &mut model, context);
        }
        if self.report.errors() > errors {
            return None;
        }
        defaults::set_defaults(&mut model);
        if self.options.validate {
            values::check_values(&model, &mut self.report);
        }
        if self.options.resolve_paths {
            self.resolver(&context.base).run(&mut model);
        }
        environment::resolve(&mut model, &context.environment);
        (self.report.errors() == errors).then_some(model)
    }

    fn load_file(&mut self, file: Opened, model: &mut Node, context: &Context) {
        let mut inner = context.clone();
        inner.including.push((file.path.clone(), file.included_at));
        for (mut top, resets) in self.documents(file.documents, context) {
            self.apply_include(&mut top, &resets, &inner);
            resets.apply(model);
            self.apply_extends(&mut top, &file.path, &resets, &inner);
            self.take_in(model, top, self.options.validate);
            if self.options.validate {
                self.drop_version(model);
            }
        }
    }

    /// A file that services extend: nothing of it is included or checked, only its own values are read.
    pub(crate) fn base_file(&mut self, file: Opened, context: &Context) -> Option<(Node, Resets)> {
        let errors = self.report.errors();
        let mut model = Node::new(Value::Map(Map::new()));
        let mut last = Resets::default();
        for (top, resets) in self.documents(file.documents, context) {
            resets.apply(&mut model);
            self.take_in(&mut model, top, false);
            last = resets;
        }
        (self.report.errors() == errors).then_some((model, last))
    }

    /// Parses a text. `None` when an error was reported.
    pub(crate) fn open(&mut self, path: &str, text: &str, included_at: Span) -> Option<Opened> {
        let shown = self.shown(path).to_owned();
        let file = self.report.sources.add(shown, text);
        let documents = yaml::parse(file, text, &mut self.report)?;
        Some(Opened { path: path.to_owned(), documents, included_at })
    }

    /// Documents with their tags read and their variables replaced.
    fn documents(&mut self, documents: Vec<Node>, context: &Context) -> Vec<(Node, Resets)> {
        let mut out = Vec::with_capacity(documents.len());
        for mut top in documents {
            let resets = Resets::take(&mut top);
            if top.as_map().is_none() {
                let message = format!("a stack file is a mapping, not {}", top.value.kind());
                self.report.error("not-a-mapping", top.span, message);
                continue;
            }
            self.note_variables(&top);
            if self.options.interpolate {
                let mut interpolation = Interpolation {
                    environment: &context.environment,
                    warned: &mut self.warned,
                    report: &mut self.report,
                };
                interpolation.run(&mut top, Site::TOP, &KeyPath::TOP);
            }
            out.push((top, resets));
        }
        out
    }

    fn note_variables(&mut self, node: &Node) {
        match &node.value {
            Value::Text(text) if text.contains('$') => {
                for variable in template::uses(text) {
                    self.variables.entry(variable.name.clone()).or_insert(variable);
                }
            }
            Value::List(list) => list.iter().for_each(|item| self.note_variables(item)),
            Value::Map(map) => map.values().for_each(|node| self.note_variables(node)),
            _ => {}
        }
    }

    fn drop_version(&mut self, model: &mut Node) {
        let Some(version) = model.as_map_mut().and_then(|map| map.shift_remove("version")) else { return };
        let finding = Diagnostic::warning("obsolete-version", "`version` is obsolete and has no effect");
        self.report.push(finding.label(version.place(), "").help("remove it"));
    }

    pub(crate) fn resolver<'b>(&'b self, base: &'b str) -> Resolver<'b> {
        Resolver { base, home: self.home.as_deref(), reader: self.reader }
    }

    /// A file's text; an error at the place that named it when it can't be read.
    pub(crate) fn read_text(&mut self, path: &str, at: Span) -> Option<String> {
        let bytes = self.read(path, at)?;
        yaml::decode_utf8(path, bytes, &mut self.report)
    }

    /// The same of a stack file.
    pub(crate) fn read_stack_file(&mut self, path: &str, at: Span) -> Option<String> {
        let bytes = self.read(path, at)?;
        yaml::decode(path, bytes, &mut self.report)
    }

    fn read(&mut self, path: &str, at: Span) -> Option<Vec<u8>> {
        match self.reader.read(Path::new(path)) {
            Ok(bytes) => self.report.afford(bytes.len() * 4, at).then_some(bytes),
            Err(error) => {
                let message = format!("can't read {path}: {error}");
                self.report.error(unreadable(&error), at, message);
                None
            }
        }
    }

    /// The variables of several files; those of `outer` are seen by templates first.
    pub(crate) fn variables_of(
        &mut self,
        files: &[(String, Span)],
        outer: &Environment,
    ) -> Option<Environment> {
        let mut variables = Variables::new();
        for (path, at) in files {
            let text = self.read_text(path, *at)?;
            let seen = variables.clone();
            let lookup = |name: &str| outer.get(name).or_else(|| seen.get(name)).cloned();
            if let Err(error) = dotenv::parse(&text, &mut variables, &lookup) {
                self.dotenv_error(path, &text, &error, *at);
                return None;
            }
        }
        Some(variables.into_iter().collect())
    }

    /// An error in a file of variables, shown at its line.
    pub(crate) fn dotenv_error(&mut self, path: &str, text: &str, error: &dotenv::DotenvError, at: Span) {
        let file = self.report.sources.add(path, text);
        let span = self.report.sources.line(file, error.line);
        let finding = Diagnostic::error("invalid-env-file", error.reason.clone()).label(span, "");
        self.report.push(finding.label(at, "read from here"));
    }
}

/// The code of an error where a file can't be read.
pub(crate) fn unreadable(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::FileTooLarge { "file-too-large" } else { "file-not-found" }
}
