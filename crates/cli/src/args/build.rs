//! `hoist build`.

use clap::Args;

use super::Selection;

/// `hoist build`
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of docker compose's")]
pub struct Build {
    /// What to build.
    #[command(flatten)]
    pub selection: Selection,
    /// Set a build argument; without a value it is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// Don't use the results of earlier builds
    #[arg(long)]
    pub no_cache: bool,
    /// Pull base images even if they are present
    #[arg(long)]
    pub pull: bool,
    /// Push the images of services that have an `image` to their registries
    #[arg(long, conflicts_with_all = ["check", "print"])]
    pub push: bool,
    /// Make an ssh agent or key available to steps that ask for one
    #[arg(long, value_name = "ID[=SOCKET]")]
    pub ssh: Vec<String>,
    /// Also build what the named services depend on
    #[arg(long)]
    pub with_dependencies: bool,
    /// Memory limit for each command, such as `512m`
    #[arg(short, long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// Report problems in the Dockerfiles without building
    #[arg(long, conflicts_with = "print")]
    pub check: bool,
    /// Print what would be built as a file for `docker buildx bake`, without building
    #[arg(long)]
    pub print: bool,
    /// Accepted as in docker compose; Hoist itself builds
    #[arg(long, value_name = "NAME")]
    pub builder: Option<String>,
    /// Accepted as in docker compose; no attestation is written
    #[arg(long, value_name = "TEXT")]
    pub provenance: Option<String>,
    /// Accepted as in docker compose; no attestation is written
    #[arg(long, value_name = "TEXT")]
    pub sbom: Option<String>,
    /// Print only the ids of the images
    #[arg(short, long)]
    pub quiet: bool,
}

/// A size above zero.
fn size(text: &str) -> Result<u64, String> {
    let bytes = hoist_stackfile::syntax::bytes::parse(text)?;
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0).ok_or_else(|| "a limit is more than zero".to_owned())
}
