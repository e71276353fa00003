//! `hoist build`: makes the images that the stack file says how to make.

use crate::args;
use crate::build::{self, Overrides};
use crate::connect;
use crate::error::CommandError;
use crate::project::Project;

/// Runs the command.
///
/// # Errors
/// When an image can't be built.
pub(crate) async fn run(
    project: Project,
    args: &args::Build,
    style: args::ProgressStyle,
) -> Result<(), CommandError> {
    let overrides = Overrides {
        arguments: args.build_arg.clone(),
        no_cache: args.no_cache,
        pull: args.pull,
        ssh: args.ssh.clone(),
        missing_only: false,
    };
    let wanted = project.builds.wanted(&project.target.services, args.with_dependencies, &overrides)?;
    if wanted.is_empty() {
        anstream::eprintln!("nothing to build: no service chosen has a `build`");
        return Ok(());
    }
    let agent = std::sync::Arc::new(connect::connect(&project.target.root).await?);
    let style = if args.quiet { args::ProgressStyle::Quiet } else { style };
    for (_, image) in build::build(&agent, wanted, style).await? {
        if args.quiet {
            anstream::println!("{}", image.id);
        }
    }
    Ok(())
}
