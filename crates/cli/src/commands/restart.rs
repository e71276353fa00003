//! `hoist restart`: stops and starts, and with it dependents that ask for it.

use hoist_wire::{ClusterApi, Restart, Select};

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
    args: &args::Restart,
    style: args::ProgressStyle,
) -> Result<(), CommandError> {
    let (agent, _) = target.up_status().await?;
    let select = Select { stack: target.id.clone(), services: target.services.clone() };
    let mut events = agent.restart(Restart { select, no_deps: args.no_deps, timeout: args.timeout }).await?;
    let verdict = Progress::new("restart", style).follow(&mut events).await?;
    if conclude(&verdict, style == args::ProgressStyle::Quiet, "nothing to do: there is nothing to restart") {
        Ok(())
    } else {
        Err(CommandError::silent(code::FAILED))
    }
}
