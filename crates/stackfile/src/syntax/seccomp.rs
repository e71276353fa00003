//! Profiles of system calls, as Docker has them in files of JSON.

use hoist_model::{SeccompAction, SeccompConditions, SeccompFlag, SeccompProfile, SeccompRule};

/// Docker's own profile has 13 KB.
const LONGEST: usize = 1 << 20;

/// What architectures are called (runtime specification, `linux.seccomp.architectures`), after `SCMP_ARCH_`.
const ARCHITECTURES: [&str; 23] = [
    "NATIVE",
    "X86",
    "X86_64",
    "X32",
    "ARM",
    "AARCH64",
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PPC",
    "PPC64",
    "PPC64LE",
    "S390",
    "S390X",
    "PARISC",
    "PARISC64",
    "RISCV64",
    "LOONGARCH64",
    "M68K",
    "SH",
];

/// Reads a profile. Keys that aren't known are passed over, as Docker does: people's profiles have comments.
///
/// # Errors
/// In words: what is wrong, and in which line of the profile where JSON says so.
pub fn parse(text: &[u8]) -> Result<SeccompProfile, String> {
    if text.len() > LONGEST {
        return Err(format!("it is larger than {LONGEST} bytes"));
    }
    let mut profile: SeccompProfile = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    check(&profile)?;
    for rule in &mut profile.syscalls {
        let name = std::mem::take(&mut rule.name);
        if !name.is_empty() && !rule.names.is_empty() {
            return Err(format!("a rule has both `name` ({name}) and `names`: leave one"));
        }
        rule.names.extend((!name.is_empty()).then_some(name));
        check_rule(rule)?;
    }
    Ok(profile)
}

fn check(profile: &SeccompProfile) -> Result<(), String> {
    if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
        return Err("it has both `architectures` and `archMap`: leave one".to_owned());
    }
    let mapped =
        profile.arch_map.iter().flat_map(|of| std::iter::once(&of.architecture).chain(&of.sub_architectures));
    let known =
        |name: &str| name.strip_prefix("SCMP_ARCH_").is_some_and(|name| ARCHITECTURES.contains(&name));
    if let Some(unknown) = profile.architectures.iter().chain(mapped).find(|name| !known(name)) {
        return Err(format!("the architecture `{unknown}` is not known"));
    }
    let waits = profile.flags.iter().flatten().any(|flag| *flag == SeccompFlag::WaitKillableRecv);
    if profile.default_action == SeccompAction::Notify || !profile.listener_path.is_empty() || waits {
        return Err(NOTIFY.to_owned());
    }
    errno(profile.default_errno_ret)
}

const NOTIFY: &str = "it has system calls passed to a listener (SCMP_ACT_NOTIFY), which Hoist doesn't do";

fn check_rule(rule: &SeccompRule) -> Result<(), String> {
    if rule.action == SeccompAction::Notify {
        return Err(NOTIFY.to_owned());
    }
    if let Some(arg) = rule.args.iter().find(|arg| arg.index > 5) {
        return Err(format!("argument {} is compared, but system calls have six, counted from 0", arg.index));
    }
    let wrong =
        |conditions: &&SeccompConditions| !conditions.min_kernel.is_empty() && conditions.kernel().is_none();
    if let Some(conditions) = [&rule.includes, &rule.excludes].iter().copied().find(wrong) {
        return Err(format!("`minKernel: {}` is not a version like 4.8", conditions.min_kernel));
    }
    errno(rule.errno_ret)
}

/// The kernel's largest error number.
fn errno(number: Option<u32>) -> Result<(), String> {
    match number {
        Some(number) if number > 4095 => {
            Err(format!("{number} is not an error number that a system call could return"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn dockers_form_is_read() {
        let profile = parse(
            br#"{
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "comment": "ours",
            "archMap": [{ "architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null }],
            "syscalls": [
                { "name": "read", "action": "SCMP_ACT_ALLOW", "args": null, "includes": null, "excludes": {} },
                { "names": ["socket"], "action": "SCMP_ACT_ALLOW",
                  "args": [{ "index": 0, "value": 40, "op": "SCMP_CMP_NE" }],
                  "includes": { "caps": ["CAP_SYS_ADMIN"], "minKernel": "4.8" } }
            ] }"#,
        )
        .unwrap();
        assert_eq!(profile.syscalls[0].names, ["read"]);
        assert_eq!(profile.syscalls[1].includes.kernel(), Some((4, 8)));
        // What is kept reads back the same.
        let kept = serde_json::to_vec(&profile).unwrap();
        assert_eq!(parse(&kept).unwrap(), profile);
    }

    #[test]
    fn what_can_not_be_met_is_refused_with_its_reason() {
        let with = |more: &str| refused(&format!(r#"{{ "defaultAction": "SCMP_ACT_ALLOW", {more} }}"#));
        assert!(refused("{").contains("line 1"), "{}", refused("{"));
        assert!(refused("{}").contains("missing field `defaultAction`"));
        assert!(refused("\n{ \"defaultAction\": \"DENY\" }").contains("line 2"));
        assert!(with(r#""architectures": ["SCMP_ARCH_Z80"]"#).contains("SCMP_ARCH_Z80"));
        let both = r#""architectures": ["SCMP_ARCH_ARM"], "archMap": [{ "architecture": "SCMP_ARCH_ARM" }]"#;
        assert!(with(both).contains("both"));
        assert_eq!(with(r#""syscalls": [{ "names": ["mount"], "action": "SCMP_ACT_NOTIFY" }]"#), NOTIFY);
        assert_eq!(with(r#""listenerPath": "/run/seccomp""#), NOTIFY);
        assert_eq!(with(r#""flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#), NOTIFY);
        assert!(with(r#""flags": ["FAST"]"#).contains("FAST"));
        let rule = |more: &str| with(&format!(r#""syscalls": [{{ "action": "SCMP_ACT_ERRNO", {more} }}]"#));
        assert!(rule(r#""name": "a", "names": ["b"]"#).contains("both"));
        assert!(rule(r#""names": ["a"], "errnoRet": 5000"#).contains("5000"));
        assert!(
            rule(r#""names": ["a"], "args": [{ "index": 6, "op": "SCMP_CMP_EQ" }]"#).contains("argument 6")
        );
        assert!(rule(r#""names": ["a"], "args": [{ "index": 0, "op": "SCMP_CMP_LIKE" }]"#).contains("LIKE"));
        assert!(rule(r#""names": ["a"], "includes": { "minKernel": "new" }"#).contains("minKernel: new"));
        assert!(refused(&" ".repeat(LONGEST + 1)).contains("larger"));
        let deep = format!("{{ \"syscalls\": {}", "[".repeat(100_000));
        assert!(
            parse(deep.as_bytes()).is_err() && parse(deep.replace("syscalls", "comment").as_bytes()).is_err()
        );
    }
}
