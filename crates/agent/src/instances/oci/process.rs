//! The `process` object: of the service itself, and of programs run beside it (exec, probes).

use std::collections::BTreeSet;

use hoist_model::{Command, Template, Ulimit};
use hoist_runtime::users::Identity;
use serde_json::{Value, json};

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

/// Docker's default set (moby, `oci/caps/defaults.go`, as a list of facts).
pub(crate) const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// Every capability that kernels up to 6.18 know (capabilities(7)).
pub(crate) const ALL_CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

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
/// When there is nothing to run.
pub fn process(input: &ProcessInput<'_>) -> Result<Value, SpecError> {
    let service = &input.template.service;
    let args = match input.command {
        Some(words) => words.to_vec(),
        None => arguments(input.template)?,
    };
    let env: Vec<String> = environment(input.template, input.hostname, &input.user.home, input.tty)
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let capabilities = capabilities(input.template);
    // A program of another user than root gets none in force (capabilities(7), execve), as with Docker.
    let effective = if input.user.uid == 0 { capabilities.clone() } else { Vec::new() };
    let cwd = service.working_dir.clone().or_else(|| input.template.image.config.working_dir.clone());
    let mut value = json!({
        "terminal": input.tty,
        "user": { "uid": input.user.uid, "gid": input.user.gid, "additionalGids": input.user.groups },
        "args": args,
        "env": env,
        "cwd": cwd.filter(|dir| !dir.is_empty()).unwrap_or_else(|| "/".to_owned()),
        "capabilities": {
            "bounding": capabilities,
            "effective": effective,
            "permitted": effective,
            "inheritable": [],
            "ambient": [],
        },
        "noNewPrivileges": service.no_new_privileges,
        "rlimits": rlimits(&service.resources.ulimits),
    });
    if let Some(profile) = &service.apparmor {
        value["apparmorProfile"] = json!(profile);
    }
    if let Some(adjustment) = service.resources.oom_score_adj {
        value["oomScoreAdj"] = json!(adjustment);
    }
    Ok(value)
}

/// The default set, or all with `privileged`, then `cap_add`, then `cap_drop`; `ALL` in either goes first, so
/// that the other makes exceptions to it, as Docker reads them.
pub(crate) fn capabilities(template: &Template) -> Vec<String> {
    let service = &template.service;
    let name = |name: &str| name.trim_start_matches("CAP_").to_ascii_uppercase();
    let added: Vec<String> = service.cap_add.iter().map(|cap| name(cap)).collect();
    let dropped: Vec<String> = service.cap_drop.iter().map(|cap| name(cap)).collect();
    let all = |list: &[String]| list.iter().any(|cap| cap == "ALL");
    let mut set: BTreeSet<String> = if service.privileged || all(&added) {
        ALL_CAPABILITIES.iter().map(ToString::to_string).collect()
    } else if all(&dropped) {
        BTreeSet::new()
    } else {
        DEFAULT_CAPABILITIES.iter().map(ToString::to_string).collect()
    };
    set.extend(added.into_iter().filter(|cap| cap != "ALL"));
    if !service.privileged {
        for cap in dropped.iter().filter(|cap| *cap != "ALL") {
            set.remove(cap);
        }
    }
    set.into_iter().map(|cap| format!("CAP_{cap}")).collect()
}

pub(crate) fn rlimits(ulimits: &[Ulimit]) -> Vec<Value> {
    // OCI has no sign: the kernel's "unlimited" is the largest number.
    let bound = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    ulimits
        .iter()
        .map(|limit| {
            json!({
                "type": format!("RLIMIT_{}", limit.name.to_ascii_uppercase()),
                "soft": bound(limit.soft),
                "hard": bound(limit.hard),
            })
        })
        .collect()
}
