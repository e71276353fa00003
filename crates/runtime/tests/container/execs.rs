//! Further processes in a running container.

use std::os::fd::OwnedFd;

use hoist_runtime::exec::ExecInput;
use hoist_runtime::launch::Shortfall;
use hoist_runtime::{capabilities, defaults, sandbox};
use oci_spec::runtime::Process;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::world::*;

fn container(world: &World) -> Started {
    let (mut input, output) = world.input(shell("echo inside > /tmp/mark; echo up; exec sleep 1000"));
    input.netns = Some(sandbox::network_namespace().unwrap());
    let running = start(prepare(input).unwrap()).unwrap();
    assert_eq!(read_line(&output), "up");
    running
}

fn input(container: &Started, process: Process) -> (ExecInput, OwnedFd) {
    let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let container = container.pidfd.try_clone().unwrap();
    let stdio = stdio(&writing);
    let shortfall = Shortfall::Warn;
    (
        ExecInput {
            container,
            process,
            cgroups: Vec::new(),
            stdio,
            terminal: None,
            init: false,
            seccomp: None,
            shortfall,
        },
        reading,
    )
}

#[test]
fn an_exec_is_a_process_of_the_container_and_a_child_of_the_caller() {
    let Some(world) = World::new("an_exec_is_a_process_of_the_container_and_a_child_of_the_caller") else {
        return;
    };
    let container = container(&world);
    let script = "cat /tmp/mark; hostname; grep CapEff /proc/self/status; ls /proc/self/fd | wc -l; \
                  for n in pid mnt net; do readlink /proc/self/ns/$n; done";
    let (input, output) = input(&container, process(&["/bin/sh", "-c", script]));
    let text = finish(prepare_exec(input).unwrap(), output).ok();
    let pid = container.pid.as_raw_nonzero();
    let namespaces = ["pid", "mnt", "net"].map(|kind| {
        std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().to_string_lossy().into_owned()
    });
    // Three descriptors, and the one by which ls reads the directory.
    let expected = format!("inside\nbox\nCapEff:\t00000000a80425fb\n4\n{}\n", namespaces.join("\n"));
    assert_eq!(text, expected);
}

#[test]
fn the_caller_stays_in_its_own_pid_namespace() {
    let Some(world) = World::new("the_caller_stays_in_its_own_pid_namespace") else { return };
    let container = container(&world);
    let (input, output) = input(&container, process(&["/bin/true"]));
    finish(prepare_exec(input).unwrap(), output).ok();
    let own = std::fs::read_link("/proc/thread-self/ns/pid").unwrap();
    assert_eq!(std::fs::read_link("/proc/thread-self/ns/pid_for_children").unwrap(), own);
    assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::Dumpable);
}

#[test]
fn an_exec_has_its_own_user_environment_and_directory() {
    let Some(world) = World::new("an_exec_has_its_own_user_environment_and_directory") else { return };
    let container = container(&world);
    let mut process = process(&["sh", "-c", "id -u; pwd; echo $COLOUR; grep CapEff /proc/self/status"]);
    process
        .set_cwd("/tmp".into())
        .set_env(Some(vec!["PATH=/nowhere:/bin".to_owned(), "COLOUR=green".to_owned()]))
        .set_capabilities(Some(defaults::capabilities(capabilities::DEFAULT, 1000)));
    process.user_mut().set_uid(1000).set_gid(1001);
    let (input, output) = input(&container, process);
    let text = finish(prepare_exec(input).unwrap(), output).ok();
    assert_eq!(text, "1000\n/tmp\ngreen\nCapEff:\t0000000000000000\n");
}

#[test]
fn an_exec_that_fails_says_why() {
    let Some(world) = World::new("an_exec_that_fails_says_why") else { return };
    let container = container(&world);
    let (input_, _output) = input(&container, process(&["bash"]));
    let error = start(prepare_exec(input_).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "can't execute bash: executable file not found in PATH");

    let mut missing = process(&["/bin/true"]);
    missing.set_cwd("/not/there".into());
    let (input_, _output) = input(&container, missing);
    let error = start(prepare_exec(input_).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "can't enter the working directory /not/there");
}

#[test]
fn an_exec_into_an_ended_container_is_an_error() {
    let Some(world) = World::new("an_exec_into_an_ended_container_is_an_error") else { return };
    let container = container(&world);
    let (input, _output) = input(&container, process(&["/bin/true"]));
    drop(container);
    let error = prepare_exec(input).unwrap().spawn().unwrap_err();
    assert_eq!(error.to_string(), "the container has ended");
}
