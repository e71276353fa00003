//! `hoist config`: the stack file in its canonical form, parts of it, or where a value comes from.

mod digests;
mod explain;
mod findings;
mod parts;

use hoist_stackfile::canonical::{escape_dollars, to_json, to_yaml};
use hoist_stackfile::node::Node;
use hoist_stackfile::{Diagnostic, Dialect, Options, Sources, json_schema};

use crate::args::{self, ConfigFormat, ConfigView, Global};
use crate::error::{CommandError, code};
use crate::load;
use crate::out::{out, outln};
use crate::remote::Files;
use crate::select::select;
use crate::sources::sources;

/// Runs the command.
///
/// # Errors
/// When the stack file has errors, or a registry doesn't say an image's digest.
pub(crate) async fn run(global: &Global, args: &args::Config) -> Result<(), CommandError> {
    if let Some(ConfigView::Explain { words, files, json }) = &args.view {
        let files: Vec<_> = args.selection.files.iter().chain(files).cloned().collect();
        let words: Vec<_> = args.selection.words.iter().chain(words).cloned().collect();
        return explain::run(global, &files, &words, *json);
    }
    if args.part.schema {
        return emit(args, &format!("{:#}\n", json_schema()));
    }
    let selected = select(&global.files, &args.selection.files, &args.selection.words)?;
    let files = Files::new(&global.root);
    let mut sources = sources(global, &selected, options(args), &files)?;
    if args.part.variables {
        let model = hoist_stackfile::load_model(&uninterpolated(sources), &files);
        let model = model.map_err(|errors| refuse(args, &errors))?;
        return emit(args, &parts::variables(&model, args.format));
    }
    sources.services = selected.services.iter().map(ToString::to_string).collect();
    if args.no_interpolate {
        let model = hoist_stackfile::load_model(&sources, &files);
        let mut model = model.map_err(|errors| refuse(args, &errors))?;
        pin(global, args, &mut model).await?;
        return match parts::named(&model, &args.part) {
            Some(lines) => emit(args, &lines),
            None => conclude(args, &[], || text(args, &locked(args, model))),
        };
    }
    let (project, found) = load::project(&sources, &files).map_err(|errors| refuse(args, &errors))?;
    // The end of the process frees it at once; value by value takes as long as a tenth of all the rest.
    let mut project = std::mem::ManuallyDrop::new(project);
    pin(global, args, &mut project.tree).await?;
    if let Some(lines) = parts::of(&project, &args.part)? {
        load::print_briefly(&found);
        return emit(args, &lines);
    }
    let shown = || locked(args, project.canonical(dialect(args)));
    conclude(args, &found, || Ok(escape_dollars(&text(args, &shown())?)))
}

async fn pin(global: &Global, args: &args::Config, stack: &mut Node) -> Result<(), CommandError> {
    if args.resolve_image_digests || args.lock_image_digests {
        digests::pin(&global.root, stack).await?;
    }
    Ok(())
}

fn locked(args: &args::Config, stack: Node) -> Node {
    if args.lock_image_digests { digests::only(&stack) } else { stack }
}

/// Variables are looked for in the text as it is written.
fn uninterpolated(sources: Sources) -> Sources {
    Sources { options: Options { interpolate: false, ..sources.options }, ..sources }
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

/// `-q --format json`: standard output is the findings, for editors, and nothing else.
fn for_editors(args: &args::Config) -> bool {
    args.quiet && args.format == Some(ConfigFormat::Json)
}

fn refuse(args: &args::Config, found: &[Diagnostic]) -> CommandError {
    if for_editors(args) {
        outln!("{}", findings::json(found));
        return CommandError::silent(code::USAGE);
    }
    load::refuse(found)
}

/// What was found goes to standard error, the text to standard output.
fn conclude(
    args: &args::Config,
    found: &[Diagnostic],
    text: impl FnOnce() -> Result<String, CommandError>,
) -> Result<(), CommandError> {
    if for_editors(args) {
        outln!("{}", findings::json(found));
        return Ok(());
    }
    load::print(found);
    if args.quiet { Ok(()) } else { emit(args, &text()?) }
}

fn dialect(args: &args::Config) -> Dialect {
    if args.format == Some(ConfigFormat::Json) { Dialect::Json } else { Dialect::Yaml }
}

fn text(args: &args::Config, tree: &Node) -> Result<String, CommandError> {
    match args.format {
        None | Some(ConfigFormat::Yaml) => Ok(to_yaml(tree)),
        Some(ConfigFormat::Json) => Ok(to_json(tree) + "\n"),
        Some(ConfigFormat::Table) => {
            Err(CommandError::usage("a stack is not a table; `--format table` is for --variables"))
        }
    }
}

fn emit(args: &args::Config, text: &str) -> Result<(), CommandError> {
    match &args.output {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| CommandError::failed(format!("{}: {error}", path.display()))),
        None => {
            out!("{text}");
            Ok(())
        }
    }
}
