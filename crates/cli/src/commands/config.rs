//! `hoist config`: the stack file in its canonical form, or parts of it.

use hoist_stackfile::canonical::{escape_dollars, to_json, to_yaml};
use hoist_stackfile::node::Node;
use hoist_stackfile::{Dialect, Options, Project};

use crate::args::{self, Global};
use crate::error::CommandError;
use crate::load::{self, Disk};
use crate::select::select;

/// Runs the command.
///
/// # Errors
/// When the stack file has errors.
pub(crate) fn run(global: &Global, args: &args::Config) -> Result<(), CommandError> {
    let selected = select(&global.files, &args.selection.files, &args.selection.words)?;
    let mut sources = load::sources(global, &selected, options(args))?;
    sources.services = selected.services.iter().map(ToString::to_string).collect();
    if args.no_interpolate {
        let model = hoist_stackfile::load_model(&sources, &Disk).map_err(|errors| load::refuse(&errors))?;
        return if args.quiet { Ok(()) } else { emit(args, &text(args, &model)?) };
    }
    let loaded = hoist_stackfile::load(&sources, &Disk).map_err(|errors| load::refuse(&errors))?;
    load::print(&loaded.warnings);
    if args.quiet {
        return Ok(());
    }
    let text = match part(&loaded.project, args)? {
        Some(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
        None => escape_dollars(&text(args, &loaded.project.canonical(dialect(args)))?),
    };
    emit(args, &text)
}

fn options(args: &args::Config) -> Options {
    Options {
        interpolate: !args.no_interpolate,
        normalize: !args.no_normalize,
        resolve_paths: !args.no_path_resolution,
        consistency: !args.no_consistency,
        resolve_environment: !args.no_env_resolution,
        discard_env_files: !args.no_env_resolution,
        ..Options::default()
    }
}

fn dialect(args: &args::Config) -> Dialect {
    if args.format == "json" { Dialect::Json } else { Dialect::Yaml }
}

fn text(args: &args::Config, tree: &Node) -> Result<String, CommandError> {
    match args.format.as_str() {
        "json" => Ok(to_json(tree)),
        "yaml" => Ok(to_yaml(tree)),
        other => Err(CommandError::usage(format!("--format takes yaml or json, not {other:?}"))),
    }
}

fn emit(args: &args::Config, text: &str) -> Result<(), CommandError> {
    match &args.output {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| CommandError::failed(format!("{}: {error}", path.display()))),
        None => {
            anstream::print!("{text}");
            Ok(())
        }
    }
}

/// The part that a flag asks for, as lines; none when no flag does.
fn part(project: &Project, args: &args::Config) -> Result<Option<Vec<String>>, CommandError> {
    let keys = |key: &str| {
        project.tree.get(key).and_then(Node::as_map).into_iter().flat_map(|map| map.keys().cloned())
    };
    let lines: Vec<String> = if args.services {
        keys("services").collect()
    } else if args.volumes {
        keys("volumes").collect()
    } else if args.networks {
        keys("networks").collect()
    } else if args.profiles {
        profiles(project)
    } else if args.images {
        images(project)
    } else if args.environment {
        project.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()
    } else if let Some(which) = &args.hash {
        hashes(project, which)?
    } else {
        return Ok(None);
    };
    Ok(Some(lines))
}

fn profiles(project: &Project) -> Vec<String> {
    let services = project.services().map(|(_, node)| node).chain(project.disabled.values());
    let listed = services.filter_map(|service| service.get("profiles"));
    let mut names: Vec<String> = listed
        .filter_map(Node::as_list)
        .flatten()
        .filter_map(|item| item.as_text().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn images(project: &Project) -> Vec<String> {
    project
        .services()
        .map(|(name, node)| match node.get("image").and_then(Node::as_text) {
            Some(image) => image.to_owned(),
            // As docker compose names what it builds.
            _ => format!("{}-{name}", project.name),
        })
        .collect()
}

/// What decides recreation, of one service, of several with commas, or of all (`*`).
fn hashes(project: &Project, which: &str) -> Result<Vec<String>, CommandError> {
    let lowered = load::lower(project)?;
    let wanted: Vec<&str> = which.split(',').collect();
    let chosen =
        lowered.stack.services.iter().filter(|(name, _)| which == "*" || wanted.contains(&name.as_str()));
    Ok(chosen.map(|(name, service)| format!("{name} {}", service.recreation_hash())).collect())
}
