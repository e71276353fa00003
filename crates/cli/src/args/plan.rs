//! What `hoist up` changes and how, and the arguments of `hoist plan`, which foresees it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Pull, Selection};

/// What an `up` brings up, and how.
#[derive(Debug, Clone, Args)]
pub struct Changes {
    /// What to bring up.
    #[command(flatten)]
    pub selection: Selection,
    /// Number of replicas of a service, until the next up (SERVICE=NUMBER)
    #[arg(long, value_name = "SERVICE=N")]
    pub scale: Vec<String>,
    /// Remove services that are no longer in the file
    #[arg(long)]
    pub remove_orphans: bool,
    /// Build images first
    #[arg(long)]
    pub build: bool,
    /// Don't build images, not even missing ones
    #[arg(long, conflicts_with = "build")]
    pub no_build: bool,
    /// Replace instances even if nothing about them changed
    #[arg(long)]
    pub force_recreate: bool,
    /// Give new instances empty anonymous volumes instead of those of the instances they replace
    #[arg(short = 'V', long)]
    pub renew_anon_volumes: bool,
    /// Replace instances started before the last upgrade of Hoist, to apply its new security defaults
    #[arg(long)]
    pub refresh_guards: bool,
    /// Don't start the services that the named ones depend on
    #[arg(long)]
    pub no_deps: bool,
    /// Create instances without starting them
    #[arg(long)]
    pub no_start: bool,
    /// When to pull images
    #[arg(long, value_enum, default_value_t = Pull::Policy)]
    pub pull: Pull,
}

/// `hoist plan`
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// What would be brought up, and how.
    #[command(flatten)]
    pub changes: Changes,
    /// Output format
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub format: PlanFormat,
    /// Write the plan to a file, for `hoist up --plan`
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}
