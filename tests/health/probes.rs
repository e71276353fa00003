//! When probes run, what becomes of what they make, and what is told of what they say.

use hoist_tests::{Host, Instance, SOON, Stack, eventually};

fn log(row: &Instance) -> Vec<serde_json::Value> {
    row.json["HealthLog"].as_array().cloned().unwrap_or_default()
}

fn inside(stack: &Stack<'_>, service: &str, script: &str) -> String {
    stack.hoist(&["exec", "-T", service, "sh", "-c", script]).success().stdout
}

#[test]
fn what_is_ready_at_once_is_healthy_long_before_its_interval() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/probes.yaml");
    stack.up(&["--wait", "ready"]).ok();
    assert_eq!(stack.instance("ready").health, "healthy");
    stack.down().ok();
}

#[test]
fn a_probe_that_takes_too_long_ends_with_all_that_it_made() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/probes.yaml");
    stack.up(&["hanging"]).ok();
    let mut timeouts = std::collections::BTreeSet::new();
    eventually("twelve probes took too long", SOON, || {
        for probe in log(&stack.instance("hanging")) {
            assert_eq!(probe["ExitCode"], -1, "{probe}");
            let output = probe["Output"].as_str().unwrap();
            assert!(output.starts_with("Health check exceeded timeout (150ms)"), "{probe}");
            timeouts.insert(probe["Start"].as_str().unwrap().to_owned());
        }
        timeouts.len() >= 12
    });
    // One probe at most is under way: its reaper, its shells, its sleeps. Each that is left would add three.
    let sleeping =
        inside(&stack, "hanging", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 977' | wc -l");
    let sleeping: u32 = sleeping.trim().parse().unwrap();
    assert!(sleeping <= 5, "{sleeping} processes of a dozen probes are left");
    let zombies = inside(&stack, "hanging", "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' || true");
    let zombies: u32 = zombies.trim().parse().unwrap();
    assert!(zombies <= 3, "{zombies} zombies are left, which nobody inside reaps");
    stack.down().ok();
}

#[test]
fn what_a_passing_probe_leaves_goes_on() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/probes.yaml");
    stack.up(&["--wait", "starter"]).ok();
    eventually("three more probes have run", SOON, || log(&stack.instance("starter")).len() >= 4);
    let left = inside(&stack, "starter", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 97[8]'");
    assert_eq!(left.trim(), "1");
    stack.down().ok();
}

#[test]
fn why_a_check_fails_is_in_the_error_and_in_ps() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/probes.yaml");
    let up = stack.hoist(&["up", "--wait", "failing"]).ended_with(1);
    let error = up.stderr.lines().find(|line| line.contains("error:")).unwrap_or_else(|| panic!("{up}"));
    assert!(
        error.contains("is unhealthy: its check exits with 9") && error.contains("the database is away"),
        "{up}"
    );
    assert!(!error.contains('\u{1b}') && error.len() < 1000, "{up}");
    let row = stack.instance("failing");
    assert_eq!(row.health, "unhealthy");
    let probes = log(&row);
    assert!((1..=5).contains(&probes.len()), "{probes:?}");
    for probe in probes {
        assert_eq!(probe["Output"], "no \u{1b}[31m\u{fffd}\nthe database is away\n");
        assert_eq!(probe["ExitCode"], 9);
        assert!(probe["Start"].as_str().unwrap() < probe["End"].as_str().unwrap(), "{probe}");
    }
    stack.down().ok();
}

#[test]
fn what_a_check_says_is_bounded() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/probes.yaml");
    let up = stack.hoist(&["up", "--wait", "loud"]).ended_with(1);
    assert!(up.stderr.contains("exits with 9: …xxx") && up.stderr.len() < 3000, "{up}");
    for probe in log(&stack.instance("loud")) {
        assert_eq!(probe["Output"].as_str().unwrap(), format!("{}...", "x".repeat(4096)));
    }
    stack.down().ok();
}

#[test]
fn why_a_dependency_is_unhealthy_is_in_the_dependents_error() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/probes.yaml");
    let up = stack.hoist(&["up", "-d", "dependent"]).ended_with(1);
    let error = up.stderr.lines().find(|line| line.contains("dependency failed to start"));
    let error = error.unwrap_or_else(|| panic!("{up}"));
    assert!(error.contains("failing-1 is unhealthy") && error.contains("the database is away"), "{up}");
    stack.down().ok();
}

#[test]
fn a_check_that_cannot_be_run_says_so() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/probes.yaml");
    let up = stack.hoist(&["up", "--wait", "missing"]).ended_with(1);
    assert!(up.stderr.contains("no-such-program") && up.stderr.contains("not found"), "{up}");
    stack.down().ok();
}
