//! `hoist start`: starts what was stopped or has ended.

use hoist_wire::{ClusterApi, Select, Start};

use crate::args;
use crate::error::{CommandError, code};
use crate::last_words;
use crate::limit;
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
    let mut progress = Progress::new("start", style);
    let following = async { Ok(progress.follow(&mut events).await?) };
    let Some(verdict) = limit::within(args.wait_timeout, following).await? else {
        return Err(limit::passed(&agent, target, args.wait_timeout).await);
    };
    if conclude(&verdict, style == args::ProgressStyle::Quiet, "nothing to do: everything named runs") {
        Ok(())
    } else {
        last_words::tell(&agent, target, &verdict).await;
        Err(CommandError::silent(code::FAILED))
    }
}
