//! Loads the stack that `sources` found, applies the file's lints, and prints what was found in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use hoist_model::{ServiceName, Stack};
use hoist_stackfile::{Diagnostic, LowerOptions, Lowered, Options, Project, Severity, Sources};

use crate::args::Global;
use crate::builder::Declared;
use crate::error::CommandError;
use crate::out::errln;
use crate::remote::{self, Disk, Files};
use crate::select::Selected;
use crate::sources::sources;
use crate::style;

/// What to print on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Say {
    /// Errors that keep the stack's name from being known: the command is not about the file.
    Nothing,
    /// Warnings as well, a line each; what the file denies is refused.
    Warnings,
}

/// A lowered stack and where it came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The stack.
    pub stack: Stack,
    /// The file, with the place of each value.
    pub source: Project,
    /// Its builds.
    pub builds: Declared,
    /// The folder that its relative paths start from.
    pub dir: PathBuf,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// The services that have a `build:`.
    pub built: BTreeSet<ServiceName>,
}

/// Loads and lowers the stack.
///
/// # Errors
/// When there is no file, or it has errors; those are printed here.
pub(crate) fn stack(global: &Global, selected: &Selected, say: Say) -> Result<Loaded, CommandError> {
    let files = Files::new(&global.root);
    let mut sources = sources(global, selected, Options::default(), &files)?;
    let mut loaded = hoist_stackfile::load(&sources, &files).map_err(|errors| refuse(&errors))?;
    if activate(&mut sources, &loaded.project, selected) {
        loaded = hoist_stackfile::load(&sources, &files).map_err(|errors| refuse(&errors))?;
    }
    let lowered = hoist_stackfile::lower(&loaded.project, &LowerOptions::default(), &Disk);
    let lowered = lowered.map_err(|errors| refuse(&errors))?;
    if say == Say::Warnings {
        if remote::is_fetched(Path::new(&loaded.project.directory)) {
            errln!("the stack file and what is beside it are in {}", loaded.project.directory);
        }
        let found: Vec<Diagnostic> = loaded.warnings.into_iter().chain(lowered.warnings).collect();
        print_briefly(&lint(&loaded.project, found)?);
    }
    Ok(Loaded {
        builds: Declared::of(&loaded.project)?,
        stack: lowered.stack,
        dir: PathBuf::from(&loaded.project.directory),
        files: loaded.project.files.iter().map(PathBuf::from).collect(),
        built: built(&loaded.project),
        source: loaded.project,
    })
}

fn built(project: &Project) -> BTreeSet<ServiceName> {
    let services = project.tree.get("services").and_then(|services| services.as_map());
    let services = services.into_iter().flatten().filter(|(_, service)| service.get("build").is_some());
    services.filter_map(|(name, _)| ServiceName::new(name.clone()).ok()).collect()
}

/// Loads and lowers for `config`, which shows everything that was found, in full.
///
/// # Errors
/// All findings, when there is an error among them.
pub(crate) fn project(
    sources: &Sources,
    files: &Files<'_>,
) -> Result<(Project, Vec<Diagnostic>), Vec<Diagnostic>> {
    let loaded = hoist_stackfile::load(sources, files)?;
    let lowered = hoist_stackfile::lower(&loaded.project, &LowerOptions::default(), &Disk);
    // What `up` would refuse can still be shown, but for what docker compose doesn't show either.
    let stays = |error: &Diagnostic| error.code == "duplicate-container-name" && sources.options.consistency;
    let refused = |error: Diagnostic| match stays(&error) {
        true => error,
        false => Diagnostic { severity: Severity::Warning, ..error },
    };
    let lowered = lowered.map_or_else(|errors| errors.into_iter().map(refused).collect(), |ok| ok.warnings);
    let warnings = loaded.warnings.into_iter().chain(lowered).collect();
    let found = hoist_stackfile::lint(&loaded.project, warnings, &Disk);
    if found.iter().any(is_error) { Err(found) } else { Ok((loaded.project, found)) }
}

/// The warnings and the lints' findings, as `x-hoist.lints` wants them.
fn lint(project: &Project, warnings: Vec<Diagnostic>) -> Result<Vec<Diagnostic>, CommandError> {
    let found = hoist_stackfile::lint(project, warnings, &Disk);
    if found.iter().any(is_error) { Err(refuse(&found)) } else { Ok(found) }
}

fn is_error(finding: &Diagnostic) -> bool {
    finding.severity == Severity::Error
}

/// Lowers a project.
///
/// # Errors
/// When it says something that can't be; that is printed here.
pub(crate) fn lower(project: &Project) -> Result<Lowered, CommandError> {
    hoist_stackfile::lower(project, &LowerOptions::default(), &Disk).map_err(|errors| refuse(&errors))
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
    let errors = findings.iter().filter(|finding| is_error(finding)).count();
    let plural = if errors == 1 { "" } else { "s" };
    CommandError::usage(format!("{errors} error{plural} in the stack file; nothing was changed"))
}

/// Prints findings with the lines that they are about.
pub(crate) fn print(findings: &[Diagnostic]) {
    let color = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    for finding in findings {
        errln!("{}", finding.render(color));
    }
}

/// Of one kind of warning, so many lines and how many more there are.
const SHOWN: usize = 3;

/// Prints a line for each warning, and of many of a kind the first ones only.
pub(crate) fn print_briefly(warnings: &[Diagnostic]) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for warning in warnings {
        let count = seen.entry(warning.code).or_default();
        *count += 1;
        if *count <= SHOWN {
            errln!("{}{warning}{:#}", style::WARN, style::WARN);
        }
    }
    for (code, count) in seen.into_iter().filter(|(_, count)| *count > SHOWN) {
        let more = count - SHOWN;
        errln!("{more} more of {code}; `hoist config -q` shows all");
    }
}
