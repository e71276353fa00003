//! `hoist config explain`: every place and every rewrite that made a value.

use std::path::{Path, PathBuf};

use hoist_stackfile::{Options, Sources, explain, load};

use crate::args::Global;
use crate::error::CommandError;
use crate::load as loading;
use crate::out::{out, outln};
use crate::remote::Files;
use crate::select::{Selected, is_file};
use crate::sources::sources;

/// Runs the command.
///
/// # Errors
/// When the stack file has errors, or nothing is at a path.
pub(crate) fn run(
    global: &Global,
    files: &[PathBuf],
    words: &[String],
    json: bool,
) -> Result<(), CommandError> {
    let mut files: Vec<PathBuf> = global.files.iter().chain(files).cloned().collect();
    let mut paths = words;
    // A key that reads like a file's name stands alone or after the file.
    if let (true, Some((first, rest))) = (files.is_empty() && words.len() > 1, words.split_first())
        && is_file(first)
    {
        files.push(Path::new(first).to_owned());
        paths = rest;
    }
    let selected = Selected { files, services: Vec::new() };
    let reader = Files::new(&global.root);
    let sources = sources(global, &selected, Options { prune: false, ..Options::default() }, &reader)?;
    let project = load(&sources, &reader).map_err(|errors| loading::refuse(&errors))?.project;
    // What is asked about may be outside the active profiles.
    let everything = Sources { profiles: vec!["*".to_owned()], ..sources };
    let everything = || load(&everything, &reader).ok().map(|loaded| loaded.project);
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        let explained = explain(&project, path).or_else(|| explain(&everything()?, path));
        found.push(explained.ok_or_else(|| {
            CommandError::usage(format!("there is nothing at {path}"))
                .hint("`hoist config` shows what there is; a path is like services.web.ports[0].published")
        })?);
    }
    if json {
        let text = serde_json::to_string_pretty(&found).expect("explanations have text keys");
        outln!("{text}");
    } else {
        found.iter().for_each(|explanation| out!("{explanation}"));
    }
    Ok(())
}
