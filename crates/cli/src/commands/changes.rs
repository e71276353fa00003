//! What `up` and `plan` both make of the stack file and the options: the request to the agent, and what is built before.

use std::collections::BTreeMap;

use hoist_model::{PullPolicy, ServiceName};
use hoist_wire::{PutStack, Up};

use crate::args;
use crate::author::author;
use crate::builder::{self, Declared, Overrides};
use crate::connect;
use crate::error::CommandError;
use crate::project::{Project, Target};
use crate::registry_access;

/// What the agent is asked for.
///
/// # Errors
/// Wrong use, or credentials that can't be read.
pub(super) fn put(project: &Project, changes: &args::Changes) -> Result<PutStack, CommandError> {
    Ok(PutStack {
        up: options(changes, &project.target.services)?,
        stack: project.stack.clone(),
        project_dir: project.dir.clone(),
        files: project.files.clone(),
        expected: None,
        access: registry_access::access(project.images())?,
        by: author(),
        may_destroy: false,
    })
}

/// What is built before: what is missing, or with `--build` all.
pub(super) async fn builds(
    declared: &Declared,
    changes: &args::Changes,
    target: &Target,
) -> Result<Vec<builder::Wanted>, CommandError> {
    if declared.is_empty() || changes.no_build {
        return Ok(Vec::new());
    }
    let mut overrides = Overrides { missing_only: !changes.build, ..Overrides::default() };
    if overrides.missing_only {
        overrides.here = builder::here(&connect::connect(&target.root).await?, declared).await?;
    }
    declared.wanted(&target.services, !changes.no_deps, &overrides)
}

fn options(changes: &args::Changes, services: &[ServiceName]) -> Result<Up, CommandError> {
    Ok(Up {
        services: services.to_vec(),
        no_deps: changes.no_deps,
        scale: scale(&changes.scale)?,
        remove_orphans: changes.remove_orphans,
        force_recreate: changes.force_recreate,
        refresh_guards: changes.refresh_guards,
        renew_volumes: changes.renew_anon_volumes,
        no_start: changes.no_start,
        wait: false,
        pull: pull(changes.pull),
    })
}

fn pull(choice: args::Pull) -> Option<PullPolicy> {
    match choice {
        args::Pull::Always => Some(PullPolicy::Always),
        args::Pull::Missing => Some(PullPolicy::Missing),
        args::Pull::Never => Some(PullPolicy::Never),
        args::Pull::Policy => None,
    }
}

/// `--scale`, by service.
///
/// # Errors
/// What isn't SERVICE=NUMBER.
pub(super) fn scale(words: &[String]) -> Result<BTreeMap<ServiceName, u32>, CommandError> {
    let one = |word: &String| {
        let (service, number) = word.split_once('=')?;
        Some((ServiceName::new(service).ok()?, number.parse().ok()?))
    };
    words
        .iter()
        .map(|word| {
            one(word)
                .ok_or_else(|| CommandError::usage(format!("--scale takes SERVICE=NUMBER, not {word:?}")))
        })
        .collect()
}
