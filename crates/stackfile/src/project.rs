//! Loading a project: from what the command line knows to services with everything resolved.

use crate::canonical::{self, Dialect};
use crate::diagnostic::Diagnostic;
use crate::loader::{Context, Loader, Opened, Options, VariableOrigin};
use crate::name;
use crate::node::{Map, Node, Value};
use crate::reader::{FileKind, FileReader};
use crate::source::{SourceMap, Span};
use crate::stages::interpolate::Environment;
use crate::stages::{consistency, decode, normalize, prune};
use crate::syntax::path;
use crate::syntax::remote::{Remote, redacted};
use crate::syntax::template::Use;
use crate::yaml;
use std::collections::BTreeMap;
use std::path::Path;

/// One stack file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path, absolute; `-` for standard input; the name of one that is elsewhere.
    pub path: String,
    /// Its text, when the caller has it already.
    pub text: Option<String>,
}

/// Everything a load starts from. The library reads neither the process's environment nor the home folder.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The files, later ones over earlier ones.
    pub files: Vec<Source>,
    /// The folder that relative paths start from, absolute. Usually the folder of the first file.
    pub project_dir: String,
    /// The folder the process runs in; stands for `PWD` where the environment has none, as in a shell.
    pub working_dir: String,
    /// The process's environment.
    pub environment: Environment,
    /// Files of variables in place of the project folder's `.env`.
    pub env_files: Vec<String>,
    /// Whether to read no `.env`.
    pub no_default_env_file: bool,
    /// Active profiles; `*` for all. When empty, `COMPOSE_PROFILES` counts.
    pub profiles: Vec<String>,
    /// The project's name, when it was given from outside. Else `COMPOSE_PROJECT_NAME` counts.
    pub project_name: Option<String>,
    /// Whether the name of the project folder stands in for a missing name.
    pub name_from_folder: bool,
    /// Another folder whose name stands in: where the command was given, when the stack file is elsewhere.
    pub name_folder: Option<String>,
    /// The home folder, for `~`.
    pub home: Option<String>,
    /// Services to keep, with their dependencies; all when empty.
    pub services: Vec<String>,
    /// Which stages run.
    pub options: Options,
}

/// A project: everything the files say, in canonical form, with places and history.
#[derive(Debug)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// The folder that relative paths started from.
    pub directory: String,
    /// The decoded tree.
    pub tree: Node,
    /// Services outside the active profiles or the selection.
    pub disabled: Map,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// The variables that templates saw.
    pub environment: Environment,
    /// The file of variables that each variable came from, where one did.
    pub variable_files: BTreeMap<String, VariableOrigin>,
    /// The variables that templates use.
    pub variables: BTreeMap<String, Use>,
    /// The texts that places point into.
    pub sources: SourceMap,
    /// The files given.
    pub files: Vec<String>,
}

/// A project and what should be said about it.
#[derive(Debug)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}

/// Loads a project.
///
/// # Errors
/// All errors found, with warnings after them.
pub fn load(sources: &Sources, reader: &dyn FileReader) -> Result<Loaded, Vec<Diagnostic>> {
    let mut loader = Loader::new(reader, sources.options, sources.home.clone());
    match load_with(sources, &mut loader) {
        Some(mut project) if loader.report.errors() == 0 => {
            let report = std::mem::take(&mut loader.report);
            let warnings = report.findings().to_vec();
            project.sources = report.sources;
            project.variables = std::mem::take(&mut loader.variables);
            Ok(Loaded { project, warnings })
        }
        _ => Err(loader.report.into_findings()),
    }
}

/// The model in its long form, before it is decoded: what `config --no-interpolate` shows.
///
/// # Errors
/// All errors found.
pub fn load_model(sources: &Sources, reader: &dyn FileReader) -> Result<Node, Vec<Diagnostic>> {
    let mut loader = Loader::new(reader, sources.options, sources.home.clone());
    let model = Setup::new(sources, &mut loader).and_then(|mut setup| setup.model(sources, &mut loader));
    match model {
        Some(model) if loader.report.errors() == 0 => Ok(model),
        _ => Err(loader.report.into_findings()),
    }
}

/// What is known before the files are merged.
struct Setup {
    files: Vec<Opened>,
    name: String,
    environment: Environment,
}

impl Setup {
    fn new(sources: &Sources, loader: &mut Loader<'_>) -> Option<Self> {
        if sources.files.is_empty() {
            loader.report.push(Diagnostic::error("no-file", "no stack file given"));
            return None;
        }
        let mut environment = environment(sources, loader)?;
        let files = open(sources, loader)?;
        let name = name::project_name(sources, &files, &environment, loader)?;
        environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
        Some(Self { files, name, environment })
    }

    /// Files merged and normalised.
    fn model(&mut self, sources: &Sources, loader: &mut Loader<'_>) -> Option<Node> {
        let folder = match sources.project_dir.as_str() {
            "" => String::new(),
            folder => path::clean(folder),
        };
        let context = Context {
            base: folder.clone(),
            folder,
            environment: self.environment.clone(),
            including: Vec::new(),
        };
        let mut model = loader.load_model(std::mem::take(&mut self.files), &context)?;
        if model.as_map().is_none_or(|map| map.is_empty()) {
            loader.report.push(Diagnostic::error("empty-file", "the stack file is empty"));
            return None;
        }
        if sources.options.validate && self.name.is_empty() {
            let finding = Diagnostic::error("no-project-name", "the project has no name");
            loader
                .report
                .push(finding.help("give it a `name`, or use a folder whose name has letters or digits"));
            return None;
        }
        if sources.options.normalize {
            normalize::normalize(&mut model, &self.name, &self.environment);
        }
        if let Some(map) = model.as_map_mut() {
            let mut name = Node::text(self.name.clone());
            if let Some(written) = map.get("name") {
                (name.span, name.key) = (written.span, written.key);
            }
            map.insert("name".to_owned(), name);
        }
        Some(model)
    }
}

fn load_with(sources: &Sources, loader: &mut Loader<'_>) -> Option<Project> {
    let mut setup = Setup::new(sources, loader)?;
    let model = setup.model(sources, loader)?;
    let errors = loader.report.errors();
    let tree = decode::decode(model, &mut loader.report);
    if loader.report.errors() > errors {
        return None;
    }
    let profiles = profiles(sources, &setup.environment);
    let mut project = Project {
        name: setup.name,
        directory: sources.project_dir.clone(),
        tree,
        disabled: Map::new(),
        profiles,
        environment: setup.environment,
        variable_files: std::mem::take(&mut loader.variable_files),
        variables: BTreeMap::new(),
        sources: SourceMap::default(),
        files: sources.files.iter().map(|file| redacted(&file.path)).collect(),
    };
    project.apply_profiles();
    if sources.options.consistency {
        consistency::check_consistency(&project.tree, &project.disabled, &mut loader.report);
    }
    project.agree_on_scale();
    if !sources.services.is_empty() {
        project.select(&sources.services, loader);
    }
    if sources.options.prune {
        prune::prune(&mut project.tree);
    }
    if loader.report.errors() == errors {
        loader.service_files(&mut project);
    }
    Some(project)
}

fn profiles(sources: &Sources, environment: &Environment) -> Vec<String> {
    if !sources.profiles.is_empty() {
        return sources.profiles.clone();
    }
    let listed = environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    // Where nothing is listed, an empty profile is what a variable without a value leaves: such a service runs.
    listed.split(',').map(|name| name.trim().to_owned()).collect()
}

/// The process's environment over the variables of files.
fn environment(sources: &Sources, loader: &mut Loader<'_>) -> Option<Environment> {
    let mut files: Vec<(String, Span)> =
        sources.env_files.iter().map(|file| (file.clone(), Span::NONE)).collect();
    if files.is_empty() && !sources.no_default_env_file {
        let default = path::join(&sources.project_dir, ".env");
        if loader.reader.kind(Path::new(&default)) == Some(FileKind::File) {
            files.push((default, Span::NONE));
        }
    }
    let mut environment = sources.environment.clone();
    for (name, value) in loader.variables_of(&files, &sources.environment)? {
        if let (false, Some((file, _))) = (environment.contains_key(&name), files.last()) {
            let origin = VariableOrigin { file: file.clone(), value: value.clone() };
            loader.variable_files.insert(name.clone(), origin);
        }
        environment.entry(name).or_insert(value);
    }
    if !sources.working_dir.is_empty() {
        environment.entry("PWD".to_owned()).or_insert_with(|| sources.working_dir.clone());
    }
    Some(environment)
}

fn open(sources: &Sources, loader: &mut Loader<'_>) -> Option<Vec<Opened>> {
    let errors = loader.report.errors();
    let mut files = Vec::with_capacity(sources.files.len());
    for file in &sources.files {
        let opened = match &file.text {
            Some(text) => yaml::decode_utf8(&file.path, text.clone().into_bytes(), &mut loader.report)
                .and_then(|text| loader.open(&file.path, &text, Span::NONE)),
            None => place(file, loader).and_then(|path| {
                let text = loader.read_stack_file(&path, Span::NONE)?;
                loader.open(&path, &text, Span::NONE)
            }),
        };
        files.extend(opened);
    }
    (loader.report.errors() == errors).then_some(files)
}

/// Where a stack file is on this machine.
fn place(file: &Source, loader: &mut Loader<'_>) -> Option<String> {
    if !Remote::is_remote(&file.path) {
        return Some(file.path.clone());
    }
    loader.locate(&file.path, "", Span::NONE).map(|found| found.path)
}

impl Project {
    /// The services in use.
    pub fn services(&self) -> impl Iterator<Item = (&str, &Node)> {
        let services = self.tree.get("services").and_then(Node::as_map);
        services.into_iter().flatten().map(|(name, node)| (name.as_str(), node))
    }

    fn services_mut(&mut self) -> Option<&mut Map> {
        self.tree.as_map_mut()?.get_mut("services")?.as_map_mut()
    }

    /// The canonical form.
    #[must_use]
    pub fn canonical(&self, dialect: Dialect) -> Node {
        canonical::render(&self.tree, dialect)
    }

    /// Moves services outside the active profiles aside.
    fn apply_profiles(&mut self) {
        let active = std::mem::take(&mut self.profiles);
        let disabled = std::mem::take(&mut self.disabled);
        if let Some(services) = self.services_mut() {
            services.extend(disabled);
            services.sort_unstable_keys();
            let is_active = |service: &Node| has_profile(service, &active);
            let (on, off): (Map, Map) = std::mem::take(services).into_iter().partition(|(_, s)| is_active(s));
            *services = on;
            self.disabled = off;
        }
        self.profiles = active;
    }

    /// `scale` is the short way to say `deploy.replicas`; where `deploy` is given, both say it.
    fn agree_on_scale(&mut self) {
        for service in self.services_mut().into_iter().flat_map(|map| map.values_mut()) {
            let Some(scale) = service.get("scale").cloned() else { continue };
            let deploy = service.as_map_mut().and_then(|map| map.get_mut("deploy"));
            if let Some(deploy) = deploy.and_then(Node::as_map_mut) {
                deploy.entry("replicas".to_owned()).or_insert(scale);
            }
        }
    }

    /// Keeps some services and what they depend on. Naming a service activates its profiles.
    fn select(&mut self, names: &[String], loader: &mut Loader<'_>) {
        for name in names {
            if let Some(service) = self.disabled.get(name) {
                let own = service.get("profiles").and_then(Node::as_list).unwrap_or_default();
                self.profiles.extend(own.iter().filter_map(Node::as_text).map(str::to_owned));
            }
        }
        self.apply_profiles();
        let mut kept: Vec<String> = Vec::new();
        let mut open: Vec<String> = names.to_vec();
        while let Some(name) = open.pop() {
            if kept.contains(&name) {
                continue;
            }
            let Some(service) = self.tree.at_path(&["services", &name]) else {
                let message = format!("no such service: {name}");
                loader.report.push(Diagnostic::error("unknown-service", message));
                return;
            };
            let needs = service.get("depends_on").and_then(Node::as_map).into_iter().flatten();
            open.extend(needs.filter(|(need, node)| self.needs(need, node)).map(|(need, _)| need.clone()));
            kept.push(name);
        }
        let Some(services) = self.services_mut() else { return };
        let (on, off): (Map, Map) =
            std::mem::take(services).into_iter().partition(|(name, _)| kept.contains(name));
        *services = on;
        self.disabled.extend(off);
    }

    fn needs(&self, name: &str, dependency: &Node) -> bool {
        let optional = dependency.get("required").is_some_and(|node| node.value == Value::Bool(false));
        !optional || self.tree.at_path(&["services", name]).is_some()
    }
}

/// Whether a service runs with these profiles.
fn has_profile(service: &Node, active: &[String]) -> bool {
    let own = service.get("profiles").and_then(Node::as_list).unwrap_or_default();
    own.is_empty()
        || active
            .iter()
            .any(|profile| profile == "*" || own.iter().any(|own| own.as_text() == Some(profile.as_str())))
}
