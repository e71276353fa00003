//! `hoist build --check`: what is wrong or odd in Dockerfiles, one after the other.

use std::sync::Arc;

use futures_util::StreamExt;
use hoist_wire::build::{BuildApi as _, BuildEvent, FromBuild};
use hoist_wire::{ApiError, Client, ErrorKind};

use super::Wanted;
use crate::error::CommandError;
use crate::out::errln;
use crate::style;

/// Prints what is found; whether that is nothing. `quiet`: problems only.
///
/// # Errors
/// When the agent goes away.
pub(crate) async fn check(
    agent: &Arc<Client>,
    wanted: Vec<Wanted>,
    quiet: bool,
) -> Result<bool, CommandError> {
    let mut fine = true;
    for one in wanted {
        let name = one.service.clone();
        match findings(agent, one, quiet).await {
            Ok(0) if quiet => {}
            Ok(0) => errln!("{name}: no problems found"),
            Ok(_) => fine = false,
            Err(error) if error.kind == ErrorKind::Unavailable => return Err(error.into()),
            Err(error) => {
                fine = false;
                errln!("{}error:{:#} {name}: {}", style::BAD, style::BAD, error.message);
            }
        }
    }
    Ok(fine)
}

async fn findings(agent: &Arc<Client>, mut one: Wanted, quiet: bool) -> Result<usize, ApiError> {
    one.request.check = true;
    // Nothing is asked of the client, but the end of its answers is the end of the call.
    let answers = futures_util::stream::pending().boxed();
    let mut stream = agent.build(one.request, answers).await?;
    while let Some(item) = stream.next().await {
        match item? {
            FromBuild::Event(BuildEvent::Warning(text)) if !quiet => {
                errln!("{}warning:{:#} {}: {text}", style::WARN, style::WARN, one.service);
            }
            FromBuild::Event(BuildEvent::Checked(odd)) => return Ok(odd),
            FromBuild::Event(_) | FromBuild::List(_) | FromBuild::Read(_) | FromBuild::Put(_) => {}
        }
    }
    Err(ApiError::new(ErrorKind::Unavailable, "the agent went away before all was checked"))
}
