//! No connection that is opened after the network was reported changed is accepted by the instance that is told to end.
//!
//! `HOIST_FLIPS` says how many instances are stopped; `docs/health.md` has what 2,000 showed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use hoist_tests::connections::Asked;
use hoist_tests::host::{ADDRESS, program};
use hoist_tests::{Host, LATER, SOON, Stack, wait_for};

/// Services of the stack: each loses one of its two instances at a time.
const SERVICES: usize = 20;
/// Enough to see a signal that overtakes the network: without the wait, it does so nearly every time.
const FLIPS: usize = SERVICES;

#[test]
fn no_connection_opened_after_the_flip_is_accepted_by_who_is_told_to_end() {
    let Some(host) = Host::new() else { return };
    let flips = std::env::var("HOIST_FLIPS").ok().and_then(|count| count.parse().ok()).unwrap_or(FLIPS);
    let out = host.folder().join("out");
    fs::create_dir(&out).expect("a folder can be made");
    let connections = program("connections");
    let programs = connections.parent().expect("a program is in a folder").display().to_string();
    let stack = host
        .stack("flip")
        .with("PROGRAMS", &programs)
        .with("OUT", &out.display().to_string())
        .with("HOIST_LOG", "info,hoist_agent::fabric=debug");
    stack.up(&[]).ok();
    let outside = outside(&host, &connections, &out);
    for round in 1..=flips.div_ceil(SERVICES) {
        scale(&stack, 1);
        let told = || (told(&out).len() >= round * SERVICES).then_some(());
        wait_for("who was stopped wrote down when", SOON, told);
        scale(&stack, 2);
    }
    let applied = applied(&stack);
    fs::write(out.join("end"), "").expect("a file can be written");
    outside.finish(LATER).ok();
    let asked = [("published port", result(&out, "outside")), ("service address", result(&out, "inside"))];
    judge(&asked, &told(&out), &applied);
    stack.down().ok();
}

fn scale(stack: &Stack<'_>, instances: usize) {
    let wishes = (1..=SERVICES).flat_map(|n| ["--scale".to_owned(), format!("web{n:02}={instances}")]);
    let words: Vec<String> = wishes.collect();
    stack.up(&words.iter().map(String::as_str).collect::<Vec<_>>()).ok();
}

fn outside(host: &Host, connections: &Path, out: &Path) -> hoist_tests::Running {
    let mut command = std::process::Command::new("ip");
    command.args(["netns", "exec", "outside"]).arg(connections);
    command.args(["ask", "3"]).arg(out).arg("outside");
    command.args((1..=SERVICES).map(|n| format!("{ADDRESS}:{}", 8000 + n)));
    host.start(command)
}

/// When each server that was stopped had its signal.
fn told(out: &Path) -> BTreeMap<u64, u64> {
    let entries = fs::read_dir(out).expect("the folder is there").flatten();
    let told = entries.filter_map(|entry| {
        let path = entry.path();
        let is_it = path.extension().is_some_and(|end| end == "told");
        let name = path.file_stem()?.to_str()?.parse().ok().filter(|_| is_it)?;
        Some((name, fs::read_to_string(&path).ok()?.parse().ok()?))
    });
    told.collect()
}

fn result(out: &Path, name: &str) -> Asked {
    let text = wait_for("the client wrote down what it saw", SOON, || {
        fs::read(out.join(format!("{name}.json"))).ok().filter(|text| text.ends_with(b"}"))
    });
    serde_json::from_slice(&text).expect("the client writes JSON")
}

/// When the agent knew that the network was as planned, each time, by its log.
fn applied(stack: &Stack<'_>) -> Vec<u64> {
    let log = fs::read_to_string(stack.root().join("agent.log")).expect("the agent has a log");
    let lines = log.lines().filter(|line| line.contains("the network is as planned"));
    let moment = |line: &str| {
        let text = line.split_once("monotonic=")?.1.split_whitespace().next()?.strip_suffix('s')?;
        Some(Duration::from_secs_f64(text.parse().ok()?))
    };
    let nanoseconds = |moment: Duration| u64::try_from(moment.as_nanos()).unwrap_or_default();
    lines.map(|line| moment(line).map(nanoseconds).unwrap_or_else(|| panic!("no moment in {line}"))).collect()
}

fn judge(asked: &[(&str, Asked)], told: &BTreeMap<u64, u64>, applied: &[u64]) {
    let mut late = Vec::new();
    let mut served = 0;
    for (server, told) in told {
        // The signal follows the change that it waited for.
        let flip = applied.iter().copied().filter(|moment| moment <= told).max();
        let flip = flip.unwrap_or_else(|| panic!("no change of the network before {server} was told"));
        for (way, asked) in asked {
            let Some(seen) = asked.accepted.get(server) else { continue };
            served += 1;
            if seen.last_opened > flip {
                late.push(format!(
                    "{way}: opened {} µs after the flip, {} µs after the signal, accepted by {server}",
                    (seen.last_opened - flip) / 1000,
                    (seen.last_opened as i64 - *told as i64) / 1000
                ));
            }
        }
    }
    for (way, asked) in asked {
        let rate = asked.count() * 1_000_000_000 / asked.nanoseconds.max(1);
        println!("{way}: {} connections, {rate} a second, {} failed", asked.count(), asked.failed);
    }
    println!(
        "{} instances were stopped; {} ways to them had been used; {} late",
        told.len(),
        served,
        late.len()
    );
    assert!(served > 0, "nobody was connected to who was stopped");
    assert!(late.is_empty(), "{}", late.join("\n"));
}
