//! The agent and the binary itself.

use clap::{Args, Subcommand};

use super::ListFormat;

/// `hoist version`
#[derive(Debug, Clone, Args)]
pub struct Version {
    /// Print only the version number
    #[arg(long)]
    pub short: bool,
    /// Output format: text or json
    #[arg(short = 'F', long, value_name = "FORMAT", default_value = "text")]
    pub format: String,
}

/// `hoist agent`
#[derive(Debug, Clone, Args)]
pub struct Agent {
    /// What about it; without a word: run as the agent, in the foreground.
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
    /// Leave the session, say `ready` on standard output, end when there is nothing left to look after.
    #[arg(long, hide = true)]
    pub background: bool,
    /// The keeper starts it, in place of one that was killed.
    #[arg(long, hide = true)]
    pub respawned: bool,
}

/// `hoist agent …`
#[derive(Debug, Clone, Subcommand)]
pub enum AgentCommand {
    /// Show the agent, its processes and what it runs
    Status {
        /// Output format
        #[arg(long, value_enum, default_value_t = ListFormat::Table)]
        format: ListFormat,
    },
    /// Show what the agent says of its work; also when no agent runs
    Logs {
        /// Go on showing what it says
        #[arg(short, long)]
        follow: bool,
        /// Lines to show from the end; all that are kept without it
        #[arg(short = 'n', long, value_name = "N")]
        tail: Option<usize>,
    },
    /// End agent, keeper and dns; refused while instances run
    Stop {
        /// Stop all instances first; `hoist agent` or `hoist up` starts them again
        #[arg(long)]
        force: bool,
    },
}
