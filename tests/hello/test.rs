//! The examples do what they say: the README's first command comes up and answers on its published port; the example of
//! rollouts is planned, redeployed and taken back.

use std::collections::BTreeSet;

use hoist_tests::{Host, SOON, eventually};

#[test]
fn hello_answers_from_here_and_from_outside() {
    let Some(host) = Host::new() else { return };
    let hello = host.stack("../examples/stacks/hello");
    let up = hello.up(&["--wait"]);
    assert!(up.stderr.contains("built hello-front:latest"), "it makes its own images: {up}");
    let here = host.get(8080, "/").success();
    assert!(here.stdout.starts_with("Hello from backend"), "{here}");
    let outside = host.get_from_outside(8080, "/").success();
    assert!(outside.stdout.starts_with("Hello from backend"), "{outside}");
    hello.down();
}

#[test]
fn both_replicas_answer_and_count_in_one_store() {
    let Some(host) = Host::new() else { return };
    let hello = host.stack("../examples/stacks/hello");
    hello.up(&["--wait"]);
    let mut backends = BTreeSet::new();
    let mut visits = 0;
    eventually("both backends answer", SOON, || {
        let answer = host.get_from_outside(8080, "/").success();
        // Hello from backend NAME: visit number N.
        let words: Vec<&str> = answer.text().split([' ', ':', '.']).filter(|word| !word.is_empty()).collect();
        let [_, _, _, name, _, _, number] = words[..] else { panic!("{answer}") };
        visits += 1;
        assert_eq!(number.parse(), Ok(visits), "the store counts every visit once");
        backends.insert(name.to_owned());
        backends.len() == 2
    });
    hello.down();
}

#[test]
fn a_rollout_is_foreseen_told_and_taken_back() {
    let Some(host) = Host::new() else { return };
    let rollout = host.stack("../examples/stacks/rollout");
    rollout.up(&["--wait"]);
    assert!(host.get(8081, "/").success().stdout.starts_with("Hello from backend"));
    let next = rollout.with("RELEASE", "two");
    let plan = next.hoist(&["plan"]).ended_with(3);
    assert!(plan.stdout.contains("RELEASE"), "{plan}");
    let unchanged = rollout.hoist(&["plan"]).ended_with(0);
    assert!(!unchanged.stdout.contains("RELEASE"), "{unchanged}");
    next.up(&["--wait"]);
    let release = || rollout.hoist(&["exec", "-T", "web", "perl", "-e", "print $ENV{RELEASE}"]).success();
    assert_eq!(release().text(), "two");
    rollout.by_name("rollout", &["rollback"]).ok();
    assert_eq!(release().text(), "one");
    let history = rollout.by_name("rollout", &["history"]).success();
    assert_eq!(history.stdout.lines().count(), 4, "a heading and three revisions: {history}");
    rollout.down();
}
