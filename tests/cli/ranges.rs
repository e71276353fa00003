//! The addresses of a root's networks, and others on the host that want the same.

use std::fs;

use hoist_tests::{Host, SOON, Stack, eventually};
use serde_json::Value;

fn ranges(stack: &Stack<'_>) -> String {
    fs::read_to_string(stack.root().join("fabric/ranges.json")).unwrap()
}

fn subnet(stack: &Stack<'_>) -> String {
    let status = stack.agent_status();
    status["report"]["networks"]["ranges_default"]["subnets"][0].as_str().unwrap().to_owned()
}

fn answers(host: &Host, port: u16) {
    let asked = || host.get(port, "/port").stdout.trim() == port.to_string();
    eventually(&format!("port {port} answers"), SOON, asked);
}

#[test]
fn two_roots_that_chose_the_same_ranges_part_before_they_meet() {
    let Some(host) = Host::with(&["python3"]) else { return };
    let one = host.stack("cli/ranges.yaml").in_root("one").with("PORT", "22200");
    let other = host.stack("cli/ranges.yaml").in_root("other").with("PORT", "22201");
    one.up(&["--wait"]).ok();
    answers(&host, 22200);
    one.down().ok();
    one.hoist(&["agent", "stop"]).ok();
    // While the first has nothing on the host, the second chooses its ranges.
    fs::create_dir_all(other.root().join("fabric")).unwrap();
    fs::write(other.root().join("fabric/ranges.json"), ranges(&one)).unwrap();
    other.up(&["--wait"]).ok();
    assert_eq!(ranges(&one), ranges(&other));
    one.up(&["--wait"]).ok();
    assert_ne!(ranges(&one), ranges(&other));
    answers(&host, 22200);
    answers(&host, 22201);
    one.down().ok();
    answers(&host, 22201);
    other.down().ok();
}

#[test]
fn idle_agents_have_claimed_their_ranges() {
    let Some(host) = Host::with(&["python3"]) else { return };
    let one = host.stack("cli/ranges.yaml").in_root("one").with("PORT", "22202");
    let other = host.stack("cli/ranges.yaml").in_root("other").with("PORT", "22203");
    one.up(&["--wait"]).ok();
    one.down().ok();
    // Its agent runs, or only its keeper: nothing of its network is left to be seen.
    fs::create_dir_all(other.root().join("fabric")).unwrap();
    fs::write(other.root().join("fabric/ranges.json"), ranges(&one)).unwrap();
    let [agent, ..] = one.daemons();
    host.kill(agent, rustix::process::Signal::KILL);
    other.up(&["--wait"]).ok();
    assert_ne!(ranges(&one), ranges(&other));
    other.down().ok();
}

#[test]
fn a_vpn_that_comes_later_is_told_of_and_left_alone_after_the_next_down() {
    let Some(host) = Host::with(&["ip", "python3"]) else { return };
    let stack = host.stack("cli/ranges.yaml").with("PORT", "22204");
    stack.up(&["--wait"]).ok();
    let before = subnet(&stack);
    let taken = before.replace(".0/24", ".128/25");
    assert_ne!(taken, before);
    host.shell(&format!(
        "ip link add vpn0 type bridge && ip link set vpn0 up && ip route add {taken} dev vpn0"
    ))
    .ok();
    let told = |words: &[&str]| stack.hoist(words).stderr.contains(&taken);
    eventually("ps tells of it", SOON, || told(&["ps"]));
    assert!(told(&["agent", "status"]) && told(&["up", "-d"]));
    assert_eq!(subnet(&stack), before, "what runs keeps its addresses");
    answers(&host, 22204);
    stack.down().ok();
    let again = stack.up(&["--wait"]).success();
    assert!(!again.stderr.contains(&taken), "{again}");
    assert_ne!(subnet(&stack), before);
    answers(&host, 22204);
    assert_eq!(stack.agent_status().get("warnings"), None::<&Value>);
    stack.down().ok();
}
