//! Services, execs and probes run under Docker's default seccomp profile, or under what `security_opt` says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use hoist_tests::{Host, Outcome, SOON, Stack, eventually};

fn up(host: &Host) -> Stack<'_> {
    let stack = host.stack("seccomp");
    stack.up(&[]);
    stack
}

fn exec(stack: &Stack<'_>, options: &[&str], service: &str, script: &str) -> Outcome {
    stack.hoist(&[&["exec", "-T"], options, &[service, "sh", "-c", script]].concat())
}

#[test]
fn every_process_of_a_service_has_the_filter_that_is_asked_for() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let show = "grep ^Seccomp: /proc/self/status | tr -d '\\t'";
    for (service, mode) in [
        ("usual", 2),
        ("init", 2),
        ("user", 2),
        ("confined", 2),
        ("builtin", 2),
        ("own", 2),
        ("colon", 2),
        ("admin", 2),
        ("open", 2),
        ("unconfined", 0),
        ("privileged", 0),
    ] {
        let first = format!("Seccomp:{mode}Seccomp:{mode}\n");
        eventually("the service has said it", SOON, || stack.logs(service) == first);
        assert_eq!(exec(&stack, &[], service, show).success().text(), format!("Seccomp:{mode}"), "{service}");
    }
    let more = exec(&stack, &["--privileged"], "usual", show).success();
    assert_eq!(more.text(), "Seccomp:2", "more capabilities, and no more system calls");
    stack.wait_for_instance("usual", "is healthy by filtered probes", |row| row.health == "healthy");
    stack.down().ok();
}

#[test]
fn profiles_act() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    // A user namespace is how one without privileges comes to what is root's; without the filter it is there.
    let escape = "unshare -U -r -m mount -t tmpfs none /mnt && echo escaped";
    let unguarded = exec(&stack, &[], "unconfined", escape);
    let guarded = exec(&stack, &[], "usual", escape);
    assert_eq!(guarded.code, 1, "{guarded}");
    assert!(guarded.stderr.contains("Operation not permitted"), "{guarded}");
    if !unguarded.stdout.contains("escaped") {
        println!("a part was skipped, because this kernel makes no user namespaces: {unguarded}");
    }
    // With the capability, what it is for.
    exec(&stack, &[], "admin", "unshare -m mount -t tmpfs none /mnt").ok();
    for service in ["own", "colon"] {
        let refused = exec(&stack, &[], service, "mkdir /made");
        assert!(refused.stderr.contains("Operation not supported"), "{refused}");
    }
    exec(&stack, &[], "usual", "mkdir /made").ok();
    // Nothing of /proc is read-only or hidden, and nothing else is opened with it.
    let paths = "grep -c ' /proc/sys ro' /proc/self/mountinfo; grep -c ' /proc/[k-t]' /proc/self/mountinfo";
    assert_eq!(exec(&stack, &[], "open", paths).stdout, "0\n0\n");
    assert!(exec(&stack, &[], "usual", paths).stdout.starts_with("1\n"));
    stack.down().ok();
}

#[test]
fn wishes_that_can_not_be_met_are_errors_of_the_file_and_change_nothing() {
    let Some(host) = Host::new() else { return };
    let folder = tempfile::TempDir::with_prefix("hoist-security-").unwrap();
    let file = folder.path().join("stack.yaml");
    fs::write(folder.path().join("bad.json"), "{\n \"defaultAction\": \"SCMP_ACT_REFUSE\"\n}").unwrap();
    fs::write(folder.path().join("asks.json"), r#"{ "defaultAction": "SCMP_ACT_NOTIFY" }"#).unwrap();
    fs::write(&file, "services: {}\n").unwrap();
    let stack = host.stack(folder.path().to_str().unwrap());
    for (option, said) in [
        ("seccomp=missing.json", "missing.json: there is no such file"),
        ("seccomp=bad.json", "unknown variant `SCMP_ACT_REFUSE`"),
        ("seccomp=asks.json", "SCMP_ACT_NOTIFY"),
        ("label=type:container_t", "SELinux"),
        ("no-new-privileges:maybe", "neither true nor false"),
        ("systempaths=some", "`security_opt: systempaths=some` is not known"),
        ("sandbox=on", "`security_opt: sandbox=on` is not known"),
    ] {
        let text = format!(
            "name: security\nservices:\n  web:\n    x-hoist: {{ rootfs: / }}\n    command: sleep 1000\n    security_opt:\n      - {option}\n"
        );
        fs::write(&file, text).unwrap();
        let refused = stack.hoist(&["up", "--detach"]);
        assert_eq!(refused.code, 2, "{option}: {refused}");
        assert!(
            refused.stderr.contains("stack.yaml:7:9") && refused.stderr.contains(said),
            "{option}: {refused}"
        );
    }
    assert!(!stack.root().join("store.redb").exists(), "nothing was started for it");
}

#[test]
fn a_profile_that_no_kernel_takes_fails_at_once() {
    let Some(host) = Host::new() else { return };
    let folder = tempfile::TempDir::with_prefix("hoist-security-").unwrap();
    let case = |value: u32| {
        let arg = format!(r#"{{ "index": 1, "value": {value}, "op": "SCMP_CMP_EQ" }}"#);
        format!(r#"{{ "names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [{arg}] }}"#)
    };
    let rules: Vec<String> = (0..2000).map(|value| case(value * 2)).collect();
    let profile = format!(r#"{{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}] }}"#, rules.join(","));
    fs::write(folder.path().join("long.json"), profile).unwrap();
    let text = "name: long\nservices:\n  web:\n    x-hoist: { rootfs: / }\n    command: sleep 1000\n    \
                restart: always\n    security_opt: [seccomp=long.json]\n";
    fs::write(folder.path().join("stack.yaml"), text).unwrap();
    let stack = host.stack(folder.path().to_str().unwrap());
    let failed = stack.hoist(&["up", "--detach"]);
    assert_eq!(failed.code, 1, "{failed}");
    assert!(failed.stderr.contains("the seccomp profile can't be used"), "{failed}");
    assert!(failed.stderr.contains("4096"), "{failed}");
}
