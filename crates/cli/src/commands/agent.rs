//! `hoist agent status` and `hoist agent stop`.

use std::path::Path;

use hoist_wire::ClusterApi;

use crate::args::{AgentCommand, ListFormat};
use crate::connect;
use crate::error::{CommandError, code};

/// Runs the command.
///
/// # Errors
/// `status`: when no agent runs (exit code 1). `stop`: when instances run, without `--force`.
pub(crate) async fn run(root: &Path, command: &AgentCommand) -> Result<(), CommandError> {
    let Some(agent) = connect::running(root).await else {
        anstream::eprintln!("no agent runs for {}", root.display());
        return match command {
            AgentCommand::Status { .. } => Err(CommandError::silent(code::FAILED)),
            AgentCommand::Stop { .. } => Ok(()),
        };
    };
    match command {
        AgentCommand::Stop { force } => {
            agent.shutdown(*force).await?;
            connect::until_gone(root).await;
            Ok(())
        }
        AgentCommand::Status { format } => {
            let status = agent.status().await?;
            if *format == ListFormat::Json {
                let text = serde_json::to_string(&status)
                    .map_err(|error| CommandError::failed(error.to_string()))?;
                anstream::println!("{text}");
                return Ok(());
            }
            let [agent, keeper, dns] = status.pids;
            anstream::println!("version    {}", status.version);
            anstream::println!("root       {}", status.root.display());
            anstream::println!("agent      {agent}\nkeeper     {keeper}\ndns        {dns}");
            let stacks: Vec<String> = status.stacks.iter().map(ToString::to_string).collect();
            anstream::println!("stacks     {}", stacks.join(", "));
            let running = status.report.instances.values().filter(|instance| instance.pid.is_some()).count();
            anstream::println!("instances  {running} running, {} in all", status.report.instances.len());
            Ok(())
        }
    }
}
