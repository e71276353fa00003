//! Names resolve within networks, and networks are apart.

use hoist_tests::command::wait_for_outcome;
use hoist_tests::{Host, Outcome, SOON, Stack};

fn get(stack: &Stack<'_>, from: &str, target: &str) -> Outcome {
    stack.hoist(&["exec", "-T", from, "perl", "get.pl", target])
}

#[track_caller]
fn answers(stack: &Stack<'_>, from: &str, target: &str, text: &str) {
    let what = format!("{target} answers {from}");
    wait_for_outcome(
        &what,
        SOON,
        || get(stack, from, target),
        |got| got.code == 0 && got.stdout.starts_with(text),
    );
}

#[test]
fn services_instances_and_aliases_resolve() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&[]).ok();
    answers(&stack, "talker", "web:8000", "web");
    answers(&stack, "talker", "web-1:8000", "web");
    answers(&stack, "talker", "cli-web-1:8000", "web");
    answers(&stack, "both", "store:8000", "store");
    answers(&stack, "both", "database:8000", "store");
    answers(&stack, "web", "web:8000", "web");
    let none = get(&stack, "talker", "nonsense:8000");
    assert!(none.stderr.contains("no address"), "{none}");
    stack.down().ok();
}

#[test]
fn networks_are_apart() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&[]).ok();
    answers(&stack, "both", "store:8000", "store");
    let name = get(&stack, "talker", "store:8000");
    assert!(name.stderr.contains("no address for store"), "not even the name is known: {name}");
    let status = stack.agent_status();
    let instances = status["report"]["instances"].as_object().unwrap();
    let store = instances.values().find(|report| report["slot"]["service"] == "store").unwrap();
    let address = store["addresses"]["cli_back"][0].as_str().unwrap().to_owned();
    let direct = get(&stack, "talker", &format!("{address}:8000"));
    assert!(
        direct.code != 0 && direct.stderr.contains("can't reach"),
        "nor is the address reached: {direct}"
    );
    let from_host = host.run("curl", &["-sS", "--max-time", "5", &format!("http://{address}:8000/")]);
    let from_outside = host.outside(&["curl", "-sS", "--max-time", "2", &format!("http://{address}:8000/")]);
    assert_ne!(from_outside.code, 0, "nor from outside: {from_outside}; the host: {from_host}");
    stack.down().ok();
}

#[test]
fn replicas_share_the_load_of_one_name() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&["--scale", "store=3"]).ok();
    let mut seen = std::collections::BTreeSet::new();
    hoist_tests::eventually("three replicas answer to one name", SOON, || {
        seen.extend(get(&stack, "both", "store:8000").stdout.split(" from ").nth(1).map(str::to_owned));
        seen.len() == 3
    });
    stack.down().ok();
}

#[test]
fn the_world_outside_is_reached_and_a_stopped_name_refuses() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&[]).ok();
    answers(&stack, "talker", "web:8000", "web");
    stack.hoist(&["stop", "web"]).ok();
    let refused = get(&stack, "talker", "web:8000");
    assert_ne!(refused.code, 0, "{refused}");
    assert!(refused.took.as_secs() < 2, "refused at once, not after a time-out: {refused}");
    stack.down().ok();
}
