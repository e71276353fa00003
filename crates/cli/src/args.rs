//! The command line. Compose's commands and flags first; what they mean is in `commands`.

mod agent;
mod build;
mod config;
mod images;
mod plan;
mod revisions;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use agent::*;
pub use build::Build;
pub use config::{Config, ConfigFormat, ConfigPart, ConfigView};
pub use images::*;
pub use plan::*;
pub use revisions::*;

/// Runs Compose stacks on this machine, and keeps them running.
#[derive(Debug, Parser)]
#[command(name = "hoist", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Stack file; may be given several times: later files override earlier ones. `-` is standard input.
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Name of the stack; the default is the file's `name`, or the name of its folder.
    #[arg(short, long, global = true, value_name = "NAME")]
    pub project_name: Option<String>,
    /// Folder that relative paths start from; the default is the first file's folder.
    #[arg(long, global = true, value_name = "DIR")]
    pub project_directory: Option<PathBuf>,
    /// Files to read variables from, instead of `.env`.
    #[arg(long = "env-file", global = true, value_name = "FILE")]
    pub env_files: Vec<PathBuf>,
    /// Enable a profile.
    #[arg(long = "profile", global = true, value_name = "NAME")]
    pub profiles: Vec<String>,
    /// Folder for all of Hoist's state; each folder is a Hoist of its own on this machine.
    #[arg(long, global = true, env = "HOIST_ROOT", value_name = "DIR", default_value = "/var/lib/hoist")]
    pub root: PathBuf,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = Ansi::Auto)]
    pub ansi: Ansi,
    /// How to show progress.
    #[arg(long, global = true, value_enum, default_value_t = ProgressStyle::Auto)]
    pub progress: ProgressStyle,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ansi {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressStyle {
    /// `tty` on a terminal, else `plain`.
    Auto,
    /// Lines that are redrawn in place.
    Tty,
    /// A line for each change.
    Plain,
    /// Nothing but errors.
    Quiet,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create and start the services of the stack file, and keep them running
    Up(Up),
    /// Show what up would do, and change nothing
    Plan(Plan),
    /// Build the images of services
    Build(Build),
    /// Stop and remove a stack's instances and networks
    Down(Down),
    /// List instances
    Ps(Ps),
    /// Show the output of instances
    Logs(Logs),
    /// Run a command inside a running instance
    Exec(Exec),
    /// Stop services; they stay stopped until started
    Stop(Stop),
    /// Start stopped services
    Start(Start),
    /// Stop and start services
    Restart(Restart),
    /// Show a stack's revisions: when, who, what changed, how it ended
    History(StackHistory),
    /// Show what two revisions, or a revision and the stack file, have otherwise
    Diff(Diff),
    /// Take a stack back to an earlier revision
    Rollback(Rollback),
    /// Show the stack file as it is understood
    Config(Config),
    /// Print the dependency graph in the DOT language
    Graph(Selection),
    /// Fetch services' images from their registries
    Pull(PullServices),
    /// Send services' images to their registries
    Push(PushServices),
    /// List the images that a stack's instances run
    Images(StackImages),
    /// Load images from an archive
    Load(Load),
    /// Write images to an archive
    Save(Save),
    /// Store credentials for a registry
    Login(Login),
    /// Remove stored credentials for a registry
    Logout(Logout),
    /// Manage images
    #[command(subcommand)]
    Image(ImageCommand),
    /// Show and reclaim disk space
    #[command(subcommand)]
    System(SystemCommand),
    /// Print the version
    Version(Version),
    /// Run or inspect the agent of this machine
    Agent(Agent),
}

/// A stack file as the first argument where none is given by `-f`, then services.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// `[FILE] [SERVICE]...`: a first word with a `/`, or ending in .yaml or .yml, is the stack file.
    #[arg(value_name = "FILE|SERVICE")]
    pub words: Vec<String>,
    /// Stack file, as before the command
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `hoist up`
#[derive(Debug, Clone, Args)]
pub struct Up {
    /// What to bring up, and how.
    #[command(flatten)]
    pub changes: Changes,
    /// Show what would be done, as `hoist plan` does, and do nothing
    #[arg(long, conflicts_with = "plan")]
    pub dry_run: bool,
    /// Do what `hoist plan -o` foresaw, with its options, unless something has changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scale", "remove_orphans", "force_recreate",
        "refresh_guards", "renew_anon_volumes", "no_deps", "no_start", "pull"])]
    pub plan: Option<PathBuf>,
    /// Don't ask before data is destroyed
    #[arg(short, long)]
    pub yes: bool,
    /// Return once everything is started, without showing logs
    #[arg(short, long)]
    pub detach: bool,
    /// Return once everything runs and is healthy; implies --detach
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub wait_timeout: Option<u64>,
    /// Don't show the progress of pulls
    #[arg(long)]
    pub quiet_pull: bool,
    /// Stop everything when one instance exits
    #[arg(long, conflicts_with_all = ["detach", "wait", "no_start"])]
    pub abort_on_container_exit: bool,
    /// Exit with the exit code of this service; implies --abort-on-container-exit
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["detach", "wait", "no_start"])]
    pub exit_code_from: Option<String>,
    /// Show times in logs
    #[arg(long)]
    pub timestamps: bool,
    /// Don't prefix log lines with the instance's name
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Show logs without colours
    #[arg(long)]
    pub no_color: bool,
    /// Seconds between the stop signal and SIGKILL when stopping
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u32>,
}

/// `hoist down`
#[derive(Debug, Clone, Args)]
pub struct Down {
    /// What to take down.
    #[command(flatten)]
    pub selection: Selection,
    /// Remove the stack's volumes with their data
    #[arg(short, long)]
    pub volumes: bool,
    /// Seconds between the stop signal and SIGKILL
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u32>,
    /// Accepted as in docker compose; down removes orphans anyway
    #[arg(long)]
    pub remove_orphans: bool,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// Columns.
    Table,
    /// One JSON object a line, with docker compose's keys.
    Json,
}

/// `hoist ps`
#[derive(Debug, Clone, Args)]
pub struct Ps {
    /// What to list.
    #[command(flatten)]
    pub selection: Selection,
    /// Include stopped instances
    #[arg(short, long)]
    pub all: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
    /// Print only ids
    #[arg(short, long)]
    pub quiet: bool,
    /// Print only the names of services
    #[arg(long)]
    pub services: bool,
    /// Don't shorten ids and commands
    #[arg(long)]
    pub no_trunc: bool,
}

/// `hoist logs`
#[derive(Debug, Clone, Args)]
pub struct Logs {
    /// `[FILE] [SERVICE]...`, as with the other commands; `-f` is `--follow` here.
    #[arg(value_name = "FILE|SERVICE")]
    pub words: Vec<String>,
    /// Keep printing new lines as they are written
    #[arg(short, long)]
    pub follow: bool,
    /// Number of lines to show from the end of each instance's log
    #[arg(short = 'n', long, value_name = "N", default_value = "all")]
    pub tail: String,
    /// Show times
    #[arg(short, long)]
    pub timestamps: bool,
    /// Show lines since this time (RFC 3339, or a duration before now such as 10m)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Show lines up to this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Show only this replica
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Don't prefix lines with the instance's name
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Don't use colours
    #[arg(long)]
    pub no_color: bool,
}

/// `hoist exec`
#[derive(Debug, Clone, Args)]
pub struct Exec {
    /// `[FILE] SERVICE COMMAND [ARG]...`
    #[arg(required = true, trailing_var_arg = true, value_name = "SERVICE COMMAND")]
    pub words: Vec<String>,
    /// Run the command in the background
    #[arg(short, long)]
    pub detach: bool,
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Number of the replica to run in
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub index: u32,
    /// Don't allocate a terminal; by default the command gets one if standard input and output are terminals
    #[arg(short = 'T', long, alias = "no-TTY", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "BOOL")]
    pub no_tty: Option<bool>,
    /// Allocate a terminal if standard input is one, even if standard output is not
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_name = "BOOL")]
    pub tty: Option<bool>,
    /// Connect standard input (the default)
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_name = "BOOL")]
    pub interactive: Option<bool>,
    /// Run with all capabilities
    #[arg(long)]
    pub privileged: bool,
    /// User to run as
    #[arg(short, long)]
    pub user: Option<String>,
    /// Folder to run in
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
}

/// `hoist stop`
#[derive(Debug, Clone, Args)]
pub struct Stop {
    /// What to stop.
    #[command(flatten)]
    pub selection: Selection,
    /// Seconds between the stop signal and SIGKILL
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u32>,
}

/// `hoist start`
#[derive(Debug, Clone, Args)]
pub struct Start {
    /// What to start.
    #[command(flatten)]
    pub selection: Selection,
    /// Return once everything is healthy
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub wait_timeout: Option<u64>,
}

/// `hoist restart`
#[derive(Debug, Clone, Args)]
pub struct Restart {
    /// What to restart.
    #[command(flatten)]
    pub selection: Selection,
    /// Don't restart services that depend on the named ones
    #[arg(long)]
    pub no_deps: bool,
    /// Seconds between the stop signal and SIGKILL
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u32>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn exec_takes_the_flags_that_people_type() {
        let exec = |flags: &str| {
            let line = format!("hoist exec {flags} web sh -it -c x");
            let parsed = Cli::try_parse_from(line.split_whitespace());
            let Command::Exec(exec) = parsed.unwrap_or_else(|error| panic!("{line}: {error}")).command else {
                panic!("{line} is exec")
            };
            assert_eq!(exec.words, ["web", "sh", "-it", "-c", "x"], "{line}");
            exec
        };
        for both in ["-it", "-ti", "-i -t", "-t -i", "--tty --interactive", "--tty=true --interactive=true"] {
            let exec = exec(both);
            assert_eq!((exec.tty, exec.interactive, exec.no_tty), (Some(true), Some(true), None), "{both}");
        }
        for none in ["-T", "--no-TTY", "--no-tty", "--no-TTY=true"] {
            assert_eq!(exec(none).no_tty, Some(true), "{none}");
        }
        assert_eq!(exec("-iT").no_tty, Some(true));
        assert_eq!(exec("--no-tty=false").no_tty, Some(false));
        assert_eq!(exec("-t=false --interactive=false").interactive, Some(false));
        assert_eq!(exec("-ituroot").user.as_deref(), Some("root"));
        assert_eq!(exec("-dit -e A=b -w /").tty, Some(true));
    }

    #[test]
    fn every_command_can_be_parsed_and_read() {
        Cli::command().debug_assert();
        let lines = [
            "hoist -f a.yml up -d --wait --scale web=2 web",
            "hoist up a/b.yaml --profile x --env-file e",
            "hoist down -v -t 3",
            "hoist down --dry-run",
            "hoist plan -f a.yml --scale web=2 --format json -o x.plan web",
            "hoist up a.yml --plan x.plan -d -y",
            "hoist up --dry-run --force-recreate web",
            "hoist ps -a --format json",
            "hoist logs -f --tail 3 -t web",
            "hoist exec -T --user x web ls -la",
            "hoist logs -ft web",
            "hoist logs -ftn 5 web",
            "hoist logs -fn5",
            "hoist ps -aq",
            "hoist down -vt 3",
            "hoist up -dt 3",
            "hoist stop -t 1",
            "hoist start --wait",
            "hoist restart --no-deps web",
            "hoist config --profiles --profile y --format json",
            "hoist config -f x.yaml web",
            "hoist config explain x.yaml services.web.image",
            "hoist graph",
            "hoist history -p shop --format json",
            "hoist rollback a.yaml 3 --dry-run",
            "hoist diff 1 2",
            "hoist diff a.yaml --format json",
            "hoist rollback -p shop --wait",
            "hoist load -i x.tar",
            "hoist version --short",
            "hoist agent status",
            "hoist agent stop --force",
        ];
        for line in lines {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
