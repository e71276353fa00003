//! Reaching the agent: wherever its root is, and while it is killed and comes back.

use hoist_tests::{Host, Running, SOON, eventually};
use rustix::process::Signal;

#[test]
fn a_root_may_be_deeper_than_a_sockets_address_is_long() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli").in_root(&"deep-".repeat(30));
    stack.up(&["both", "web"]).ok();
    assert_eq!(stack.instance("both").state, "running");
    assert!(stack.hoist(&["exec", "both", "echo", "reached"]).success().stdout.contains("reached"));
    stack.down().ok();
}

#[test]
fn agent_status_is_answered_while_agents_are_killed_and_come_back() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&["both"]).ok();
    for _round in 0..3 {
        let asked: Vec<Running> = (0..60).map(|_| stack.start(&["agent", "status"])).collect();
        let [agent, ..] = stack.daemons();
        host.kill(agent, Signal::KILL);
        for question in asked {
            question.finish(SOON).ok();
        }
        eventually("another agent answers", SOON, || stack.daemons()[0] != agent);
    }
    stack.down().ok();
}

#[test]
fn without_rights_commands_say_so() {
    use std::os::unix::process::CommandExt;
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&["both"]).ok();
    // Where anybody may go, but not in.
    let open = host.run("chmod", &["755", &host.folder().display().to_string()]);
    open.ok();
    let program = host.folder().join("hoist").display().to_string();
    host.run("cp", &[&hoist_tests::host::binary().display().to_string(), &program]).ok();
    let root = stack.root().display().to_string();
    let as_nobody = |words: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.args(["--root", &root, "-p", "cli"]).args(words).uid(65534).gid(65534).current_dir("/");
        host.run_for(command, SOON)
    };
    for words in [
        &["ps"][..],
        &["down"],
        &["logs"],
        &["stop"],
        &["exec", "both", "true"],
        &["images"],
        &["image", "ls"],
        &["system", "df"],
        &["agent", "status"],
        &["agent", "stop"],
    ] {
        let refused = as_nobody(words).ended_with(1);
        assert!(refused.stderr.contains("permission denied") && refused.stderr.contains("sudo"), "{refused}");
        assert_eq!(refused.stdout, "", "{refused}");
    }
    assert_eq!(stack.instance("both").state, "running");
    stack.down().ok();
}

#[test]
fn a_root_that_is_no_folder_is_named() {
    let Some(host) = Host::new() else { return };
    host.run("touch", &[&host.root("root").display().to_string()]).ok();
    let stack = host.stack("cli");
    for words in [&["ps"][..], &["up", "-d"], &["down"], &["agent", "status"], &["image", "ls"]] {
        let refused = stack.hoist(words).ended_with(1);
        assert!(refused.stderr.contains("/root is not a folder"), "{refused}");
    }
}
