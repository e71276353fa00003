//! Image commands: top level where docker compose and docker have them, the rest below `image` and `system`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ListFormat, Selection};

/// When `up` pulls images, instead of as each service says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pull {
    /// Every image.
    Always,
    /// Images that are not here.
    Missing,
    /// None.
    Never,
    /// As `pull_policy` says.
    Policy,
}

/// Which images `hoist pull` leaves alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PullWhich {
    /// None.
    Always,
    /// Those that are here.
    Missing,
}

/// What `hoist pull` and `hoist push` have in common.
#[derive(Debug, Clone, Args)]
pub struct Transfer {
    /// Whose images.
    #[command(flatten)]
    pub selection: Selection,
    /// Don't show progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Include the services that the named ones depend on
    #[arg(long)]
    pub include_deps: bool,
}

/// `hoist pull`
#[derive(Debug, Clone, Args)]
pub struct PullServices {
    /// Of what.
    #[command(flatten)]
    pub transfer: Transfer,
    /// Continue when an image can't be pulled
    #[arg(long)]
    pub ignore_pull_failures: bool,
    /// Which images to pull
    #[arg(long, value_enum, default_value_t = PullWhich::Always)]
    pub policy: PullWhich,
}

/// `hoist push`
#[derive(Debug, Clone, Args)]
pub struct PushServices {
    /// Of what.
    #[command(flatten)]
    pub transfer: Transfer,
    /// Continue when an image can't be pushed
    #[arg(long)]
    pub ignore_push_failures: bool,
}

/// `hoist images`
#[derive(Debug, Clone, Args)]
pub struct StackImages {
    /// Whose images.
    #[command(flatten)]
    pub selection: Selection,
    /// Output format
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
    /// Print only ids
    #[arg(short, long)]
    pub quiet: bool,
}

/// `hoist load`
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// Archive to read; the default is standard input
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Print only errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// `hoist save`
#[derive(Debug, Clone, Args)]
pub struct Save {
    /// Names or ids of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// File to write; the default is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `hoist login`
#[derive(Debug, Clone, Args)]
pub struct Login {
    /// Registry; the default is Docker Hub
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    pub registry: String,
    /// User name
    #[arg(short, long)]
    pub username: Option<String>,
    /// Password (also -p); other users of this machine can see it: prefer --password-stdin
    #[arg(long, conflicts_with = "password_stdin")]
    pub password: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
}

/// `hoist logout`
#[derive(Debug, Clone, Args)]
pub struct Logout {
    /// Registry; the default is Docker Hub
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    pub registry: String,
}

/// `hoist image …`
#[derive(Debug, Clone, Subcommand)]
pub enum ImageCommand {
    /// List all images of this host
    #[command(visible_alias = "list")]
    Ls(ImageLs),
    /// Fetch an image from its registry
    Pull {
        /// Name of the image
        #[arg(value_name = "IMAGE")]
        image: String,
        /// Platform to pull if the image has several: os/architecture[/variant]
        #[arg(long, value_name = "PLATFORM")]
        platform: Option<String>,
        /// Don't show progress
        #[arg(short, long)]
        quiet: bool,
    },
    /// Push an image to the registry in its name
    Push {
        /// Name of the image
        #[arg(value_name = "IMAGE")]
        image: String,
        /// Don't show progress
        #[arg(short, long)]
        quiet: bool,
    },
    /// Add a name to an image
    Tag {
        /// Name or id of the image
        source: String,
        /// Name to add
        target: String,
    },
    /// Remove names of images; an image is removed with its last name
    #[command(visible_alias = "remove")]
    Rm {
        /// Names or ids of images
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        /// Remove an image given by id even if it has several names
        #[arg(short, long)]
        force: bool,
    },
    /// Show all details of images as JSON
    Inspect {
        /// Names or ids of images
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Show the steps that made an image
    History(History),
    /// Make an image from a tar archive of a root file system
    Import {
        /// Archive to read; `-` is standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// Name for the image
        #[arg(value_name = "IMAGE")]
        reference: Option<String>,
        /// Dockerfile instruction to apply, such as `CMD ["/bin/app"]`
        #[arg(short, long = "change", value_name = "INSTRUCTION")]
        changes: Vec<String>,
        /// Comment for the image's history
        #[arg(short, long)]
        message: Option<String>,
    },
    /// Remove unused images
    Prune(Prune),
    /// Same as `hoist load`
    Load(Load),
    /// Same as `hoist save`
    Save(Save),
}

/// `hoist image ls`
#[derive(Debug, Clone, Args)]
pub struct ImageLs {
    /// Show only this image
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
    /// Include images without a tag
    #[arg(short, long)]
    pub all: bool,
    /// Print only ids
    #[arg(short, long)]
    pub quiet: bool,
    /// Don't shorten ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Show digests
    #[arg(long)]
    pub digests: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `hoist image history`
#[derive(Debug, Clone, Args)]
pub struct History {
    /// Name or id of the image
    pub image: String,
    /// Don't shorten commands
    #[arg(long)]
    pub no_trunc: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `hoist image prune`, `hoist system prune`
#[derive(Debug, Clone, Args)]
pub struct Prune {
    /// Remove all unused images, not only those without a tag
    #[arg(short, long)]
    pub all: bool,
    /// Don't ask for confirmation
    #[arg(short, long)]
    pub force: bool,
    /// Only remove what was last used before this long ago: `until=24h`
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
}

/// `hoist system prune`
#[derive(Debug, Clone, Args)]
pub struct PruneAll {
    /// Which images.
    #[command(flatten)]
    pub prune: Prune,
    /// With -a, also remove volumes that no stack names, with their data
    #[arg(long)]
    pub volumes: bool,
}

/// `hoist system …`
#[derive(Debug, Clone, Subcommand)]
pub enum SystemCommand {
    /// Show disk usage
    Df {
        /// Output format
        #[arg(long, value_enum, default_value_t = ListFormat::Table)]
        format: ListFormat,
    },
    /// Remove unused data
    Prune(PruneAll),
    /// Verify the whole image store; exit code 1 if something is damaged
    Check,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::Cli;

    #[test]
    fn every_image_command_can_be_parsed() {
        let lines = [
            "hoist pull a.yml web --ignore-pull-failures --policy missing -q",
            "hoist push web",
            "hoist images --format json",
            "hoist save -o x.tar a b:1",
            "hoist login -u me --password-stdin localhost:5000",
            "hoist login -u me -p secret",
            "hoist logout",
            "hoist up --pull always --quiet-pull",
            "hoist image ls -q",
            "hoist image pull a:1 --platform linux/arm64",
            "hoist image rm -f a b",
            "hoist image import - a:1 -c CMD=x",
            "hoist image history a",
            "hoist image prune -af --filter until=24h",
            "hoist system df",
            "hoist system prune -f",
            "hoist system prune -a --volumes",
            "hoist system check",
        ];
        for line in lines {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
