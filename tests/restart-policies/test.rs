//! The table of `docs/restart-policies.md`, row by row, on real processes: what becomes of a service, by its policy and
//! the last thing that happened to it. The simulator makes the same table from the loops alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hoist_tests::command::Signal;
use hoist_tests::{Host, Running, SOON, Stack};

/// The columns: the policy as the document names it, and as the stack file's services begin.
const POLICIES: [(&str, &str); 5] = [
    ("no", "no"),
    ("on-failure", "on-failure"),
    ("on-failure:2", "on-failure-2"),
    ("unless-stopped", "unless-stopped"),
    ("always", "always"),
];

/// How long a row must hold once it is as it should be: longer than the first pauses before a restart.
const HOLD: Duration = Duration::from_millis(1200);

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    id: String,
    starts: u64,
    phase: String,
    pid: Option<i64>,
}

type World = BTreeMap<String, Seen>;

/// Every service's only instance, as the agent reports it.
fn world(stack: &Stack<'_>) -> World {
    let status = stack.agent_status();
    let instances = status["report"]["instances"].as_object().unwrap();
    let seen = |(id, report): (&String, &serde_json::Value)| {
        let phase = match &report["phase"] {
            serde_json::Value::String(word) => word.clone(),
            other => other.as_object().unwrap().keys().next().unwrap().clone(),
        };
        let service = report["slot"]["service"].as_str().unwrap().to_owned();
        let starts = report["starts"].as_u64().unwrap();
        (service, Seen { id: id.clone(), starts, phase, pid: report["pid"].as_i64() })
    };
    instances.iter().map(seen).collect()
}

/// Whether what is seen now is what a cell of the table says, given what was seen before the event.
fn fits(cell: &str, before: &Seen, now: &Seen) -> bool {
    let more = now.starts - before.starts.min(now.starts);
    now.id == before.id
        && match cell {
            "stays" => now.phase == "exited" && more == 0,
            "runs on" => now.phase == "running" && now.pid == before.pid && more == 0,
            "starts" => more >= 1,
            "starts 2×" => now.phase == "exited" && more == 2,
            "restarts" => more >= 2,
            other => panic!("the document has a word that this test doesn't know: {other:?}"),
        }
}

/// The cells of a row of the document, by policy.
fn row(label: &str) -> Vec<String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/restart-policies.md");
    let document = fs::read_to_string(document).unwrap();
    let mut rows = document
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    let head = rows.next().unwrap();
    assert_eq!(head[1..], POLICIES.map(|(policy, _)| format!("`{policy}`")));
    let row = rows.find(|cells| cells[0] == label);
    row.unwrap_or_else(|| panic!("the document has no row {label:?}"))[1..].to_vec()
}

/// Waits until the world is as the row says for the services that run `program`, and stays so.
#[track_caller]
fn expect_row(stack: &Stack<'_>, label: &str, program: &str, before: &World) {
    let cells = row(label);
    let deadline = Instant::now() + SOON;
    let mut since = None;
    loop {
        let now = world(stack);
        let wrong: Vec<String> = POLICIES
            .iter()
            .zip(&cells)
            .filter_map(|((policy, prefix), cell)| {
                let service = format!("{prefix}-{program}");
                let (before, now) = (before.get(&service)?, now.get(&service));
                let right = now.is_some_and(|now| fits(cell, before, now));
                (!right).then(|| format!("{policy}: {cell:?}, but {before:?} became {now:?}"))
            })
            .collect();
        match since {
            _ if !wrong.is_empty() => since = None,
            None => since = Some(Instant::now()),
            Some(then) if then.elapsed() > HOLD => return,
            Some(_) => {}
        }
        assert!(Instant::now() < deadline, "{label} (program {program}):\n{}", wrong.join("\n"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// As though every instance had run once and nothing had happened yet.
fn first_run(world: &World) -> World {
    world.iter().map(|(service, seen)| (service.clone(), Seen { starts: 1, ..seen.clone() })).collect()
}

fn long_running() -> Vec<String> {
    POLICIES.iter().map(|(_, prefix)| format!("{prefix}-run")).collect()
}

fn up(stack: &Stack<'_>, services: &[String]) {
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    stack.up(&services).ok();
}

/// The agent as the init system starts it, in the foreground.
fn start_agent(stack: &Stack<'_>) -> Running {
    let mut agent = stack.start(&["agent"]);
    hoist_tests::eventually("the agent answers", SOON, || {
        assert!(agent.runs(), "`hoist agent` ended: {}", agent.stderr());
        stack.hoist(&["agent", "status"]).code == 0
    });
    agent
}

#[test]
fn ends_by_itself() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("restart-policies");
    stack.up(&[]).ok();
    let before = first_run(&world(&stack));
    expect_row(&stack, "ends with 0", "0", &before);
    expect_row(&stack, "ends with 1", "7", &before);
    let before = world(&stack);
    stack.up(&[]).ok();
    expect_row(&stack, "ended with 0, the next `up`", "0", &before);
    expect_row(&stack, "runs, the next `up`", "run", &before);
    stack.down().ok();
}

#[test]
fn a_person_stops_starts_and_restarts() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("restart-policies");
    up(&stack, &long_running());
    let before = world(&stack);
    stack.hoist(&["stop"]).ok();
    expect_row(&stack, "a person stops it", "run", &before);
    stack.hoist(&["start"]).ok();
    expect_row(&stack, "… and starts it", "run", &before);
    let before = world(&stack);
    stack.hoist(&["restart"]).ok();
    expect_row(&stack, "a person restarts it", "run", &before);
    stack.hoist(&["stop"]).ok();
    let before = world(&stack);
    up(&stack, &long_running());
    expect_row(&stack, "… and the next `up`", "run", &before);
    stack.down().ok();
}

#[test]
fn the_agent_goes_and_comes_while_instances_run() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("restart-policies");
    up(&stack, &long_running());
    let before = world(&stack);
    let [agent, ..] = stack.daemons();
    let another = |old: i64| {
        hoist_tests::eventually("another agent", SOON, || {
            let status = stack.hoist(&["agent", "status", "--format", "json"]);
            status.code == 0 && !status.stdout.contains(&format!("\"pids\":[{old},"))
        });
    };
    host.kill(agent, Signal::KILL);
    another(agent);
    expect_row(&stack, "the agent dies and is back", "run", &before);
    let [agent, ..] = stack.daemons();
    host.kill(agent, Signal::TERM);
    hoist_tests::eventually("the agent has ended", SOON, || {
        host.run("kill", &["-0", &agent.to_string()]).code != 0
    });
    let _agent = start_agent(&stack);
    expect_row(&stack, "the daemon starts again", "run", &before);
    stack.down().ok();
}

#[test]
fn stopped_by_a_person_then_the_daemon_starts_again_or_the_machine_reboots() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("restart-policies");
    up(&stack, &long_running());
    stack.hoist(&["stop"]).ok();
    let before = world(&stack);
    stack.hoist(&["agent", "stop"]).ok();
    let agent = start_agent(&stack);
    expect_row(&stack, "… and the daemon starts again", "run", &before);
    stack.hoist(&["stop"]).ok();
    let before = world(&stack);
    drop(agent);
    host.reboot();
    let _agent = start_agent(&stack);
    expect_row(&stack, "… and the machine reboots", "run", &before);
    stack.down().ok();
}

#[test]
fn the_machine_reboots() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("restart-policies");
    stack.up(&[]).ok();
    expect_row(&stack, "ends with 1", "7", &first_run(&world(&stack)));
    let before = world(&stack);
    host.reboot();
    let _agent = start_agent(&stack);
    expect_row(&stack, "the machine reboots", "run", &before);
    expect_row(&stack, "ended with 0, the machine reboots", "0", &before);
    expect_row(&stack, "ended with 1, the machine reboots", "7", &before);
    stack.down().ok();
}
