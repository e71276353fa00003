//! A launch that fails says why and leaves nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hoist_runtime::{defaults, launch};
use rustix::io::Errno;
use rustix::process::{WaitOptions, waitpid};

use crate::world::*;

fn failure(world: &World, spec: oci_spec::runtime::Spec) -> (String, Option<String>) {
    let mut launching = prepare(world.input(spec).0).unwrap().spawn().unwrap();
    launching.release();
    let pid = launching.pid();
    let error = settle(launching).unwrap_err();
    // Reaped already: nobody of that id is a child of ours.
    assert_eq!(waitpid(Some(pid), WaitOptions::NOHANG).unwrap_err(), Errno::CHILD);
    (error.to_string(), error.advice)
}

#[test]
fn a_program_that_can_not_be_executed_is_named_with_the_reason() {
    let Some(world) = World::new("a_program_that_can_not_be_executed_is_named_with_the_reason") else {
        return;
    };
    let file = |name: &str, content: &str, mode| {
        fs::write(world.base().join(name), content).unwrap();
        fs::set_permissions(world.base().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    file("bin/plain", "x", 0o644);
    file("bin/garbage", "x", 0o755);
    file("bin/script", "#!/bin/bash\n", 0o755);
    let table = [
        ("nginx", "can't execute nginx: executable file not found in PATH"),
        ("/bin/nginx", "can't execute /bin/nginx: no such file in the container"),
        ("plain", "can't execute plain: permission denied"),
        ("/bin", "can't execute /bin: it is a directory"),
        ("/bin/garbage", "can't execute /bin/garbage: not in a format this machine executes"),
        ("script", "can't execute script: it is there, but the interpreter or loader that it names is not"),
    ];
    for (program, expected) in table {
        let (error, advice) = failure(&world, command(&[program]));
        assert_eq!(error, expected);
        assert!(advice.is_some(), "{program}");
    }
}

#[test]
fn a_mount_that_fails_is_named_with_the_kernels_words() {
    let Some(world) = World::new("a_mount_that_fails_is_named_with_the_kernels_words") else { return };
    let mut spec = shell("true");
    add_mount(&mut spec, defaults::mount("/data", "bind", "/no/such/source", &["rbind"]));
    let (error, advice) = failure(&world, spec);
    assert_eq!(error, "can't clone all of /no/such/source for /data");
    assert_eq!(advice.as_deref(), Some("create the source on this host"));

    let mut spec = shell("true");
    add_mount(&mut spec, defaults::mount("/data", "tmpfs", "tmpfs", &["size=lots"]));
    let (error, _) = failure(&world, spec);
    assert_eq!(error, "can't mount tmpfs at /data (size=lots): tmpfs: Bad value for 'size'");

    let mut spec = shell("true");
    add_mount(&mut spec, defaults::mount("/etc/passwd", "bind", "/etc", &["rbind"]));
    let (error, advice) = failure(&world, spec);
    assert_eq!(error, "can't bind all of /etc at /etc/passwd");
    assert!(advice.unwrap().starts_with("a directory can only be mounted on a directory"));
}

#[test]
fn what_is_not_done_is_refused_before_anything_happens() {
    let Some(world) = World::new("what_is_not_done_is_refused_before_anything_happens") else { return };
    let mut spec = shell("true");
    edit_process(&mut spec, |process| {
        process.set_selinux_label(Some("system_u:system_r:container_t:s0".to_owned()));
    });
    let error = prepare(world.input(spec).0).unwrap_err();
    assert_eq!(error.to_string(), "process.selinuxLabel is not supported by this runtime");

    let mut spec = shell("true");
    add_mount(&mut spec, defaults::mount("/x", "bind", "/etc", &["rbind", "ridmap"]));
    let error = prepare(world.input(spec).0).unwrap_err();
    assert_eq!(error.to_string(), "mounts: /x: the mount option ridmap is not supported by this runtime");
}

#[test]
fn a_dropped_launch_kills_its_child() {
    let Some(world) = World::new("a_dropped_launch_kills_its_child") else { return };
    let launching = prepare(world.input(shell("sleep 1000")).0).unwrap().spawn().unwrap();
    let pid = launching.pid();
    drop(launching);
    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.terminating_signal(), Some(libc::SIGKILL));
}

#[test]
fn a_child_waits_until_it_is_released() {
    let Some(world) = World::new("a_child_waits_until_it_is_released") else { return };
    let (input, output) = world.input(shell("echo up"));
    let mut first = prepare(input).unwrap().spawn().unwrap();
    // What waits at its gate holds no other's open: the second is released though the first never is.
    let (input, second_output) = world.input(shell("echo second"));
    let mut second = prepare(input).unwrap().spawn().unwrap();
    second.release();
    assert_eq!(wait(&settle(second).unwrap()), 0);
    assert_eq!(read_all(second_output), "second\n");
    assert!(matches!(first.poll(), launch::Progress::Pending));
    first.release();
    assert_eq!(wait(&settle(first).unwrap()), 0);
    assert_eq!(read_all(output), "up\n");
}
