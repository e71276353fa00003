//! Builds that are cut short, by Ctrl-C or by the end of the command or of the agent: nothing is left of them.

use std::fs;
use std::path::Path;

use hoist_tests::command::{Running, Signal};
use hoist_tests::{Host, SOON, Stack, eventually};

/// Its command sleeps when it is run the first time, with another process in the background, a mount of each kind, and
/// a file half written.
const SLEEPS: &str = r#"FROM scratch AS tools
COPY busybox /bin/busybox
FROM tools AS final
RUN --mount=type=cache,target=/cache --mount=type=bind,from=tools,target=/tools --mount=type=tmpfs,target=/scratch \
    --mount=type=secret,id=token ["/bin/busybox", "sh", "-c", "test -e /cache/again && exit 0; \
    busybox touch /cache/again /half; echo asleep; busybox setsid busybox sleep 76541 & busybox sleep 76542"]
"#;

/// A build that sleeps.
fn asleep(stack: &Stack<'_>, folder: &Path) -> Running {
    fs::write(folder.join("web/Dockerfile"), SLEEPS).unwrap();
    let build = stack.start(&["build", "web"]);
    eventually("the command is asleep", SOON, || build.stderr().contains("| asleep"));
    for kind in ["process", "control group", "file"] {
        assert!(left(stack).contains(kind), "a build that runs shows in the list of {kind}");
    }
    build
}

/// What there is of a build: its processes, control groups, mounts and folders.
pub(super) fn left(stack: &Stack<'_>) -> String {
    let folder = format!("{}/images/tmp/", stack.root().display());
    let is_of_a_build = [
        ("process", "sleep 7654"),
        ("control group", "/build-"),
        ("mount", &folder[..]),
        ("file", &folder[..]),
    ];
    let listing = stack.listing();
    let mut text = String::new();
    for (kind, mark) in is_of_a_build {
        for item in listing.kind(kind).iter().filter(|item| item.contains(mark)) {
            text += &format!("{kind} {item}\n");
        }
    }
    text
}

#[track_caller]
fn nothing_is_left_and_the_next_build_succeeds(stack: &Stack<'_>) {
    eventually("nothing is left of the build", SOON, || left(stack).is_empty());
    let again = stack.hoist(&["build", "web"]).success();
    assert!(!again.stderr.contains("| asleep"), "the cache mount is as it was: {again}");
    assert!(again.stderr.contains("built "), "{again}");
    assert_eq!(left(stack), "");
    assert_eq!(stack.hoist(&["system", "check"]).success().text(), "the image store is sound");
}

#[test]
fn a_build_ends_with_the_command_that_asked_for_it() {
    for (signal, code) in [(Signal::INT, 130), (Signal::KILL, 137)] {
        let Some(host) = Host::with(&["busybox"]) else { return };
        let (folder, _kept) = super::project(&host, "interrupted");
        let stack = host.stack(folder.to_str().unwrap());
        let build = asleep(&stack, &folder);
        build.signal(signal);
        assert_eq!(build.finish(SOON).code, code);
        nothing_is_left_and_the_next_build_succeeds(&stack);
    }
}

#[test]
fn what_a_killed_agent_leaves_of_a_build_the_next_one_ends() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "killed");
    let stack = host.stack(folder.to_str().unwrap());
    let build = asleep(&stack, &folder);
    let [agent, ..] = stack.daemons();
    host.kill(agent, Signal::KILL);
    assert_eq!(build.finish(SOON).code, 1);
    nothing_is_left_and_the_next_build_succeeds(&stack);
}

#[test]
fn a_build_ends_with_the_agent_that_is_told_to_stop() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "stopped");
    let stack = host.stack(folder.to_str().unwrap());
    let build = asleep(&stack, &folder);
    stack.hoist(&["agent", "stop", "--force"]).ok();
    assert_eq!(build.finish(SOON).code, 1);
    nothing_is_left_and_the_next_build_succeeds(&stack);
}
