//! `hoist down`: instances and networks go, volumes with `-v`.

use hoist_wire::{ClusterApi, Down};

use super::plan;
use crate::args;
use crate::error::{CommandError, code};
use crate::out::errln;
use crate::progress::{Progress, conclude};
use crate::project::Target;

/// Runs the command.
///
/// # Errors
/// When something of the stack can't be removed.
pub(crate) async fn run(
    target: &Target,
    args: &args::Down,
    style: args::ProgressStyle,
) -> Result<u8, CommandError> {
    let nothing = format!("nothing to do: stack {} is not up", target.id);
    let Some(agent) = target.agent().await? else {
        errln!("{nothing}");
        return Ok(code::OK);
    };
    let down = Down {
        stack: target.id.clone(),
        volumes: args.volumes,
        services: target.services.clone(),
        timeout: args.timeout,
    };
    if args.dry_run {
        return plan::show_down(&agent, down).await;
    }
    let mut events = match agent.down(down).await {
        Err(error) if error.kind == hoist_wire::ErrorKind::NotFound => {
            errln!("{nothing}");
            return Ok(code::OK);
        }
        events => events?,
    };
    let verdict = Progress::new("down", style).follow(&mut events).await?;
    if conclude(&verdict, style == args::ProgressStyle::Quiet, &nothing) {
        Ok(code::OK)
    } else {
        Err(CommandError::silent(code::FAILED))
    }
}
