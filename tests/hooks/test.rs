//! Hooks: what runs before and after a start and before an end, what their failures mean, and that they survive a kill
//! of the agent.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use hoist_tests::{Host, SOON, Stack, eventually};

/// A stack whose hooks write to a folder of the host's.
struct Hooked<'h> {
    stack: Stack<'h>,
    out: PathBuf,
}

impl<'h> Hooked<'h> {
    fn new(host: &'h Host) -> Self {
        let out = host.folder().join("out");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join("said"), "").unwrap();
        for (path, mode) in [(&out, 0o777), (&out.join("said"), 0o666)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        Self { stack: host.stack("hooks").with("OUT", &out.display().to_string()), out }
    }

    fn mark(&self, name: &str) {
        std::fs::write(self.out.join(name), "").unwrap();
    }

    fn unmark(&self, name: &str) {
        std::fs::remove_file(self.out.join(name)).unwrap();
    }

    /// What was said since the last time.
    fn said(&self) -> Vec<String> {
        let file = self.out.join("said");
        let said = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, "").unwrap();
        said.lines().map(str::to_owned).collect()
    }
}

const STARTED: [&str; 2] = ["one has started as 1 in /tmp", "one has started with more"];

#[test]
fn hooks_run_in_their_order_and_again_when_the_instance_is_replaced() {
    let Some(host) = Host::new() else { return };
    let it = Hooked::new(&host);
    it.stack.up(&[]).ok();
    let first = it.said();
    assert_eq!(first[..2], ["first step of one", "second step"]);
    assert_eq!(first[2..4], STARTED, "{first:?}");
    assert_eq!(first[4..], ["after"], "what depends on it starts once its hooks have passed");
    it.stack.up(&[]).ok();
    assert!(it.said().is_empty(), "nothing has changed");

    it.stack.with("WHO", "two").up(&["web"]).ok();
    it.stack.wait_for_drains();
    let second = it.said();
    let place =
        |line: &str| second.iter().position(|said| said == line).unwrap_or_else(|| panic!("{second:?}"));
    assert!(place("second step") < place("two has started with more"), "{second:?}");
    assert!(place("two has started with more") < place("one takes its leave"), "{second:?}");
    assert!(place("one takes its leave") < place("one is told to end"), "{second:?}");
    assert_eq!(second.len(), 6, "{second:?}");

    it.stack.with("WHO", "two").hoist(&["restart", "web"]).ok();
    let restarted = it.said();
    let again = ["two takes its leave", "two is told to end", "two has started as 1 in /tmp"];
    assert_eq!(restarted[..3], again, "{restarted:?}");
    it.stack.down().ok();
    assert_eq!(it.said()[..2], again[..2]);
}

#[test]
fn a_failed_hook_fails_the_up_and_the_old_instance_goes_on() {
    let Some(host) = Host::new() else { return };
    let it = Hooked::new(&host);
    it.stack.up(&["web"]).ok();
    let old = it.stack.ps().into_iter().find(|row| row.service == "web").unwrap().id;
    it.mark("fail-start");
    let two = it.stack.with("WHO", "two");
    let up = two.hoist(&["up", "-d", "web"]).ended_with(1);
    let said = up.stderr.contains("its post_start hook 1") && up.stderr.contains("exits with 3: no room");
    assert!(said, "{up}");
    assert!(host.get(8091, "/").success().stdout.contains("one"), "the old one goes on serving");
    assert!(it.stack.ps().iter().any(|row| row.id == old));

    it.unmark("fail-start");
    two.up(&["web"]).ok();
    two.wait_for_drains();
    assert!(host.get(8091, "/").success().stdout.contains("two"));

    it.mark("fail-step");
    let up = it.stack.with("WHO", "three").hoist(&["up", "-d", "web"]).ended_with(1);
    assert!(up.stderr.contains("didn't complete successfully"), "{up}");
    assert!(host.get(8091, "/").success().stdout.contains("two"));
    it.stack.down().ok();
}

#[test]
fn a_hanging_pre_stop_is_ended_and_a_killed_agent_loses_no_hook() {
    let Some(host) = Host::new() else { return };
    let it = Hooked::new(&host);
    it.stack.up(&["web"]).ok();
    it.said();
    it.mark("hang");
    let down = it.stack.start(&["stop", "-t", "2", "web"]);
    let mut said = Vec::new();
    eventually("the hook runs", SOON, || {
        said.extend(it.said());
        !said.is_empty()
    });
    it.stack.kill_daemons();
    drop(down.finish(SOON));
    it.stack.hoist(&["stop", "-t", "2", "web"]).ok();
    said.extend(it.said());
    let leaves = said.iter().filter(|line| *line == "one takes its leave").count();
    assert!((1..=3).contains(&leaves), "{said:?}");
    assert_eq!(said.last().map(String::as_str), Some("one is told to end"), "{said:?}");
    it.stack.down().ok();
}
