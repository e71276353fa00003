//! Forty instances under fire: agent, keeper, dns, containers and commands are killed at instants that a seed chooses. In
//! the end all that should run runs, reachable, and no line is lost or doubled; after `down` nothing is left.
//!
//! `HOIST_CHAOS_SEED` repeats a run's choices, `HOIST_CHAOS_SECONDS` says how long it lasts (20 without).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod account;
mod fire;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hoist_tests::{Host, SOON, eventually, wait_for};

use fire::Fire;

const INSTANCES: usize = 40;
/// A restart that comes after many others waits for up to a minute.
const CALM: Duration = Duration::from_secs(180);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn under_fire_nothing_is_lost_doubled_or_left_behind() {
    let Some(host) = Host::with(&["nsenter"]) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("HOIST_CHAOS_SEED").unwrap_or(u64::from(now.subsec_nanos()));
    let length = Duration::from_secs(number("HOIST_CHAOS_SECONDS").unwrap_or(20));
    println!("HOIST_CHAOS_SEED={seed} HOIST_CHAOS_SECONDS={}", length.as_secs());

    let stack = host.stack("chaos");
    let before = stack.listing();
    stack.up(&["--wait"]).ok();
    let instances: Vec<String> = stack.ps().into_iter().map(|row| row.id).collect();
    assert_eq!(instances.len(), INSTANCES);

    let mut fire = Fire::new(&host, &stack, seed);
    fire.keep_up(length);
    println!("{}", fire.ended());

    // The first command starts what was killed together; the rest comes by itself.
    wait_for("everything runs", CALM, || {
        let rows = stack.ps();
        let well = |health: &str| health.is_empty() || health == "healthy";
        let all =
            rows.len() == INSTANCES && rows.iter().all(|row| row.state == "running" && well(&row.health));
        all.then_some(())
    });
    let mut after: Vec<String> = stack.ps().into_iter().map(|row| row.id).collect();
    after.sort();
    let mut expected = instances;
    expected.sort();
    assert_eq!(after, expected, "none was replaced");
    account::assert_each_runs_once_with_its_network(&host, &stack);
    for port in 8101..=8105 {
        eventually(&format!("port {port} answers"), SOON, || host.get_from_outside(port, "/").code == 0);
    }
    let settled = stack.up(&[]);
    assert!(!settled.stderr.contains("started"), "there was something to do: {settled}");

    stack.hoist(&["stop", "lines"]).ok();
    println!("{} lines", account::assert_complete(&stack));
    stack.down().ok();
    eventually("nothing is left", SOON, || {
        let now = stack.listing();
        account::KINDS.iter().all(|kind| now.kind(kind) == before.kind(kind))
    });
}
