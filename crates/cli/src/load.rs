//! Reads stack files as the user: finds them, reads the environment, and has `stackfile` make sense of it.

use std::io;
use std::path::{Path, PathBuf};

use hoist_model::Stack;
use hoist_stackfile::{
    Diagnostic, FileKind, FileReader, LowerOptions, Lowered, Options, Project, Severity, Source, Sources,
};

use crate::args::Global;
use crate::error::{CommandError, code};
use crate::select::Selected;

/// What to print on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Say {
    /// Errors only: the command is not about the file.
    Nothing,
    /// Warnings as well.
    Warnings,
}

/// A lowered stack and where it came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The stack.
    pub stack: Stack,
    /// The folder that its relative paths start from.
    pub dir: PathBuf,
    /// Its files.
    pub files: Vec<PathBuf>,
}

/// The file system, as this user sees it.
pub(crate) struct Disk;

impl FileReader for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let meta = std::fs::metadata(path).ok()?;
        Some(if meta.is_dir() { FileKind::Folder } else { FileKind::File })
    }

    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_symlink)?;
        std::fs::canonicalize(path).ok()
    }
}

/// Loads and lowers the stack.
///
/// # Errors
/// When there is no file, or it has errors; those are printed here.
pub(crate) fn stack(global: &Global, selected: &Selected, say: Say) -> Result<Loaded, CommandError> {
    let mut sources = sources(global, selected, Options::default())?;
    let mut loaded = hoist_stackfile::load(&sources, &Disk).map_err(|errors| refuse(&errors))?;
    if activate(&mut sources, &loaded.project, selected) {
        loaded = hoist_stackfile::load(&sources, &Disk).map_err(|errors| refuse(&errors))?;
    }
    let lowered = lower(&loaded.project)?;
    if say == Say::Warnings {
        print(&loaded.warnings);
        print(&lowered.warnings);
    }
    Ok(Loaded {
        stack: lowered.stack,
        dir: PathBuf::from(&loaded.project.directory),
        files: loaded.project.files.iter().map(PathBuf::from).collect(),
    })
}

/// Lowers a project.
///
/// # Errors
/// When it says something that can't be; that is printed here.
pub(crate) fn lower(project: &Project) -> Result<Lowered, CommandError> {
    hoist_stackfile::lower(project, &LowerOptions::default(), &Disk).map_err(|errors| refuse(&errors))
}

/// Everything a load starts from.
///
/// # Errors
/// When there is no stack file.
pub(crate) fn sources(
    global: &Global,
    selected: &Selected,
    options: Options,
) -> Result<Sources, CommandError> {
    let here =
        std::env::current_dir().map_err(|error| CommandError::failed(format!("this folder: {error}")))?;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let files = files(&selected.files, &here, variable("COMPOSE_FILE"))?;
    let absolute = |path: &Path| if path == Path::new("-") { path.to_owned() } else { here.join(path) };
    let first = files.first().map(|file| absolute(file)).unwrap_or_default();
    let dir = match &global.project_directory {
        Some(dir) => here.join(dir),
        None if first == Path::new("-") => here.clone(),
        None => first.parent().map_or(here.clone(), Path::to_owned),
    };
    let text = |path: &Path| path.display().to_string();
    let named_env = global.env_files.iter().map(|file| text(&here.join(file)));
    let listed_env = variable("COMPOSE_ENV_FILES").unwrap_or_default();
    let listed_env = listed_env.split(',').filter(|file| !file.is_empty()).map(|file| text(&here.join(file)));
    let env_files: Vec<String> =
        if global.env_files.is_empty() { listed_env.collect() } else { named_env.collect() };
    Ok(Sources {
        files: files.iter().map(|file| source(&absolute(file))).collect::<Result<_, _>>()?,
        project_dir: text(&clean(&dir)),
        working_dir: text(&here),
        environment: std::env::vars().collect(),
        env_files,
        no_default_env_file: variable("COMPOSE_DISABLE_ENV_FILE")
            .is_some_and(|value| value == "1" || value == "true"),
        profiles: global.profiles.clone(),
        project_name: global.project_name.clone(),
        name_from_folder: true,
        home: variable("HOME"),
        services: Vec::new(),
        options,
    })
}

fn source(path: &Path) -> Result<Source, CommandError> {
    if path != Path::new("-") {
        return Ok(Source { path: path.display().to_string(), text: None });
    }
    let text = io::read_to_string(io::stdin());
    let text =
        text.map_err(|error| CommandError::usage(format!("the stack file on standard input: {error}")))?;
    Ok(Source { path: "-".to_owned(), text: Some(text) })
}

/// Named files; else `COMPOSE_FILE`; else the first of the usual names here or above, with its override.
fn files(named: &[PathBuf], here: &Path, listed: Option<String>) -> Result<Vec<PathBuf>, CommandError> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    if let Some(list) = listed {
        let separator = std::env::var("COMPOSE_PATH_SEPARATOR").unwrap_or_else(|_| ":".to_owned());
        return Ok(list.split(&separator).map(PathBuf::from).collect());
    }
    let found = hoist_stackfile::discover(here, &Disk).ok_or_else(|| {
        CommandError::usage("no stack file here or in a folder above").hint(
            "name one: `hoist up path/to/stack.yaml`; the usual names are stack.yaml, compose.yaml, docker-compose.yml",
        )
    })?;
    for ignored in &found.ignored {
        anstream::eprintln!("warning: {} is not read: {} is", ignored.display(), found.files[0].display());
    }
    Ok(found.files)
}

/// Without `.` and `..`, as far as names alone tell.
fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    path.components().fold(PathBuf::new(), |mut clean, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
        clean
    })
}

/// A service named on the command line switches its profiles on. True: the load must be done again.
fn activate(sources: &mut Sources, project: &Project, selected: &Selected) -> bool {
    let mut more = Vec::new();
    for service in &selected.services {
        let profiles = project.disabled.get(service.as_str()).and_then(|node| node.get("profiles"));
        let names = profiles.and_then(|list| list.as_list()).into_iter().flatten();
        more.extend(names.filter_map(|name| name.as_text()).map(str::to_owned));
    }
    let found = !more.is_empty();
    if found {
        sources.profiles.extend(project.profiles.iter().cloned());
        sources.profiles.extend(more);
    }
    found
}

/// Prints errors and says how many; nothing was changed.
#[must_use]
pub(crate) fn refuse(findings: &[Diagnostic]) -> CommandError {
    print(findings);
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let plural = if errors == 1 { "" } else { "s" };
    let mut error =
        CommandError::usage(format!("{errors} error{plural} in the stack file; nothing was changed"));
    error.code = code::USAGE;
    error
}

/// Prints findings.
pub(crate) fn print(findings: &[Diagnostic]) {
    let color = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    for finding in findings {
        anstream::eprintln!("{}", finding.render(color));
    }
}
