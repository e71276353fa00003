//! `hoist build`: makes the images that the stack file says how to make.

use std::sync::Arc;

use crate::args;
use crate::builder::{self, Overrides, Wanted};
use crate::commands::pull;
use crate::connect;
use crate::error::{CommandError, code};
use crate::out::{errln, outln};
use crate::project::Project;
use crate::style;

/// Runs the command.
///
/// # Errors
/// When an image can't be built, or pushed; with `--check` when there is anything to say.
pub(crate) async fn run(
    project: Project,
    args: &args::Build,
    style: args::ProgressStyle,
) -> Result<(), CommandError> {
    say_what_has_no_effect(args);
    let overrides = Overrides {
        arguments: args.build_arg.clone(),
        no_cache: args.no_cache,
        pull: args.pull,
        ssh: args.ssh.clone(),
        memory: args.memory,
        ..Overrides::default()
    };
    let wanted = project.builds.wanted(&project.target.services, args.with_dependencies, &overrides)?;
    if args.print {
        outln!("{:#}", project.builds.bake(&wanted));
        return Ok(());
    }
    if wanted.is_empty() {
        errln!("nothing to build: no service chosen has a `build`");
        return Ok(());
    }
    let agent = Arc::new(connect::connect(&project.target.root).await?);
    let style = pull::quiet(args.quiet, style);
    if args.check {
        let fine = builder::check(&agent, wanted, args.quiet).await?;
        return if fine { Ok(()) } else { Err(CommandError::silent(code::FAILED)) };
    }
    let names = if args.push { to_push(&project, &wanted) } else { Vec::new() };
    for (_, image) in builder::build(&agent, wanted, style).await? {
        if args.quiet {
            outln!("{}", image.id);
        }
    }
    pull::push_images(&agent, &names, style, false).await
}

/// The names of services' images that a registry can be asked to keep.
fn to_push(project: &Project, wanted: &[Wanted]) -> Vec<String> {
    let mut names = Vec::new();
    for one in wanted {
        if project.builds.has_image(&one.service) {
            names.extend(one.request.names.iter().cloned());
        } else {
            errln!("{} is not pushed: it has no `image`", one.service);
        }
    }
    names
}

fn say_what_has_no_effect(args: &args::Build) {
    let none = "Hoist writes no attestations";
    let flags = [
        ("builder", &args.builder, "Hoist itself builds"),
        ("provenance", &args.provenance, none),
        ("sbom", &args.sbom, none),
    ];
    for (flag, value, why) in flags {
        if value.as_deref().is_some_and(|value| value != "false") {
            errln!("{}warning:{:#} --{flag} has no effect: {why}", style::WARN, style::WARN);
        }
    }
}
