//! The `process` object: of the service itself, and of programs run beside it (exec, probes).

use hoist_model::{Command, Template, Ulimit};
use hoist_runtime::users::Identity;
use hoist_runtime::{capabilities, defaults};
use oci_spec::runtime::{Capabilities, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, User};

use super::SpecError;
use super::env::environment;

/// What decides a process object.
#[derive(Debug, Clone, Copy)]
pub struct ProcessInput<'a> {
    /// The instance's definition.
    pub template: &'a Template,
    /// Who it runs as.
    pub user: &'a Identity,
    /// For `HOSTNAME`.
    pub hostname: &'a str,
    /// Run this; the service's own command when none.
    pub command: Option<&'a [String]>,
    /// With a terminal.
    pub tty: bool,
}

/// The program and its arguments: a given entrypoint also sets the image's command aside (Compose
/// specification, `entrypoint`).
///
/// # Errors
/// When nothing is left to run.
pub fn arguments(template: &Template) -> Result<Vec<String>, SpecError> {
    let image = &template.image.config;
    let (entrypoint, inherited): (&[String], &[String]) = match &template.service.entrypoint {
        Command::Image => (&image.entrypoint, &image.command),
        Command::Given(words) => (words, &[]),
    };
    let command = match &template.service.command {
        Command::Image => inherited,
        Command::Given(words) => words,
    };
    let words: Vec<String> = entrypoint.iter().chain(command).cloned().collect();
    if words.is_empty() { Err(SpecError::NoCommand) } else { Ok(words) }
}

/// Writes the process object.
///
/// # Errors
/// When there is nothing to run, or something has no OCI form.
pub fn process(input: &ProcessInput<'_>) -> Result<Process, SpecError> {
    let service = &input.template.service;
    let args = match input.command {
        Some(words) => words.to_vec(),
        None => arguments(input.template)?,
    };
    let env = environment(input.template, input.hostname, &input.user.home, input.tty)
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"));
    let cwd = service.working_dir.clone().or_else(|| input.template.image.config.working_dir.clone());
    let cwd = cwd.filter(|dir| !dir.is_empty()).unwrap_or_else(|| "/".to_owned());
    // A program of another user than root gets none in force (capabilities(7), execve), as with Docker.
    let capabilities = defaults::capabilities(granted(input.template)?, input.user.uid);
    let mut process = Process::default();
    process
        .set_terminal(Some(input.tty))
        .set_user(user(input.user))
        .set_args(Some(args))
        .set_env(Some(env.collect()))
        .set_cwd(cwd.into())
        .set_capabilities(Some(capabilities))
        .set_no_new_privileges(Some(service.no_new_privileges))
        .set_rlimits(Some(rlimits(&service.resources.ulimits)?))
        .set_apparmor_profile(service.apparmor.clone())
        .set_oom_score_adj(service.resources.oom_score_adj);
    Ok(process)
}

pub(crate) fn user(identity: &Identity) -> User {
    let mut user = User::default();
    user.set_uid(identity.uid).set_gid(identity.gid).set_additional_gids(Some(identity.groups.clone()));
    user
}

/// The default set, or all with `privileged`, then `cap_add`, then `cap_drop`; `ALL` in either goes first, so
/// that the other makes exceptions to it, as Docker reads them.
///
/// # Errors
/// When one isn't known.
pub(crate) fn granted(template: &Template) -> Result<Capabilities, SpecError> {
    let service = &template.service;
    let named = |list: &[String]| -> Result<(bool, Capabilities), SpecError> {
        let (all, some): (Vec<&String>, Vec<&String>) = list
            .iter()
            .partition(|name| name.eq_ignore_ascii_case("ALL") || name.eq_ignore_ascii_case("CAP_ALL"));
        let one = |name: &&String| {
            capabilities::by_name(name).ok_or_else(|| SpecError::Capability((*name).clone()))
        };
        Ok((!all.is_empty(), some.iter().map(one).collect::<Result<_, _>>()?))
    };
    let (add_all, added) = named(&service.cap_add)?;
    let (drop_all, dropped) = named(&service.cap_drop)?;
    let mut set: Capabilities = if service.privileged || add_all {
        capabilities::all().collect()
    } else if drop_all {
        Capabilities::new()
    } else {
        capabilities::DEFAULT.into_iter().collect()
    };
    set.extend(added);
    if !service.privileged {
        set.retain(|capability| !dropped.contains(capability));
    }
    Ok(set)
}

/// # Errors
/// When one isn't known.
pub(crate) fn rlimits(ulimits: &[Ulimit]) -> Result<Vec<PosixRlimit>, SpecError> {
    // OCI has no sign: the kernel's "unlimited" is the largest number.
    let bound = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let limit = |limit: &Ulimit| {
        let unknown = || SpecError::Ulimit(limit.name.clone());
        let kind = format!("RLIMIT_{}", limit.name.to_ascii_uppercase()).parse::<PosixRlimitType>();
        let made = PosixRlimitBuilder::default()
            .typ(kind.map_err(|_| unknown())?)
            .soft(bound(limit.soft))
            .hard(bound(limit.hard))
            .build();
        made.map_err(|_| unknown())
    };
    ulimits.iter().map(limit).collect()
}
