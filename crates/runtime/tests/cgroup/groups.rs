//! The life of a group that stands alone.

use std::fs;
use std::time::{Duration, Instant};

use hoist_runtime::cgroup::{
    Anchor, Ceiling, Cgroup, CgroupError, CgroupPath, Controller, CpuLimits, DeviceRule, IoLimits, Layout,
    Limits,
};

use crate::world::*;

#[test]
fn too_much_memory_is_killed_and_counted() {
    let test = TestGroup::create(&detect(), &memory(64 * MIB, 64 * MIB));
    assert_eq!(test.group.oom_kills().unwrap(), Some(0));
    // tail keeps what has no line end, so it grows without bound; the shell's last word is its verdict.
    let (_, verdict) = test.output("tail /dev/zero; echo $?");
    assert_eq!(verdict.trim(), "137");
    let stats = test.group.stats().unwrap();
    assert!(stats.oom_kills >= Some(1), "{stats:?}");
    assert_eq!(stats.memory_limit, Some(Ceiling::At(64 * MIB)));
    assert!(stats.memory_peak.is_none_or(|peak| peak > 60 * MIB && peak <= 64 * MIB), "{stats:?}");
    assert!(eventually(|| test.group.pids().unwrap().is_empty()));
    assert_eq!(test.group.oom_kills().unwrap(), stats.oom_kills, "readable when nobody is left");
}

#[test]
fn a_kill_in_a_group_below_is_counted_too() {
    let test = TestGroup::create(&detect(), &memory(64 * MIB, 64 * MIB));
    let below = test.file("memory.stat").with_file_name("below");
    fs::create_dir(&below).unwrap();
    let script = format!("echo 0 > {}/cgroup.procs; tail /dev/zero; echo $?", below.display());
    let (_, verdict) = test.output(&script);
    assert_eq!(verdict.trim(), "137");
    assert!(test.group.oom_kills().unwrap() >= Some(1));
}

#[test]
fn half_a_cpu_is_half_a_cpu() {
    let limits = Limits { cpu: CpuLimits::from_millis(500), ..Limits::default() };
    let test = TestGroup::create(&detect(), &limits);
    let mut busy = test.run("while :; do :; done");
    assert!(eventually(|| test.group.stats().unwrap().throttled_periods > Some(0)));
    let used = || test.group.stats().unwrap().cpu_usec.unwrap();
    let (start, before) = (Instant::now(), used());
    std::thread::sleep(Duration::from_millis(2000));
    let (cpu, wall) = (used() - before, start.elapsed());
    busy.kill().unwrap();
    busy.wait().unwrap();
    let share = cpu as f64 / wall.as_micros() as f64;
    assert!((0.45..=0.55).contains(&share), "{share}");
}

#[test]
fn a_fork_bomb_ends_at_the_limit() {
    let limits = Limits { pids: Some(Ceiling::At(8)), ..Limits::default() };
    let test = TestGroup::create(&detect(), &limits);
    // bash tries again for a while before it gives up, so the limit is watched while it does.
    let mut bomb = test.run("for i in {1..50}; do sleep 1000 & done");
    let pids = || test.group.stats().unwrap().pids.unwrap();
    assert!(eventually(|| pids() == 8));
    let refused = || fs::read_to_string(test.file("pids.events")).unwrap();
    let counts = test.group.directories().iter().any(|dir| dir.join("pids.events").exists());
    assert!(!counts || eventually(|| !refused().starts_with("max 0")));
    assert_eq!(test.group.pids().unwrap().len(), 8);
    assert_eq!(test.group.stats().unwrap().pids_limit, Some(Ceiling::At(8)));
    test.group.kill().unwrap();
    bomb.wait().unwrap();
    assert!(eventually(|| test.group.pids().unwrap().is_empty()));
}

#[test]
fn kill_reaches_everyone_in_every_arrangement() {
    for hierarchy in views() {
        let test = TestGroup::create(&hierarchy, &Limits::default());
        let mut child = test.run("trap '' TERM; setsid sleep 1000 & (sleep 1000 & sleep 1000 & wait) & wait");
        assert!(eventually(|| test.group.pids().unwrap().len() == 5), "{:?}", test.group.pids());
        test.group.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(eventually(|| test.group.pids().unwrap().is_empty()), "{:?}", hierarchy.layout());
    }
}

#[test]
fn a_frozen_group_stands_still_and_can_be_killed() {
    for hierarchy in views() {
        let test = TestGroup::create(&hierarchy, &Limits::default());
        let mut child = test.run("while :; do :; done");
        let last_joined = test.group.procs_paths().pop().unwrap();
        assert!(eventually(|| !fs::read_to_string(&last_joined).unwrap().is_empty()));
        test.group.freeze().unwrap();
        assert!(eventually(|| test.group.is_frozen().unwrap()));
        let used = || test.group.stats().unwrap().cpu_usec.unwrap();
        let before = used();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(used(), before, "{:?}", hierarchy.layout());
        test.group.thaw().unwrap();
        assert!(eventually(|| used() > before));
        test.group.freeze().unwrap();
        test.group.kill().unwrap();
        assert!(!child.wait().unwrap().success());
    }
}

#[test]
fn removal_refuses_what_is_in_use_and_takes_all_below() {
    for hierarchy in views() {
        let test = TestGroup::create(&hierarchy, &Limits::default());
        for dir in test.group.directories() {
            fs::create_dir_all(dir.join("below/deeper")).unwrap();
        }
        let mut child = test.run("sleep 1000 & echo ready; wait");
        assert!(eventually(|| test.group.pids().unwrap().len() == 2));
        let refusal = test.group.remove().unwrap_err();
        assert!(matches!(&refusal, CgroupError::InUse { pids, .. } if pids.len() == 2), "{refusal}");
        assert!(matches!(
            Cgroup::create(&hierarchy, test.group.path(), &Limits::default()),
            Err(CgroupError::InUse { .. })
        ));
        test.group.kill().unwrap();
        child.wait().unwrap();
        assert!(eventually(|| test.group.remove().is_ok()));
        assert!(!test.group.exists());
        assert!(Cgroup::open(&hierarchy, test.group.path()).is_err());
        test.group.remove().unwrap();
    }
}

#[test]
fn a_shared_parent_goes_with_its_last_child() {
    let hierarchy = detect();
    let parent = TestGroup::create(&hierarchy, &Limits::default());
    let path = parent.group.path().child("web-1").unwrap();
    let (child, _) = Cgroup::create(&hierarchy, &path, &Limits::default()).unwrap();
    assert!(!parent.group.remove_if_empty().unwrap());
    assert!(child.exists());
    child.remove().unwrap();
    assert!(parent.group.remove_if_empty().unwrap());
    assert!(!parent.group.exists());
}

#[test]
fn limits_change_up_and_down() {
    let steps = [(64, 96), (128, 256), (200, 200), (16, 24), (32, 32)];
    let mut now = memory(steps[0].0 * MIB, steps[0].1 * MIB);
    let test = TestGroup::create(&detect(), &now);
    for (limit, swap) in steps {
        let next = memory(limit * MIB, swap * MIB);
        test.group.update(&now, &next).unwrap();
        assert_eq!(test.group.stats().unwrap().memory_limit, Some(Ceiling::At(limit * MIB)));
        now = next;
    }
}

#[test]
fn a_failed_creation_leaves_nothing() {
    let hierarchy = detect();
    let cpus = CpuLimits { cpus: Some("100000".to_owned()), ..CpuLimits::default() };
    let Err(refused) = TestGroup::try_create(&hierarchy, &Limits { cpu: cpus, ..Limits::default() }) else {
        panic!("no machine has that many CPUs");
    };
    assert!(matches!(refused, CgroupError::Refused { key: "cpu.cpus", .. }), "{refused}");
    let verbatim = Limits { unified: [("memory.nonsense".into(), "1".into())].into(), ..Limits::default() };
    let Err(refused) = TestGroup::try_create(&hierarchy, &verbatim) else {
        panic!("no kernel has such a file");
    };
    assert!(refused.to_string().contains("can't be enforced on this host"), "{refused}");
    assert!(Cgroup::open(&hierarchy, &unique_path()).is_err());
}

#[test]
fn a_delegated_group_must_be_free_of_processes() {
    let hierarchy = detect();
    let nested = hierarchy.unified().is_some_and(|mount| mount.own != mount.mount_point);
    if hierarchy.layout() != Layout::Unified || !nested {
        skipped(
            "a_delegated_group_must_be_free_of_processes",
            "version 2 gave this process no group of its own",
        );
        return;
    }
    let path = CgroupPath::new(Anchor::Own, unique_path().as_path()).unwrap();
    let refused = Cgroup::create(&hierarchy, &path, &memory(MIB, MIB)).unwrap_err();
    assert!(matches!(refused, CgroupError::Enable { .. }), "{refused}");
    assert!(refused.to_string().ends_with("it has processes of its own, which must move into a child first"));
}

#[test]
fn a_preference_without_effect_is_told() {
    let io = IoLimits { weight: Some(500), ..IoLimits::default() };
    let test = TestGroup::create(&detect(), &Limits { io, ..Limits::default() });
    let files = ["blkio.weight", "blkio.bfq.weight", "io.weight", "io.bfq.weight"];
    let dirs = test.group.directories();
    let there = dirs.iter().any(|dir| files.iter().any(|file| dir.join(file).exists()));
    assert_eq!(test.warnings.is_empty(), there, "{:?}", test.warnings);
}

#[test]
fn cpus_are_pinned() {
    let cpu = CpuLimits { cpus: Some("0".to_owned()), mems: Some("0".to_owned()), ..CpuLimits::default() };
    let test = TestGroup::create(&detect(), &Limits { cpu, ..Limits::default() });
    let (_, cpus) = test.output("grep Cpus_allowed_list /proc/self/status");
    assert_eq!(cpus.split_whitespace().nth(1), Some("0"));
}

#[test]
fn devices_not_in_the_list_are_closed() {
    for hierarchy in views() {
        if hierarchy.home(Controller::Devices, Anchor::Root).is_none() {
            skipped("devices_not_in_the_list_are_closed", "there is no device control");
            continue;
        }
        let null = DeviceRule { minor: Some(3), ..DeviceRule::defaults()[2] };
        let limits = Limits { devices: vec![null], ..Limits::default() };
        let test = TestGroup::create(&hierarchy, &limits);
        let (_, seen) = test.output(
            "for node in null zero full; do (: < /dev/$node) 2>/dev/null && echo $node; done; \
             (: > /dev/null) && echo written",
        );
        assert_eq!(
            seen.split_whitespace().collect::<Vec<_>>(),
            ["null", "written"],
            "{:?}",
            hierarchy.layout()
        );
    }
}

#[test]
fn a_child_can_be_cloned_straight_into_the_unified_group() {
    let hierarchy = detect();
    let test = TestGroup::create(&hierarchy, &Limits::default());
    let fd = test.group.unified_fd().unwrap();
    assert_eq!(fd.is_some(), hierarchy.unified().is_some());
    let events = test.group.events_path().map(|file| fs::read_to_string(file).unwrap());
    assert!(events.is_none_or(|events| events.contains("populated 0")));
}
