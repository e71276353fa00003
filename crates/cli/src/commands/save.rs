//! `hoist save`: images leave as an archive.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use hoist_wire::{ArchiveBytes, ImageApi};

use crate::args;
use crate::connect;
use crate::error::CommandError;
use crate::out;

/// Runs the command.
///
/// # Errors
/// When an image isn't there, or the archive can't be written; a file is then as it was before.
pub(crate) async fn run(root: &Path, args: &args::Save) -> Result<(), CommandError> {
    if args.output.is_none() && rustix::termios::isatty(io::stdout()) {
        return Err(
            CommandError::usage("an archive is not for a terminal").hint("name a file with `-o FILE`")
        );
    }
    let agent = connect::connect(root).await?;
    let bytes = agent.save_images(args.images.clone()).await?;
    let Some(path) = &args.output else {
        return print(bytes).await;
    };
    let name = path.display().to_string();
    let beside = PathBuf::from(format!("{}.new", path.display()));
    let failed = |error: io::Error| CommandError::failed(format!("{name}: {error}"));
    let mut file = std::fs::File::create(&beside).map_err(failed)?;
    let written = write(bytes, &mut file, &name).await;
    let kept = written.and_then(|()| std::fs::rename(&beside, path).map_err(failed));
    if kept.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    kept
}

async fn print(mut bytes: ArchiveBytes) -> Result<(), CommandError> {
    while let Some(chunk) = bytes.next().await {
        out::raw(&chunk?)?;
    }
    Ok(())
}

async fn write(mut bytes: ArchiveBytes, to: &mut impl Write, name: &str) -> Result<(), CommandError> {
    let failed = |error: io::Error| CommandError::failed(format!("{name}: {error}"));
    while let Some(chunk) = bytes.next().await {
        to.write_all(&chunk?).map_err(failed)?;
    }
    to.flush().map_err(failed)
}
