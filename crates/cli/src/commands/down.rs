//! `hoist down`: instances and networks go, volumes with `-v`.

use hoist_wire::{ClusterApi, Down};

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
) -> Result<(), CommandError> {
    let nothing = format!("nothing to do: stack {} is not up", target.id);
    let Some(agent) = target.agent().await? else {
        errln!("{nothing}");
        return Ok(());
    };
    let down = Down {
        stack: target.id.clone(),
        volumes: args.volumes,
        services: target.services.clone(),
        timeout: args.timeout,
    };
    let mut events = match agent.down(down).await {
        Err(error) if error.kind == hoist_wire::ErrorKind::NotFound => {
            errln!("{nothing}");
            return Ok(());
        }
        events => events?,
    };
    let verdict = Progress::new("down", style).follow(&mut events).await?;
    if conclude(&verdict, style == args::ProgressStyle::Quiet, &nothing) {
        Ok(())
    } else {
        Err(CommandError::silent(code::FAILED))
    }
}
