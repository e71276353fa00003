//! `hoist agent status`, `hoist agent stop`, `hoist agent logs`.

use std::path::Path;

use hoist_wire::{AgentStatus, ClusterApi, ErrorKind};

use crate::args::{AgentCommand, ListFormat};
use crate::connect;
use crate::daemon_log;
use crate::error::{CommandError, code};
use crate::out::{errln, outln};

/// How often a question is asked again when the agent ends before it answers.
const TRIES: u32 = 10;

/// Runs the command.
///
/// # Errors
/// `logs`: when there is no log. `status`: when no agent runs (exit code 1). `stop`: when instances run, without `--force`.
pub(crate) async fn run(root: &Path, command: &AgentCommand) -> Result<(), CommandError> {
    match command {
        AgentCommand::Logs { follow, tail } => daemon_log::show(root, *follow, *tail).await,
        AgentCommand::Stop { force } => {
            let Some(agent) = connect::found(root).await? else {
                errln!("no agent runs for {}", root.display());
                return Ok(());
            };
            agent.shutdown(*force).await?;
            connect::until_gone(root).await;
            Ok(())
        }
        AgentCommand::Status { format } => {
            let Some(status) = status(root).await? else {
                errln!("no agent runs for {}", root.display());
                return Err(CommandError::silent(code::FAILED));
            };
            if *format == ListFormat::Json {
                let text = serde_json::to_string(&status)
                    .map_err(|error| CommandError::failed(error.to_string()))?;
                outln!("{text}");
                return Ok(());
            }
            status.warnings.iter().for_each(|text| crate::progress::warn(text));
            let [agent, keeper, dns] = status.pids;
            outln!("version    {}", status.version);
            outln!("root       {}", status.root.display());
            outln!("agent      {agent}\nkeeper     {keeper}\ndns        {dns}");
            let stacks: Vec<String> = status.stacks.iter().map(ToString::to_string).collect();
            outln!("stacks     {}", stacks.join(", "));
            let running = status.report.instances.values().filter(|instance| instance.pid.is_some()).count();
            outln!("instances  {running} running, {} in all", status.report.instances.len());
            Ok(())
        }
    }
}

/// Asks the agent, and its successor when it is killed meanwhile.
async fn status(root: &Path) -> Result<Option<AgentStatus>, CommandError> {
    let mut tries = 0;
    while let Some(agent) = connect::found(root).await? {
        match agent.status().await {
            Ok(status) => return Ok(Some(status)),
            Err(error) if error.kind == ErrorKind::Unavailable && tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
