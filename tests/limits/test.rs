//! Declared limits hold, and what happens when they are reached can be seen.

use std::time::{Duration, Instant};

use hoist_tests::{Host, SOON, Stack, cgroup, eventually, wait_for};

#[test]
fn too_much_memory_ends_the_instance_and_ps_says_so() {
    let Some(host) = Host::new() else { return };
    let limits = host.stack("limits");
    limits.up(&["memory"]);
    let memory = limits.wait_for_instance("memory", "has ended", |row| row.state == "exited");
    assert!(memory.oom_killed, "{memory:?}");
    assert_eq!(memory.exit_code, 137, "SIGKILL, as a shell says it");
    assert!(memory.status.contains("out of memory"), "{memory:?}");
    let table = limits.hoist(&["ps", "-a"]).success();
    assert!(table.stdout.contains("out of memory"), "{table}");
    let log = limits.logs("memory");
    let reached: u64 =
        log.lines().filter_map(|line| line.strip_suffix(" MiB")?.parse().ok()).max().unwrap_or(0);
    assert!((32..=64).contains(&reached), "it got as far as {reached} MiB of 64");
    limits.down();
}

/// The processor time that an instance gets may vary with what else this machine does, but never upwards; so any window
/// of two seconds that comes within 10 % is the proof, and none may lie above.
#[test]
fn half_a_processor_is_half_a_processor() {
    let Some(host) = Host::new() else { return };
    let limits = host.stack("limits");
    limits.up(&["cpu"]);
    let pid = pid(&limits, "cpu");
    wait_for("a share within 10 % of one half", 2 * SOON, || {
        let (began, before) = (Instant::now(), cgroup::cpu_usec(&host, pid));
        std::thread::sleep(Duration::from_secs(2));
        let used = cgroup::cpu_usec(&host, pid) - before;
        let share = used as f64 / began.elapsed().as_micros() as f64;
        assert!(share <= 0.55, "{share} of a processor");
        (share >= 0.45).then_some(())
    });
    limits.down();
}

#[test]
fn a_fork_bomb_stops_at_the_limit() {
    let Some(host) = Host::new() else { return };
    let limits = host.stack("limits");
    limits.up(&["pids"]);
    let pid = pid(&limits, "pids");
    let read = |name| cgroup::read(&host, pid, "pids", &[name]).unwrap().trim().to_owned();
    assert_eq!(read("pids.max"), "20");
    eventually("the limit is reached", SOON, || read("pids.current") == "20");
    // The host goes on: a new process starts, and the bomb can be ended.
    host.run("true", &[]).ok();
    limits.down();
    eventually("no process of it is left", SOON, || {
        !limits.listing().kind("process").iter().any(|process| process.contains("bomb"))
    });
}

fn pid(stack: &Stack<'_>, service: &str) -> i64 {
    let instance = stack.instance(service);
    let pids = stack.pids();
    let pid = pids.iter().find(|(id, _)| id.starts_with(&instance.id)).map(|(_, pid)| *pid);
    pid.unwrap_or_else(|| panic!("{instance:?} has no process in {pids:?}"))
}
