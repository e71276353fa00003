//! The arguments of `hoist config`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Selection;

/// `hoist config`
#[derive(Debug, Clone, Args)]
#[command(subcommand_precedence_over_arg = true)]
pub struct Config {
    /// Another view of it.
    #[command(subcommand)]
    pub view: Option<ConfigView>,
    /// What to show.
    #[command(flatten)]
    pub selection: Selection,
    /// yaml or json; with -q, json prints findings for editors; with --variables, table too
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ConfigFormat>,
    /// Only check the file
    #[arg(short, long)]
    pub quiet: bool,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What of it to show.
    #[command(flatten)]
    pub part: ConfigPart,
    /// Pin each image to the digest that its registry has for it
    #[arg(long)]
    pub resolve_image_digests: bool,
    /// Print only an override file that pins images to their digests
    #[arg(long)]
    pub lock_image_digests: bool,
    /// Don't interpolate variables
    #[arg(long)]
    pub no_interpolate: bool,
    /// Don't add defaults
    #[arg(long)]
    pub no_normalize: bool,
    /// Don't resolve paths
    #[arg(long)]
    pub no_path_resolution: bool,
    /// Don't check that referenced resources exist
    #[arg(long)]
    pub no_consistency: bool,
    /// Don't read env_file files into services
    #[arg(long)]
    pub no_env_resolution: bool,
}

/// Forms of what `hoist config` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// Columns.
    Table,
}

/// Parts of a stack that `hoist config` shows alone, one at a time.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub struct ConfigPart {
    /// Names of services, each after those it depends on
    #[arg(long)]
    pub services: bool,
    /// Names of volumes
    #[arg(long)]
    pub volumes: bool,
    /// Names of networks
    #[arg(long)]
    pub networks: bool,
    /// Names of profiles
    // An id of its own: `--profile`, which is global, has the field's name already.
    #[arg(long = "profiles", id = "list-profiles")]
    pub profiles: bool,
    /// Names of images
    #[arg(long)]
    pub images: bool,
    /// Names of models
    #[arg(long)]
    pub models: bool,
    /// Variables used, with defaults
    #[arg(long)]
    pub variables: bool,
    /// The environment used for interpolation
    #[arg(long)]
    pub environment: bool,
    /// Digests that decide recreation: of one service, of several separated by commas, or of all (`*`)
    #[arg(long, value_name = "SERVICE")]
    pub hash: Option<String>,
    /// A JSON schema of stack files, for editors
    #[arg(long)]
    pub schema: bool,
}

/// `hoist config …`
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigView {
    /// Show where a value comes from: every place and every step that changed it
    Explain {
        /// `[FILE] KEY.PATH...`, such as `services.web.ports[0].published`
        #[arg(required = true, value_name = "FILE|KEY.PATH")]
        words: Vec<String>,
        /// Stack file, as before the command
        #[arg(short, long = "file", value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}
