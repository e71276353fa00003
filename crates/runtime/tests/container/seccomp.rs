//! Filters of system calls in containers.

use std::os::fd::OwnedFd;

use hoist_runtime::exec::ExecInput;
use hoist_runtime::launch::Shortfall;
use hoist_runtime::seccomp::{Circumstances, default_profile};
use hoist_runtime::{capabilities, defaults, sandbox};
use oci_spec::runtime::{LinuxSeccomp, Spec};
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::{Value, json};

use crate::world::*;

const SHOW: &str = "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status";

/// Docker's default for a container of Docker's default capabilities.
fn default() -> LinuxSeccomp {
    default_profile().resolve(&Circumstances::here(capabilities::DEFAULT.into_iter().collect()).unwrap())
}

fn with_filter(mut spec: Spec, filter: LinuxSeccomp) -> Spec {
    edit_linux(&mut spec, |linux| {
        linux.set_seccomp(Some(filter));
    });
    spec
}

fn own(value: Value) -> LinuxSeccomp {
    serde_json::from_value(value).unwrap()
}

/// All calls but these.
fn refusing(names: &[&str], action: &str) -> LinuxSeccomp {
    own(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": names, "action": action }] }))
}

#[test]
fn a_filter_is_on_the_program_whoever_it_is() {
    let Some(world) = World::new("a_filter_is_on_the_program_whoever_it_is") else { return };
    for uid in [0, 1000] {
        for confined in [false, true] {
            let mut spec = with_filter(shell(SHOW), default());
            edit_process(&mut spec, |process| {
                let sets = defaults::capabilities(capabilities::DEFAULT, uid);
                process.set_no_new_privileges(Some(confined)).set_capabilities(Some(sets));
                process.user_mut().set_uid(uid).set_gid(uid);
            });
            let expected = format!("NoNewPrivs:\t{}\nSeccomp:\t2\n", u8::from(confined));
            assert_eq!(world.run(spec).ok(), expected, "uid {uid}");
        }
    }
    assert_eq!(world.run(shell(SHOW)).ok(), "NoNewPrivs:\t0\nSeccomp:\t0\n", "without a profile");
}

#[test]
fn the_capabilities_are_cut_under_a_filter_too() {
    let Some(world) = World::new("the_capabilities_are_cut_under_a_filter_too") else { return };
    for uid in [0, 1000] {
        let mut spec =
            with_filter(command(&["grep", "-E", "^Cap(Prm|Eff|Bnd)", "/proc/self/status"]), default());
        edit_process(&mut spec, |process| {
            process.set_capabilities(Some(defaults::capabilities(capabilities::DEFAULT, uid)));
            process.user_mut().set_uid(uid).set_gid(uid);
        });
        let held = if uid == 0 { "00000000a80425fb" } else { "0000000000000000" };
        let expected = format!("CapPrm:\t{held}\nCapEff:\t{held}\nCapBnd:\t00000000a80425fb\n");
        assert_eq!(world.run(spec).ok(), expected, "uid {uid}");
    }
}

#[test]
fn an_init_is_filtered_like_its_program() {
    let Some(world) = World::new("an_init_is_filtered_like_its_program") else { return };
    for confined in [false, true] {
        let mut spec =
            with_filter(shell("grep -h Seccomp: /proc/1/status /proc/self/status; kill -0 1"), default());
        edit_process(&mut spec, |process| {
            process.set_no_new_privileges(Some(confined));
        });
        let (mut input, output) = world.input(spec);
        input.init = true;
        let output = finish(prepare(input).unwrap(), output);
        assert_eq!(output.ok(), "Seccomp:\t2\nSeccomp:\t2\n");
    }
}

#[test]
fn a_new_user_namespace_needs_the_filter_out() {
    let Some(world) = World::new("a_new_user_namespace_needs_the_filter_out") else { return };
    let script = "busybox unshare -U true && echo escaped; busybox unshare -U -m true && echo mounts; true";
    // The guard out: the kernel lets anybody make a user namespace, and be root in it.
    let unguarded = world.run(shell(script)).ok();
    if !unguarded.contains("escaped") {
        println!("skipped a part, because this kernel makes no user namespaces: {unguarded}");
        return;
    }
    assert!(unguarded.contains("mounts"), "{unguarded}");
    let guarded = world.run(with_filter(shell(script), default())).ok();
    assert!(!guarded.contains("escaped") && !guarded.contains("mounts"), "{guarded}");
    assert!(guarded.contains("Operation not permitted"), "{guarded}");
}

#[test]
fn an_exec_has_the_filter_it_is_given() {
    let Some(world) = World::new("an_exec_has_the_filter_it_is_given") else { return };
    let (mut input, _output) = world.input(with_filter(command(&["/bin/sleep", "60"]), default()));
    input.netns = Some(sandbox::network_namespace().unwrap());
    let container = start(prepare(input).unwrap()).unwrap();
    let exec = |seccomp: Option<LinuxSeccomp>| {
        let (reading, writing): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let input = ExecInput {
            container: container.pidfd.try_clone().unwrap(),
            process: process(&["/bin/grep", "Seccomp:", "/proc/self/status"]),
            cgroups: Vec::new(),
            stdio: stdio(&writing),
            terminal: None,
            init: false,
            seccomp,
            shortfall: Shortfall::Warn,
        };
        drop(writing);
        finish(prepare_exec(input).unwrap(), reading).ok()
    };
    assert_eq!(exec(Some(default())), "Seccomp:\t2\n");
    assert_eq!(exec(None), "Seccomp:\t0\n");
}

#[test]
fn only_the_program_is_under_a_filter_that_forbids_new_privileges() {
    let Some(world) = World::new("only_the_program_is_under_a_filter_that_forbids_new_privileges") else {
        return;
    };
    // What a launch does on its way; the program needs none of it.
    let names = ["umask", "capset", "capget", "setresuid", "setresgid", "setgroups", "ftruncate", "clone3"];
    let mut spec =
        with_filter(command(&["/bin/busybox", "echo", "fine"]), refusing(&names, "SCMP_ACT_KILL_PROCESS"));
    edit_process(&mut spec, |process| {
        process.set_no_new_privileges(Some(true));
    });
    assert_eq!(world.run(spec).ok(), "fine\n");
}

#[test]
fn actions_are_the_kernels() {
    let Some(world) = World::new("actions_are_the_kernels") else { return };
    let run = |action: &str| {
        let spec = with_filter(shell("mkdir /tmp/x; echo code $?"), refusing(&["mkdir", "mkdirat"], action));
        world.run(spec).text
    };
    assert!(run("SCMP_ACT_ERRNO").contains("Operation not permitted"));
    assert!(run("SCMP_ACT_KILL_PROCESS").contains("code 159"), "128 and SIGSYS");
    assert!(run("SCMP_ACT_TRAP").contains("code 159"));
    // Without a tracer the call doesn't exist.
    assert!(run("SCMP_ACT_TRACE").contains("Function not implemented"));
    assert!(run("SCMP_ACT_LOG").contains("code 0"));
}

#[test]
fn a_filter_that_forbids_everything_ends_the_process() {
    let Some(world) = World::new("a_filter_that_forbids_everything_ends_the_process") else { return };
    for (confined, action) in [(true, "SCMP_ACT_ERRNO"), (false, "SCMP_ACT_ERRNO"), (true, "SCMP_ACT_KILL")] {
        let mut spec = with_filter(command(&["/bin/true"]), own(json!({ "defaultAction": action })));
        edit_process(&mut spec, |process| {
            process.set_no_new_privileges(Some(confined));
        });
        let (input, _output) = world.input(spec);
        // It has no way left to say that it failed; what matters is that it doesn't stay.
        match start(prepare(input).unwrap()) {
            Ok(started) => assert!(wait(&started) > 128),
            Err(error) => assert!(error.to_string().contains("ended"), "{error}"),
        }
    }
}

#[test]
fn what_can_not_be_filtered_is_refused_before_anything_runs() {
    let Some(world) = World::new("what_can_not_be_filtered_is_refused_before_anything_runs") else { return };
    let (input, _output) = world.input(with_filter(shell("true"), refusing(&["mount"], "SCMP_ACT_NOTIFY")));
    let error = prepare(input).unwrap_err();
    assert_eq!(error.to_string(), "the seccomp profile can't be used");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("SCMP_ACT_NOTIFY"));
}

#[test]
fn an_apparmor_profile_is_an_error_where_there_is_no_apparmor() {
    let Some(world) = World::new("an_apparmor_profile_is_an_error_where_there_is_no_apparmor") else {
        return;
    };
    let prepare = |profile: &str| {
        let mut spec = shell("true");
        edit_process(&mut spec, |process| {
            process.set_apparmor_profile(Some(profile.to_owned()));
        });
        let (input, _output) = world.input(spec);
        prepare(input).map(|launch| launch.to_string())
    };
    assert!(!prepare("unconfined").unwrap().contains("AppArmor"));
    let named = prepare("docker-default");
    if std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y")) {
        assert!(named.unwrap().contains("have AppArmor confine the program by docker-default"));
    } else {
        assert!(named.unwrap_err().to_string().contains("docker-default"));
    }
}

/// Puts a key into a session keyring that is the calling thread's own from here on. Only who has the keyring finds it.
fn key_in_own_session(name: &std::ffi::CStr) {
    // linux/keyctl.h.
    const SETPERM: libc::c_long = 5;
    const SESSION: libc::c_long = -3;
    const ONLY_WHO_HAS_IT: libc::c_long = 0x3f00_0000;
    let nothing = std::ptr::null::<libc::c_char>();
    // SAFETY: integers and C strings that outlive the calls.
    let key = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, nothing);
        let kind = c"user".as_ptr();
        let key = libc::syscall(libc::SYS_add_key, kind, name.as_ptr(), c"secret".as_ptr(), 6_usize, SESSION);
        libc::syscall(libc::SYS_keyctl, SETPERM, key, ONLY_WHO_HAS_IT);
        key
    };
    assert!(key > 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn keyrings_are_the_containers_own() {
    let Some(world) = World::new("keyrings_are_the_containers_own") else { return };
    if !std::path::Path::new("/proc/keys").exists() {
        println!("skipped keyrings_are_the_containers_own, because this kernel has no keys");
        return;
    }
    key_in_own_session(c"hoist-test-key");
    let seen = |text: &str| text.contains("hoist-test-key");
    assert!(seen(&std::fs::read_to_string("/proc/keys").unwrap()));
    // Shown are the keys that a process can find, where nothing masks them.
    let mut spec = command(&["/bin/sh", "-c", "cat /proc/keys; echo end; sleep 60"]);
    edit_linux(&mut spec, |linux| {
        linux.set_masked_paths(None);
    });
    let (mut input, output) = world.input(spec);
    input.netns = Some(sandbox::network_namespace().unwrap());
    let container = start(prepare(input).unwrap()).unwrap();
    let lines: Vec<_> =
        std::iter::repeat_with(|| read_line(&output)).take_while(|line| line != "end").collect();
    let text = lines.join("\n");
    assert!(text.contains("keyring") && !seen(&text), "{text}");
    let (reading, writing): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let input = ExecInput {
        container: container.pidfd.try_clone().unwrap(),
        process: process(&["/bin/cat", "/proc/keys"]),
        cgroups: Vec::new(),
        stdio: stdio(&writing),
        terminal: None,
        init: false,
        seccomp: None,
        shortfall: Shortfall::Warn,
    };
    drop(writing);
    let text = finish(prepare_exec(input).unwrap(), reading).ok();
    assert!(text.contains("keyring") && !seen(&text), "{text}");
}
