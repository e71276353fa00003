//! Declared limits hold, and what happens when they are reached can be seen.

use std::time::{Duration, Instant};

use hoist_tests::{Host, LATER, SOON, Stack, cgroup, eventually, wait_for};

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

#[test]
fn a_service_that_lifts_its_limits_has_them_still() {
    let Some(host) = Host::new() else { return };
    let limits = host.stack("limits");
    limits.up(&["lift-memory", "lift-pids", "lift-cpu"]);
    let said = |service: &str, what: &str| {
        wait_for(&format!("{service} has tried"), LATER, || {
            let log = limits.logs(service);
            log.lines().any(|line| line.starts_with(what)).then_some(log)
        })
    };
    let memory = said("lift-memory", "memory ");
    assert!(memory.contains("lifted memory."), "it could not even try: {memory}");
    assert!(memory.contains("memory 137"), "200 MiB are too much for 64: {memory}");
    let pids = said("lift-pids", "pids ");
    assert!(pids.contains("lifted pids.max"), "it could not even try: {pids}");
    let forked = pids.lines().find_map(|line| line.strip_prefix("pids ")?.parse::<u32>().ok()).unwrap();
    assert!(forked < 30, "{forked} beside itself, and 30 are allowed");
    let cpu = said("lift-cpu", "ready");
    assert!(cpu.contains("lifted cpu."), "it could not even try: {cpu}");
    for log in [memory, pids, cpu] {
        assert!(!log.contains("release agent"), "a program that the host would run: {log}");
    }
    let pid = pid(&limits, "lift-cpu");
    let (began, before) = (Instant::now(), cgroup::cpu_usec(&host, pid));
    std::thread::sleep(Duration::from_secs(2));
    let share = (cgroup::cpu_usec(&host, pid) - before) as f64 / began.elapsed().as_micros() as f64;
    assert!(share <= 0.23, "{share} of a processor, and 0.2 are allowed");
    limits.down();
}

/// What `exec` and health checks run is bounded as the instance is, and the instance sees its limits.
#[test]
fn what_is_run_inside_is_bounded_too() {
    let Some(host) = Host::new() else { return };
    let limits = host.stack("limits");
    limits.up(&["idle"]);
    let inside = |words: &[&str]| limits.hoist(&[&["exec", "-T", "idle"], words].concat());
    let seen = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null";
    assert_eq!(inside(&["sh", "-c", seen]).text(), (64 << 20).to_string());
    let groups = inside(&["sh", "-c", "cut -d: -f3 /proc/self/cgroup | sort -u"]).success();
    assert_eq!(groups.text(), "/", "its own group is the root of what it sees");
    let lifted = inside(&["unshare", "-U", "-r", "-m", "-C", "bash", "/lift.sh", "memory"]);
    assert!(lifted.stdout.contains("lifted memory.") && lifted.stdout.contains("memory 137"), "{lifted}");
    limits.down();
}

#[test]
fn an_instance_that_froze_itself_is_stopped_and_nothing_of_it_stays() {
    let Some(host) = Host::new() else { return };
    let limits = host.stack("limits");
    let before = limits.listing();
    for end in [&["down"][..], &["agent", "stop", "--force"]] {
        limits.up(&["freeze"]);
        eventually("it has frozen itself", SOON, || limits.logs("freeze").contains("frozen"));
        limits.hoist(end).ok();
        limits.down();
        limits.hoist(&["agent", "stop"]).ok();
        let left = limits.listing();
        let left: Vec<_> =
            left.kind("control group").difference(before.kind("control group")).take(9).cloned().collect();
        assert!(left.is_empty(), "after {end:?}: {left:?}");
    }
}

fn pid(stack: &Stack<'_>, service: &str) -> i64 {
    let instance = stack.instance(service);
    let pids = stack.pids();
    let pid = pids.iter().find(|(id, _)| id.starts_with(&instance.id)).map(|(_, pid)| *pid);
    pid.unwrap_or_else(|| panic!("{instance:?} has no process in {pids:?}"))
}
