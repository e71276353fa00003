//! SIGKILL agent, keeper and dns, one after the other, 20 times each, while everything is busy: no instance stops, no
//! line is lost or doubled, and what was killed comes back by itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod namespaces;
mod records;
mod restored;
mod shared;

use std::time::Duration;

use hoist_tests::command::{Signal, wait_for_outcome};
use hoist_tests::{Host, LATER, SOON, Stack, eventually, wait_for};

const ROUNDS: usize = 20;
const NAMES: [&str; 3] = ["agent", "keeper", "dns"];

/// What must stay as it is: each instance's process and number of starts.
fn instances(stack: &Stack<'_>) -> Vec<(String, i64, u64)> {
    let status = stack.agent_status();
    let reports = status["report"]["instances"].as_object().unwrap();
    let one = |(id, report): (&String, &serde_json::Value)| {
        (id.clone(), report["pid"].as_i64().unwrap_or(0), report["starts"].as_u64().unwrap())
    };
    reports.iter().map(one).collect()
}

/// Waits until the daemons are all there and `killed` is another process than it was. `agent status` starts nothing.
fn wait_for_return(stack: &Stack<'_>, index: usize, killed: i64) -> [i64; 3] {
    let what = format!("{} comes back after SIGKILL of process {killed}", NAMES[index]);
    wait_for(&what, SOON, || {
        let status = stack.hoist(&["agent", "status", "--format", "json"]);
        let status: serde_json::Value = serde_json::from_str(status.text()).ok()?;
        let pids = [0, 1, 2].map(|index| status["pids"][index].as_i64().unwrap_or(0));
        (pids[index] != killed && pids.iter().all(|&pid| pid != 0)).then_some(pids)
    })
}

/// The numbers of all lines must be 1, 2, 3 … up to what the last line says.
#[track_caller]
fn assert_complete(log: &str) {
    let mut expected = 1;
    for line in log.lines() {
        if let Some(total) = line.strip_prefix("end ") {
            assert_eq!(total.parse::<u64>().unwrap(), expected - 1, "lines at the end");
            return;
        }
        let number: u64 = line.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
        assert_eq!(number, expected, "after line {}: {line:?}", expected - 1);
        assert!(line.ends_with(" abcdefghijklmnopqrstuvwxyz"), "{line:?}");
        expected += 1;
    }
    panic!("the log ends after line {} without the program's last one", expected - 1);
}

#[test]
fn killing_any_daemon_stops_nothing_and_loses_nothing() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("crash");
    stack.up(&[]).ok();
    let _ready = host.answer_from_outside(8095);
    let before = instances(&stack);
    let follower = stack.start(&["logs", "-f", "--no-log-prefix", "lines"]);
    follower.wait_for_output("\n1000 abc", SOON);

    let mut pids = stack.daemons();
    for round in 0..ROUNDS {
        for index in 0..NAMES.len() {
            // Ports are translated by the kernel and answer at any instant.
            host.kill(pids[index], Signal::KILL);
            host.get_from_outside(8095, "/").ok();
            pids = wait_for_return(&stack, index, pids[index]);
            assert_eq!(instances(&stack), before, "round {round}: {} was killed", NAMES[index]);
        }
    }

    let ask = || stack.hoist(&["exec", "-T", "asker", "perl", "get.pl", "web:8000"]);
    wait_for_outcome("names resolve afterwards", SOON, ask, |answer| answer.code == 0);
    let asked = stack.logs("asker");
    assert!(asked.trim_end().ends_with("well"), "{asked}");
    host.get_from_outside(8095, "/").ok();
    host.get(8095, "/").ok();
    let rows = stack.ps();
    assert!(rows.len() == 4 && rows.iter().all(|row| row.state == "running"), "{rows:?}");

    stack.hoist(&["stop", "lines"]).ok();
    assert_complete(&stack.logs("lines"));
    let fresh = stack.start(&["logs", "-f", "--no-log-prefix", "--tail", "1", "lines"]);
    fresh.wait_for_output("end ", SOON);
    follower.wait_for_output("\nend ", LATER);
    assert_complete(&follower.stdout());
    stack.down().ok();
}

/// Neither has given the other what it holds: dns alone is left, with the sockets that names are asked on.
#[test]
fn agent_and_keeper_killed_together_leave_a_dns_that_the_next_command_takes_up() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("crash");
    stack.up(&[]).ok();
    let _ready = host.answer_from_outside(8095);
    let before = instances(&stack);
    let servers = || host.shell("pgrep -fc 'hoist [d]ns --root'").text().to_owned();
    for together in [true, false, true, false] {
        let [agent, keeper, _] = stack.daemons();
        if together {
            let both = [agent.to_string(), keeper.to_string()];
            host.run("kill", &["-9", &both[0], &both[1]]).ok();
            let is_gone = |pid: &String| host.run("kill", &["-0", pid]).code != 0;
            eventually("both are gone", SOON, || both.iter().all(is_gone));
        } else {
            host.kill(keeper, Signal::KILL);
            let pids = wait_for_return(&stack, 1, keeper);
            host.kill(pids[0], Signal::KILL);
            wait_for_return(&stack, 0, pids[0]);
        }
        assert_eq!(stack.ps().len(), 4);
        let asked = || stack.hoist(&["exec", "-T", "asker", "perl", "get.pl", "web:8000"]);
        wait_for_outcome("names resolve", SOON, asked, |answer| answer.code == 0);
        assert_eq!(servers(), "1", "one dns runs");
        assert_eq!(instances(&stack), before);
    }
    stack.down().ok();
    assert_eq!(servers(), "0");
}

#[test]
fn killing_all_daemons_at_once_stops_nothing_and_the_next_command_finds_everything() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("crash");
    stack.up(&[]).ok();
    let _ready = host.answer_from_outside(8095);
    let before = instances(&stack);
    for _ in 0..5 {
        let pids = stack.daemons().map(|pid| pid.to_string());
        host.run("kill", &["-9", &pids[0], &pids[1], &pids[2]]).ok();
        host.get_from_outside(8095, "/").ok();
        std::thread::sleep(Duration::from_millis(200)); // Lines are written meanwhile, with nobody to take them.
        let rows = stack.ps();
        assert!(rows.len() == 4 && rows.iter().all(|row| row.state == "running"), "{rows:?}");
        assert_eq!(instances(&stack), before);
    }
    stack.hoist(&["stop", "lines"]).ok();
    assert_complete(&stack.logs("lines"));
    stack.down().ok();
}

#[test]
fn reads_that_meet_an_agent_being_killed_try_again() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("crash/records.yaml");
    stack.up(&[]).ok();
    let commands: [&[&str]; 3] = [&["ps"], &["logs", "--tail", "1"], &["exec", "-T", "asker", "true"]];
    for round in 0..24_u64 {
        let [agent, keeper, _] = stack.daemons();
        let command = stack.start(commands[usize::try_from(round % 3).unwrap()]);
        std::thread::sleep(Duration::from_millis(round * 7 % 30));
        // The keeper with it now and then: then it is the command that starts another agent.
        let pids = if round % 4 == 3 { vec![agent, keeper] } else { vec![agent] };
        let words: Vec<String> = std::iter::once(-9).chain(pids).map(|word| word.to_string()).collect();
        host.run("kill", &words.iter().map(String::as_str).collect::<Vec<_>>()).ok();
        let outcome = command.finish(SOON);
        // A program that had begun when its agent was killed isn't begun twice.
        let cut_off = outcome.command.contains("exec") && outcome.stderr.contains("agent");
        assert!(outcome.code == 0 || cut_off, "round {round}: {outcome}");
        assert_eq!(stack.ps().len(), 1);
        wait_for_return(&stack, 0, agent);
    }
    stack.down().ok();
}
