//! The small PID 1.

use rustix::process::{Signal, pidfd_send_signal};

use crate::world::*;

fn with_init(world: &World, script: &str) -> (Started, std::os::fd::OwnedFd) {
    let (mut input, output) = world.input(shell(script));
    input.init = true;
    (start(prepare(input).unwrap()).unwrap(), output)
}

#[test]
fn init_passes_the_exit_code_on() {
    let Some(world) = World::new("init_passes_the_exit_code_on") else { return };
    let (running, output) = with_init(&world, "echo $$; exit 7");
    assert_eq!(read_all(output), "2\n");
    assert_eq!(wait(&running), 7);
}

#[test]
fn init_reaps_what_is_orphaned() {
    let Some(world) = World::new("init_reaps_what_is_orphaned") else { return };
    // Each subshell leaves a grandchild behind, whose end nobody but PID 1 can take note of.
    let script = "for i in 1 2 3 4 5; do (sleep 0.05 &); done; sleep 0.5; \
                  grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l";
    let (running, output) = with_init(&world, script);
    assert_eq!(read_all(output), "0\n");
    assert_eq!(wait(&running), 0);
}

#[test]
fn init_forwards_signals() {
    let Some(world) = World::new("init_forwards_signals") else { return };
    let script = "trap 'echo hup' HUP; trap 'echo term; exit 3' TERM; echo up; while :; do sleep 0.05; done";
    let (running, output) = with_init(&world, script);
    assert_eq!(read_line(&output), "up");
    pidfd_send_signal(&running.pidfd, Signal::HUP).unwrap();
    assert_eq!(read_line(&output), "hup");
    pidfd_send_signal(&running.pidfd, Signal::TERM).unwrap();
    assert_eq!(read_line(&output), "term");
    assert_eq!(wait(&running), 3);
}

#[test]
fn a_program_ended_by_a_signal_ends_init_as_a_shell_would_say() {
    let Some(world) = World::new("a_program_ended_by_a_signal_ends_init_as_a_shell_would_say") else {
        return;
    };
    let (running, output) = with_init(&world, "echo up; exec sleep 1000");
    assert_eq!(read_line(&output), "up");
    pidfd_send_signal(&running.pidfd, Signal::TERM).unwrap();
    assert_eq!(wait(&running), 128 + libc::SIGTERM);
}

#[test]
fn init_has_no_privileges_descriptors_or_memory_to_offer() {
    let Some(world) = World::new("init_has_no_privileges_descriptors_or_memory_to_offer") else { return };
    let script = "grep CapEff /proc/1/status; cat /proc/1/comm; cat /proc/1/cmdline; echo; \
                  readlink /proc/1/exe || echo hidden; ls /proc/1/fd 2>/dev/null | wc -l";
    let (running, output) = with_init(&world, script);
    assert_eq!(read_all(output).replace('\0', ""), "CapEff:\t00000000a80425fb\ninit\ninit\nhidden\n0\n");
    assert_eq!(wait(&running), 0);
}

#[test]
fn a_failing_program_under_init_is_told_as_well() {
    let Some(world) = World::new("a_failing_program_under_init_is_told_as_well") else { return };
    let (mut input, _output) = world.input(command(&["nothing"]));
    input.init = true;
    let error = start(prepare(input).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "can't execute nothing: executable file not found in PATH");
}

/// A line of `/proc/PID/smaps_rollup`, in KiB.
fn memory(running: &Started, field: &str) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", running.pid.as_raw_nonzero());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:"))).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn init_does_not_keep_its_callers_memory() {
    let Some(world) = World::new("init_does_not_keep_its_callers_memory") else { return };
    let large = vec![7_u8; 64 << 20];
    let (running, output) = with_init(&world, "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done");
    assert_eq!(read_line(&output), "up");
    // It gives back while the program starts already.
    let begun = std::time::Instant::now();
    while memory(&running, "Anonymous") > 8 << 10 {
        assert!(begun.elapsed().as_secs() < 10, "{} KiB", memory(&running, "Anonymous"));
    }
    pidfd_send_signal(&running.pidfd, Signal::TERM).unwrap();
    // And it still does its work.
    assert_eq!(wait(&running), 6);
    assert_eq!(large.last(), Some(&7));
}
