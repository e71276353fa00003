//! Native probes: what they ask, what follows for health, traffic and redeploys, and that liveness starts anew what hangs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoist_tests::{Host, Stack};

fn log(stack: &Stack<'_>, service: &str) -> String {
    let row = stack.ps().into_iter().find(|row| row.service == service).unwrap();
    row.json["HealthLog"].to_string()
}

#[test]
fn each_kind_makes_its_instance_healthy() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("probes");
    stack.up(&["--wait"]).ok();
    let said = [
        ("http", "GET /: HTTP/1.1 200 OK"),
        ("tcp", "port 8000 accepts connections"),
        ("listen", "port 8000 listens"),
        ("unix", "/tmp/socket accepts connections"),
    ];
    for (service, words) in said {
        assert_eq!(stack.instance(service).health, "healthy", "{service}");
        assert!(log(&stack, service).contains(words), "{service}: {}", log(&stack, service));
    }
    stack.down().ok();
}

#[test]
fn what_fails_its_probe_is_unhealthy_and_takes_nothing_over() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("probes");
    let up = stack.hoist(&["up", "-d", "--wait", "deaf"]).ended_with(1);
    assert!(up.stderr.contains("is unhealthy: connect to") && up.stderr.contains("refused"), "{up}");
    stack.up(&["--wait", "http"]).ok();
    let old = stack.instance("http").id;
    let up = stack.with("STATUS", "204").hoist(&["up", "-d", "http"]).ended_with(1);
    assert!(up.stderr.contains("GET /: HTTP/1.1 200 OK") && up.stderr.contains("goes on serving"), "{up}");
    assert!(host.get(8095, "/").success().stdout.contains("hello"));
    assert!(stack.ps().iter().any(|row| row.id == old));
    stack.down().ok();
}

#[test]
fn what_hangs_is_started_anew() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("probes");
    stack.up(&["--wait", "live"]).ok();
    let id = stack.instance("live").id;
    let pid = *stack.pids().values().next().unwrap();
    host.run("kill", &["-STOP", &pid.to_string()]).ok();
    stack.wait_for_instance("live", "starts anew", |row| {
        row.id == id && row.state == "running" && stack.pids().values().next().is_some_and(|now| *now != pid)
    });
    stack.down().ok();
}
