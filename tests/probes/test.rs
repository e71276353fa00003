//! Native probes: what they ask, what follows for health, traffic and redeploys, and that liveness starts anew what hangs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

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

/// `HOIST_PROBE_COST=1 cargo nextest run -p hoist-tests --test probes -E 'test(a_hundred)' --no-capture` says what a
/// hundred HTTP probes a second cost the agent.
#[test]
fn a_hundred_probes_a_second_cost_little() {
    if std::env::var_os("HOIST_PROBE_COST").is_none() {
        return;
    }
    let Some(host) = Host::new() else { return };
    let stack = host.stack("probes/many.yaml");
    stack.up(&["--wait", "--scale", "many=20"]).ok();
    let agent = stack.daemons()[0];
    // Hundredths of a second, proc_pid_stat(5).
    let spent = || -> u64 {
        let stat = host.shell(&format!("cut -d' ' -f14,15 /proc/{agent}/stat")).success().stdout;
        stat.split_whitespace().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    };
    let (before, began) = (spent(), std::time::Instant::now());
    std::thread::sleep(Duration::from_secs(20));
    let percent = f64::from(u32::try_from(spent() - before).unwrap()) / began.elapsed().as_secs_f64();
    eprintln!("100 HTTP probes a second: {percent:.2} % of a processor");
    stack.down().ok();
}
