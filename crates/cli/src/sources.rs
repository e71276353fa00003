//! What a load starts from: which files, which folder, which variables. The command line counts first, then the
//! environment, then the `COMPOSE_` variables of the `.env` file, as in docker compose.
//!
//! Owns the search and the order of these sources. What the files mean belongs to `stackfile`.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use hoist_stackfile::syntax::dotenv;
use hoist_stackfile::syntax::remote::redacted;
use hoist_stackfile::{FileReader, Options, Remote, Source, Sources};

use crate::args::Global;
use crate::bounded;
use crate::error::CommandError;
use crate::out::errln;
use crate::remote::{Disk, Files};
use crate::select::Selected;

/// Everything a load starts from.
///
/// # Errors
/// When there is no stack file, or a file of variables can't be read.
pub(crate) fn sources(
    global: &Global,
    selected: &Selected,
    options: Options,
    reader: &Files<'_>,
) -> Result<Sources, CommandError> {
    let here =
        std::env::current_dir().map_err(|error| CommandError::failed(format!("this folder: {error}")))?;
    let variables = Variables::read(global, selected, &here, reader)?;
    let files = files(&selected.files, &here, &variables)?;
    let dir = folder(global, files.first().map(PathBuf::as_path), &here);
    let fetched = files.first().filter(|_| global.project_directory.is_none());
    let fetched = fetched.map(|file| fetched_folder(file, reader)).transpose()?.flatten();
    Ok(Sources {
        files: files.iter().map(|file| source(&here, file)).collect::<Result<_, _>>()?,
        env_files: variables.files_for(&dir, fetched.is_some()),
        project_dir: text(fetched.as_ref().unwrap_or(&dir)),
        working_dir: text(&here),
        // What is beside a file from elsewhere says nothing of this project's variables.
        no_default_env_file: variables.no_default_file || fetched.is_some(),
        name_folder: fetched.map(|_| text(&dir)),
        profiles: global.profiles.clone(),
        project_name: global.project_name.clone().or_else(|| variables.get("COMPOSE_PROJECT_NAME")),
        environment: variables.environment,
        name_from_folder: true,
        home: std::env::var("HOME").ok().filter(|home| !home.is_empty()),
        services: Vec::new(),
        options,
    })
}

/// The environment, and what decides where the stack file is.
struct Variables {
    environment: BTreeMap<String, String>,
    /// The `COMPOSE_` variables of the files below.
    compose: BTreeMap<String, String>,
    /// Files of variables that were named.
    named: Vec<PathBuf>,
    /// The `.env` of the folder that the search starts in.
    default: Option<PathBuf>,
    no_default_file: bool,
}

impl Variables {
    fn read(
        global: &Global,
        selected: &Selected,
        here: &Path,
        reader: &Files<'_>,
    ) -> Result<Self, CommandError> {
        // A variable that is no UTF-8 can't be said in a stack file.
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let listed = environment.get("COMPOSE_ENV_FILES").map(String::as_str).unwrap_or_default();
        let listed = listed.split(',').filter(|file| !file.is_empty()).map(PathBuf::from);
        let named: Vec<PathBuf> =
            if global.env_files.is_empty() { listed.collect() } else { global.env_files.clone() };
        let no_default_file = no_default_file(&environment)?;
        let start = folder(global, selected.files.first().map(PathBuf::as_path), here);
        let default = Some(start.join(".env")).filter(|file| !no_default_file && file.is_file());
        let mut variables = Self { environment, compose: BTreeMap::new(), named, default, no_default_file };
        variables.named.iter_mut().for_each(|file| *file = here.join(&*file));
        variables.read_compose(reader)?;
        Ok(variables)
    }

    fn read_compose(&mut self, reader: &Files<'_>) -> Result<(), CommandError> {
        let files = if self.named.is_empty() { self.default.as_slice() } else { self.named.as_slice() };
        let mut read = dotenv::Variables::new();
        for file in files {
            let bytes = reader
                .read(file)
                .map_err(|error| CommandError::usage(format!("can't read {}: {error}", file.display())))?;
            let lookup = |name: &str| self.environment.get(name).cloned();
            // A line that can't be read is an error of the load, which shows it.
            let _ = dotenv::parse(&String::from_utf8_lossy(&bytes), &mut read, &lookup);
        }
        read.retain(|name, _| name.starts_with("COMPOSE_"));
        self.compose.extend(read);
        Ok(())
    }

    /// A variable for Hoist itself; an empty one counts as not set.
    fn get(&self, name: &str) -> Option<String> {
        let found = self.environment.get(name).or_else(|| self.compose.get(name));
        found.filter(|value| !value.is_empty()).cloned()
    }

    /// The files to read variables from, the strongest last, where the project's own `.env` isn't all.
    fn files_for(&self, project: &Path, is_elsewhere: bool) -> Vec<String> {
        let own = project.join(".env");
        let files = match &self.default {
            _ if !self.named.is_empty() => self.named.clone(),
            start if is_elsewhere => start.iter().cloned().collect(),
            Some(start) if *start != own && own.is_file() => vec![own, start.clone()],
            Some(start) if *start != own => vec![start.clone()],
            _ => Vec::new(),
        };
        files.iter().map(|file| text(file)).collect()
    }
}

fn no_default_file(environment: &BTreeMap<String, String>) -> Result<bool, CommandError> {
    const NAME: &str = "COMPOSE_DISABLE_ENV_FILE";
    match environment.get(NAME).map(String::as_str) {
        None | Some("" | "0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
        Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
        Some(other) => Err(CommandError::usage(format!("{NAME} takes true or false, not {other:?}"))),
    }
}

/// The folder that relative paths start from: the one named, the first file's, or this one.
fn folder(global: &Global, first: Option<&Path>, here: &Path) -> PathBuf {
    let named = global.project_directory.as_ref().map(|dir| here.join(dir));
    let beside = || {
        let first = first.filter(|file| *file != Path::new("-") && !is_elsewhere(file))?;
        here.join(first).parent().map(Path::to_owned)
    };
    clean(&named.or_else(beside).unwrap_or_else(|| here.to_owned()))
}

/// Named files; else `COMPOSE_FILE`; else the first of the usual names here or above, with its override.
fn files(named: &[PathBuf], here: &Path, variables: &Variables) -> Result<Vec<PathBuf>, CommandError> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    if let Some(list) = variables.get("COMPOSE_FILE") {
        let separator = variables.get("COMPOSE_PATH_SEPARATOR").unwrap_or_else(|| ":".to_owned());
        return Ok(list.split(&separator).map(PathBuf::from).collect());
    }
    let found = hoist_stackfile::discover(here, &Disk).ok_or_else(|| {
        CommandError::usage("no stack file here or in a folder above").hint(
            "name one: `hoist up path/to/stack.yaml`; the usual names are stack.yaml, compose.yaml, docker-compose.yml",
        )
    })?;
    for ignored in &found.ignored {
        errln!("warning: {} is not read: {} is", ignored.display(), found.files[0].display());
    }
    Ok(found.files)
}

/// The folder that a file from elsewhere was brought to; none for one of this machine.
fn fetched_folder(file: &Path, reader: &Files<'_>) -> Result<Option<PathBuf>, CommandError> {
    let Some(remote) = file.to_str().and_then(Remote::parse) else { return Ok(None) };
    let shown = redacted(&file.display().to_string());
    let remote = remote.map_err(|error| CommandError::usage(format!("{shown}: {error}")))?;
    let found = reader.stack_file(&remote).map_err(|error| {
        let told = CommandError::usage(format!("{shown}: {}", error.told()));
        CommandError { hint: error.help(), ..told }
    })?;
    Ok(found.parent().map(Path::to_owned))
}

fn is_elsewhere(file: &Path) -> bool {
    file.to_str().is_some_and(Remote::is_remote)
}

fn source(here: &Path, path: &Path) -> Result<Source, CommandError> {
    if is_elsewhere(path) {
        return Ok(Source { path: text(path), text: None });
    }
    if path != Path::new("-") {
        return Ok(Source { path: text(&here.join(path)), text: None });
    }
    let told = |reason: String| CommandError::usage(format!("the stack file on standard input: {reason}"));
    let bytes = bounded::read_stdin().map_err(|error| told(error.to_string()))?;
    let read = hoist_stackfile::yaml::to_text(bytes).map_err(told)?;
    Ok(Source { path: "-".to_owned(), text: Some(read) })
}

/// Without `.` and `..`, as far as names alone tell.
fn clean(path: &Path) -> PathBuf {
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

fn text(path: &Path) -> String {
    path.display().to_string()
}
