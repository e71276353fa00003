//! What `security_opt` comes to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hoist_model::{Seccomp, Service};
use hoist_stackfile::{LowerOptions, MemoryReader, load, lower};
use support::{lines, sources};

const PROFILE: &str = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
  { "name": "mkdir", "action": "SCMP_ACT_ERRNO", "includes": { "minKernel": "4.8" } } ] }"#;

/// A service with these options, `/p/profile.json` beside it, on a kernel with or without AppArmor.
fn security(options: &[&str], apparmor: bool) -> Result<Service, String> {
    let text = format!(
        "services:\n  web:\n    image: x\n    security_opt:\n      - {}\n",
        options.join("\n      - ")
    );
    let mut reader =
        MemoryReader::default().with("/p/profile.json", PROFILE).with("/p/sub/bad.json", "{ \"a\": 1 }");
    if apparmor {
        reader = reader.with("/sys/module/apparmor/parameters/enabled", "Y\n");
    }
    let loaded = load(&sources(&text), &reader).map_err(|findings| lines(&findings))?;
    let lowered =
        lower(&loaded.project, &LowerOptions::default(), &reader).map_err(|findings| lines(&findings))?;
    assert_eq!(lines(&lowered.warnings), "");
    Ok(lowered.stack.services["web"].clone())
}

#[test]
fn security_options_in_all_their_forms() {
    let one = |option: &str| security(&[option], true).unwrap();
    for on in ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true", "no-new-privileges=1"]
    {
        assert!(one(on).no_new_privileges, "{on}");
    }
    assert!(!one("no-new-privileges:false").no_new_privileges);
    assert!(!security(&["no-new-privileges", "no-new-privileges=false"], true).unwrap().no_new_privileges);
    assert_eq!(one("seccomp=unconfined").seccomp, Seccomp::Unconfined);
    assert_eq!(one("seccomp:builtin").seccomp, Seccomp::Builtin);
    for file in [
        "seccomp=profile.json",
        "seccomp:./profile.json",
        "seccomp=/p/profile.json",
        "seccomp=sub/../profile.json",
    ] {
        let Seccomp::Profile(profile) = one(file).seccomp else { panic!("{file}") };
        assert_eq!(profile.syscalls[0].names, ["mkdir"], "its content goes along");
    }
    assert_eq!(one("apparmor=web-tight").apparmor.as_deref(), Some("web-tight"));
    assert_eq!(security(&["apparmor:unconfined"], false).unwrap().apparmor, None);
    assert!(one("systempaths=unconfined").open_system_paths);
    let plain = one("label=disable");
    assert_eq!((plain.seccomp, plain.open_system_paths), (Seccomp::Usual, false));
}

#[test]
fn security_wishes_that_can_not_be_met_are_errors_at_their_line() {
    for (option, said) in [
        ("seccomp=missing.json", "the seccomp profile /p/missing.json: there is no such file"),
        ("seccomp=sub", "the seccomp profile /p/sub: it is a folder"),
        ("seccomp=", "no file is named"),
        (
            "seccomp=sub/bad.json",
            "the seccomp profile /p/sub/bad.json: missing field `defaultAction` at line 1",
        ),
        ("apparmor=docker-default", "this kernel has no AppArmor"),
        ("apparmor=", "names no AppArmor profile"),
        ("label=level:s0:c100", "Hoist sets no SELinux labels"),
        ("label:user:USER", "Hoist sets no SELinux labels"),
        ("no-new-privileges=yes", "neither true nor false"),
        ("no-new-privileges=", "neither true nor false"),
        ("systempaths=none", "`security_opt: systempaths=none` is not known"),
        ("systempaths", "is not known"),
        ("unheard-of", "`security_opt: unheard-of` is not known"),
        ("writable-cgroups=true", "is not known"),
    ] {
        let error = security(&["no-new-privileges", option], false).unwrap_err();
        assert!(
            error.starts_with("/p/stack.yaml:6:9: error[invalid-value]: `services.web`: "),
            "{option}: {error}"
        );
        assert!(error.contains(said), "{option}: {error}");
    }
}

#[test]
fn services_without_security_options_keep_their_hash() {
    let text = serde_json::to_string(&security(&["label=disable"], false).unwrap()).unwrap();
    for key in ["\"seccomp\"", "\"apparmor\"", "\"open_system_paths\""] {
        assert!(!text.contains(key), "{key}");
    }
}
