//! Two roots of the same path, in mount namespaces of their own on one machine: neither takes what it finds of the
//! other's for its own.

use std::collections::BTreeSet;
use std::process::Command;

use hoist_tests::command::{Outcome, Signal, wait_for_outcome};
use hoist_tests::{Host, LATER, SOON, Stack};

/// A mount namespace with a file system of its own at the root's path; held by a process.
fn namespace(host: &Host, stack: &Stack<'_>) -> String {
    let root = stack.root().display();
    let holder = format!("mount -t tmpfs none {root} && touch {root}/ready && exec sleep 1000");
    let start = format!("unshare -m --propagation private sh -c '{holder}' > /dev/null 2>&1 & echo $!");
    let pid = host.shell(&start).success().text().to_owned();
    let ready = || host.run("nsenter", &["-t", &pid, "-m", "test", "-e", &format!("{root}/ready")]);
    wait_for_outcome("its file system is there", SOON, ready, |ready| ready.code == 0);
    pid
}

/// The binary, run in the namespace of a process.
fn hoist(host: &Host, stack: &Stack<'_>, namespace: &str, words: &[&str]) -> Outcome {
    let inner = stack.command(words);
    let mut command = Command::new("nsenter");
    command.args(["-t", namespace, "-m"]).arg(inner.get_program()).args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    host.run_for(command, LATER)
}

/// The first process of the only instance.
fn pid(host: &Host, stack: &Stack<'_>, namespace: &str) -> i64 {
    let status = hoist(host, stack, namespace, &["agent", "status", "--format", "json"]).success();
    let status: serde_json::Value = serde_json::from_str(status.text()).unwrap();
    let instances = status["report"]["instances"].as_object().unwrap();
    assert_eq!(instances.len(), 1, "{status}");
    instances.values().next().unwrap()["pid"].as_i64().unwrap_or_else(|| panic!("it doesn't run: {status}"))
}

/// The control groups of the root that is seen there.
fn groups(host: &Host, stack: &Stack<'_>, namespace: &str) -> BTreeSet<String> {
    let file = stack.root().join("tag.json").display().to_string();
    let kept = host.run("nsenter", &["-t", namespace, "-m", "cat", &file]).success();
    let kept: serde_json::Value = serde_json::from_str(kept.text()).unwrap();
    let tag = kept["tag"].as_str().unwrap().to_owned();
    host.inside(move || hoist_tests::listing::groups_of(&tag))
}

#[test]
fn two_roots_of_one_path_leave_each_other_alone() {
    let Some(host) = Host::with(&["nsenter", "unshare"]) else { return };
    let stack = host.stack("crash/records.yaml");
    std::fs::create_dir(stack.root()).unwrap();
    let before = stack.listing();
    let [one, two] = [namespace(&host, &stack), namespace(&host, &stack)];
    hoist(&host, &stack, &one, &["up", "-d"]).ok();
    let first = pid(&host, &stack, &one);
    hoist(&host, &stack, &two, &["up", "-d"]).ok();
    let second = pid(&host, &stack, &two);
    assert_eq!(pid(&host, &stack, &one), first, "the other's start changed nothing");
    let both = [&one, &two].map(|namespace| groups(&host, &stack, namespace));
    assert!(both.iter().all(|groups| !groups.is_empty()) && both[0].is_disjoint(&both[1]), "{both:?}");

    // What an agent finds when it starts is its own, too.
    let agent = hoist(&host, &stack, &two, &["agent", "status", "--format", "json"]).success();
    let agent: serde_json::Value = serde_json::from_str(agent.text()).unwrap();
    host.kill(agent["pids"][0].as_i64().unwrap(), Signal::KILL);
    let ps = || hoist(&host, &stack, &two, &["ps"]);
    wait_for_outcome("an agent answers again", SOON, ps, |ps| ps.code == 0 && ps.stdout.contains("asker"));
    assert_eq!([pid(&host, &stack, &one), pid(&host, &stack, &two)], [first, second]);

    hoist(&host, &stack, &one, &["down", "-v"]).ok();
    assert_eq!(pid(&host, &stack, &two), second, "the other's end changed nothing");
    hoist(&host, &stack, &two, &["agent", "stop", "--force"]).ok();
    hoist_tests::eventually("no control group and no link is left", SOON, || {
        [&one, &two].iter().all(|namespace| groups(&host, &stack, namespace).is_empty())
            && stack.listing().kind("link") == before.kind("link")
    });
    for namespace in [one, two] {
        host.kill(namespace.parse().unwrap(), Signal::KILL);
    }
}
