//! `hoist stop`: services stay stopped until a person starts them.

use hoist_wire::{ClusterApi, Select, Stop};

use crate::args;
use crate::error::{CommandError, code};
use crate::progress::{Progress, conclude};
use crate::project::Target;

/// Runs the command.
///
/// # Errors
/// When the stack isn't up, or it can't be done.
pub(crate) async fn run(
    target: &Target,
    args: &args::Stop,
    style: args::ProgressStyle,
) -> Result<(), CommandError> {
    let (agent, _) = target.up_status().await?;
    let select = Select { stack: target.id.clone(), services: target.services.clone() };
    let mut events = agent.stop(Stop { select, timeout: args.timeout, kill: false }).await?;
    let verdict = Progress::new("stop", style).follow(&mut events).await?;
    if conclude(&verdict, style == args::ProgressStyle::Quiet, "nothing to do: everything named is stopped") {
        Ok(())
    } else {
        Err(CommandError::silent(code::FAILED))
    }
}
