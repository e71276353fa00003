//! Arguments of what concerns a stack's revisions.

use std::path::PathBuf;

use clap::Args;

use super::{ListFormat, Selection};

/// `hoist history`
#[derive(Debug, Clone, Args)]
pub struct StackHistory {
    /// Which stack.
    #[command(flatten)]
    pub selection: Selection,
    /// Output format; json prints an object a line
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `hoist diff`
#[derive(Debug, Clone, Args)]
pub struct Diff {
    /// `[REVISION] [REVISION|FILE]`: without a revision the present one and the stack file, with one that and the present
    #[arg(value_name = "REVISION|FILE")]
    pub words: Vec<String>,
    /// Stack file, as before the command
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Output format; json prints an object a line
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `hoist rollback`
#[derive(Debug, Clone, Args)]
pub struct Rollback {
    /// `[FILE] [REVISION]`; the default is the last revision that succeeded before the present one
    #[arg(value_name = "FILE|REVISION")]
    pub words: Vec<String>,
    /// Stack file, as before the command
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Return once everything runs and is healthy
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub wait_timeout: Option<u64>,
}
