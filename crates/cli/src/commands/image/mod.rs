//! `hoist image …`.

mod history;
mod inspect;
mod ls;

use std::path::Path;

use hoist_wire::{ImageApi, ImportImage, PruneImages, PullImage, RegistryAccess, RemoveImage, TagImage};

use crate::args::{ImageCommand, ProgressStyle};
use crate::commands::removed::tell;
use crate::commands::{load, pull, save, system};
use crate::connect;
use crate::error::{CommandError, code};
use crate::out::outln;

/// Digits of an id that people are shown.
const SHORT: usize = 12;

/// Runs the command.
///
/// # Errors
/// When it can't be done.
pub(crate) async fn run(
    root: &Path,
    command: ImageCommand,
    style: ProgressStyle,
) -> Result<(), CommandError> {
    match command {
        ImageCommand::Pull { image, platform, quiet } => {
            let request = PullImage { reference: image, platform, access: RegistryAccess::default() };
            pull::pull_one(root, request, pull::quiet(quiet, style)).await
        }
        ImageCommand::Push { image, quiet } => pull::push_one(root, image, pull::quiet(quiet, style)).await,
        ImageCommand::Ls(args) => ls::run(root, &args).await,
        ImageCommand::Inspect { images } => inspect::run(root, &images).await,
        ImageCommand::History(args) => history::run(root, &args).await,
        ImageCommand::Tag { source, target } => {
            Ok(connect::connect(root).await?.tag_image(TagImage { source, target }).await?)
        }
        ImageCommand::Rm { images, force } => remove(root, images, force).await,
        ImageCommand::Import { file, reference, changes, message } => {
            let named = Some(file.as_path()).filter(|file| *file != Path::new("-"));
            import(root, named, ImportImage { reference, changes, message }).await
        }
        ImageCommand::Prune(args) => system::prune(root, &args, PruneImages::default()).await,
        ImageCommand::Load(args) => load::run(root, &args).await,
        ImageCommand::Save(args) => save::run(root, &args).await,
    }
}

/// All that can be removed is, as docker does; each failure is told.
async fn remove(root: &Path, images: Vec<String>, force: bool) -> Result<(), CommandError> {
    let agent = connect::connect(root).await?;
    let mut failed = false;
    for name in images {
        match agent.remove_image(RemoveImage { name, force, in_use: Vec::new() }).await {
            Ok(removed) => tell(&removed),
            Err(error) => {
                failed = true;
                crate::report(&error.into());
            }
        }
    }
    if failed { Err(CommandError::silent(code::FAILED)) } else { Ok(()) }
}

async fn import(root: &Path, file: Option<&Path>, request: ImportImage) -> Result<(), CommandError> {
    let archive = load::open(file).await?;
    let image = connect::connect(root).await?.import_image(request, archive).await?;
    outln!("{}", image.digest);
    Ok(())
}

/// The beginning of an id, without the algorithm.
pub(crate) fn short(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..SHORT).unwrap_or(digits)
}

/// A name's two columns; a digest is no tag.
pub(crate) fn name_and_tag(name: &str) -> (String, String) {
    let (name, pinned) = name.split_once('@').map_or((name, false), |(name, _)| (name, true));
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (name.to_owned(), if pinned { "<none>" } else { "latest" }.to_owned()),
    }
}
