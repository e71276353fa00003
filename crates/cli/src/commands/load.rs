//! `hoist load`: an image archive goes to the agent as it is read.

use std::path::Path;

use futures_util::StreamExt;
use hoist_wire::{ApiError, ArchiveBytes, ErrorKind, ImageApi};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::args;
use crate::connect;
use crate::error::CommandError;
use crate::out::outln;

/// Bytes of one message.
const CHUNK: usize = 256 << 10;

/// Runs the command.
///
/// # Errors
/// When the archive can't be read, or is none.
pub(crate) async fn run(root: &Path, args: &args::Load) -> Result<(), CommandError> {
    let input = open(args.input.as_deref()).await?;
    let agent = connect::connect(root).await?;
    for image in agent.load_image(input).await? {
        if args.quiet {
            continue;
        }
        if image.references.is_empty() {
            outln!("Loaded image ID: {}", image.digest);
        }
        image.references.iter().for_each(|reference| outln!("Loaded image: {reference}"));
    }
    Ok(())
}

/// The bytes of a file, or of standard input when none is named.
///
/// # Errors
/// When the file can't be opened, or nobody pipes anything in.
pub(crate) async fn open(path: Option<&Path>) -> Result<ArchiveBytes, CommandError> {
    match path {
        Some(path) => {
            let file = tokio::fs::File::open(path).await;
            let file = file.map_err(|error| CommandError::usage(format!("{}: {error}", path.display())))?;
            Ok(chunks(file, path.display().to_string()))
        }
        None if rustix::termios::isatty(std::io::stdin()) => {
            Err(CommandError::usage("no archive given").hint("name a file, or pipe it in"))
        }
        None => Ok(chunks(tokio::io::stdin(), "standard input".to_owned())),
    }
}

fn chunks(reader: impl AsyncRead + Send + Unpin + 'static, name: String) -> ArchiveBytes {
    let read = move |mut reader: Box<dyn AsyncRead + Send + Unpin>| {
        let name = name.clone();
        async move {
            let mut buffer = Vec::with_capacity(CHUNK);
            let read = (&mut reader).take(CHUNK as u64).read_to_end(&mut buffer).await;
            match read {
                Ok(0) => None,
                Ok(_) => Some((Ok(buffer.into()), reader)),
                Err(error) => {
                    Some((Err(ApiError::new(ErrorKind::Invalid, format!("{name}: {error}"))), reader))
                }
            }
        }
    };
    let boxed: Box<dyn AsyncRead + Send + Unpin> = Box::new(reader);
    futures_util::stream::unfold(boxed, read).boxed()
}
