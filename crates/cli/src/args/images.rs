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
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Images of the services that these depend on, too
    #[arg(long)]
    pub include_deps: bool,
}

/// `hoist pull`
#[derive(Debug, Clone, Args)]
pub struct PullServices {
    /// Of what.
    #[command(flatten)]
    pub transfer: Transfer,
    /// Go on where an image can't be pulled
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
    /// Go on where an image can't be pushed
    #[arg(long)]
    pub ignore_push_failures: bool,
}

/// `hoist images`
#[derive(Debug, Clone, Args)]
pub struct StackImages {
    /// Whose images.
    #[command(flatten)]
    pub selection: Selection,
    /// How to print
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
    /// Ids only
    #[arg(short, long)]
    pub quiet: bool,
}

/// `hoist load`
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// The archive; standard input when none
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// `hoist save`
#[derive(Debug, Clone, Args)]
pub struct Save {
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Write to this file; standard output when none
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `hoist login`
#[derive(Debug, Clone, Args)]
pub struct Login {
    /// The registry; Docker Hub when none
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    pub registry: String,
    /// Name to log in with
    #[arg(short, long)]
    pub username: Option<String>,
    /// Password, also as -p; other users of this machine can then see it: better use --password-stdin
    #[arg(long, conflicts_with = "password_stdin")]
    pub password: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
}

/// `hoist logout`
#[derive(Debug, Clone, Args)]
pub struct Logout {
    /// The registry; Docker Hub when none
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
        /// Its name
        #[arg(value_name = "IMAGE")]
        image: String,
        /// Of an index, the one for this platform: os/architecture[/variant]
        #[arg(long, value_name = "PLATFORM")]
        platform: Option<String>,
        /// Show no progress
        #[arg(short, long)]
        quiet: bool,
    },
    /// Send an image to the registry that its name says
    Push {
        /// Its name
        #[arg(value_name = "IMAGE")]
        image: String,
        /// Show no progress
        #[arg(short, long)]
        quiet: bool,
    },
    /// Give an image a further name
    Tag {
        /// A name or id
        source: String,
        /// The name to give
        target: String,
    },
    /// Take names away, and images with their last one
    #[command(visible_alias = "remove")]
    Rm {
        /// Names or ids
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        /// Images by id though they have several names
        #[arg(short, long)]
        force: bool,
    },
    /// Show all that is known of images
    Inspect {
        /// Names or ids
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Show how an image came to be
    History(History),
    /// Make an image of a root file system's archive
    Import {
        /// The archive; `-` is standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// The name it gets
        #[arg(value_name = "IMAGE")]
        reference: Option<String>,
        /// A Dockerfile instruction that says how it is run
        #[arg(short, long = "change", value_name = "INSTRUCTION")]
        changes: Vec<String>,
        /// What its history says
        #[arg(short, long)]
        message: Option<String>,
    },
    /// Take out images that nothing needs
    Prune(Prune),
    /// As `hoist load`
    Load(Load),
    /// As `hoist save`
    Save(Save),
}

/// `hoist image ls`
#[derive(Debug, Clone, Args)]
pub struct ImageLs {
    /// Only this one
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
    /// Those without a tag, too
    #[arg(short, long)]
    pub all: bool,
    /// Ids only
    #[arg(short, long)]
    pub quiet: bool,
    /// Whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// With their digests
    #[arg(long)]
    pub digests: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `hoist image history`
#[derive(Debug, Clone, Args)]
pub struct History {
    /// A name or id
    pub image: String,
    /// Whole commands
    #[arg(long)]
    pub no_trunc: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `hoist image prune`, `hoist system prune`
#[derive(Debug, Clone, Args)]
pub struct Prune {
    /// Every image that nothing needs, not only those without a tag
    #[arg(short, long)]
    pub all: bool,
    /// Don't ask
    #[arg(short, long)]
    pub force: bool,
    /// Only what was last used so long ago: `until=24h`
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
}

/// `hoist system prune`
#[derive(Debug, Clone, Args)]
pub struct PruneAll {
    /// Which images.
    #[command(flatten)]
    pub prune: Prune,
    /// With -a, also volumes that no stack names, with their data
    #[arg(long)]
    pub volumes: bool,
}

/// `hoist system …`
#[derive(Debug, Clone, Subcommand)]
pub enum SystemCommand {
    /// Show what takes how much room
    Df {
        /// How to print
        #[arg(long, value_enum, default_value_t = ListFormat::Table)]
        format: ListFormat,
    },
    /// Take out what nothing needs
    Prune(PruneAll),
    /// Read the whole image store and name what is damaged (exit code 1)
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
