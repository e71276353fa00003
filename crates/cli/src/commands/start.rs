//! `hoist start`: starts what was stopped or has ended.

use hoist_wire::{ClusterApi, Select, Start};

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
    args: &args::Start,
    style: args::ProgressStyle,
) -> Result<(), CommandError> {
    let (agent, _) = target.up_status().await?;
    let select = Select { stack: target.id.clone(), services: target.services.clone() };
    let mut events = agent.start(Start { select, wait: args.wait }).await?;
    let verdict = Progress::new("start", style).follow(&mut events).await?;
    if conclude(&verdict, style == args::ProgressStyle::Quiet, "nothing to do: everything named runs") {
        Ok(())
    } else {
        Err(CommandError::silent(code::FAILED))
    }
}
