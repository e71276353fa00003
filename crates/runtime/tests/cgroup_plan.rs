//! What the planner writes for each arrangement of hierarchies, as text.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "a test may panic")]

use std::path::Path;

use expect_test::{Expect, expect};
use hoist_runtime::cgroup::{
    Anchor, Ceiling, CgroupError, CgroupPath, CpuLimits, DeviceNumber, DeviceRate, DeviceRule, Hierarchy,
    Layout, Limits, MemoryLimits, Plan, plan, plan_contained, plan_update,
};

const V1_MOUNTS: &str = "\
32 31 0:29 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /cg/cpuset rw - cgroup cgroup rw,cpuset
35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory
36 31 0:33 / /cg/devices rw - cgroup cgroup rw,devices
39 31 0:36 / /cg/pids rw - cgroup cgroup rw,pids
40 31 0:37 / /cg/systemd rw - cgroup cgroup rw,xattr,name=systemd
";
const V1_OWN: &str = "\
5:name=systemd:/system.slice/hoist.service
4:memory:/nested/group
3:cpuset:/
2:devices:/
1:cpu,cpuacct:/
0::/system.slice/hoist.service
";
const V2_MOUNT: &str = "30 23 0:26 / /cg rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
const UNIFIED_MOUNT: &str = "41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n";

fn hierarchy(mounts: &str, controllers: &str) -> Hierarchy {
    Hierarchy::parse(mounts, V1_OWN, |_: &Path| Ok(controllers.to_owned())).unwrap()
}

fn legacy() -> Hierarchy {
    hierarchy(V1_MOUNTS, "")
}

fn hybrid() -> Hierarchy {
    hierarchy(&format!("{V1_MOUNTS}{UNIFIED_MOUNT}"), "hugetlb io")
}

fn unified() -> Hierarchy {
    hierarchy(V2_MOUNT, "cpuset cpu io memory hugetlb pids")
}

fn root(path: &str) -> CgroupPath {
    CgroupPath::new(Anchor::Root, path).unwrap()
}

fn memory(limit: Ceiling, swap: Option<Ceiling>) -> Limits {
    Limits {
        memory: MemoryLimits { limit: Some(limit), swap, ..MemoryLimits::default() },
        ..Limits::default()
    }
}

fn usual() -> Limits {
    Limits {
        cpu: CpuLimits { shares: Some(512), ..CpuLimits::from_millis(1500) },
        pids: Some(Ceiling::At(100)),
        ..memory(Ceiling::At(64 << 20), Some(Ceiling::At(96 << 20)))
    }
}

fn check_plan(hierarchy: &Hierarchy, path: &CgroupPath, limits: &Limits, expected: Expect) {
    check(plan(hierarchy, path, limits), expected);
}

fn check_contained(hierarchy: &Hierarchy, limits: &Limits, expected: Expect) {
    check(plan_contained(hierarchy, &root("web-1"), limits), expected);
}

fn check(plan: Result<Plan, CgroupError>, expected: Expect) {
    let text = match plan {
        Ok(plan) => plan.to_string(),
        Err(error) => format!("error: {error}\n"),
    };
    expected.assert_eq(&text);
}

fn check_update(hierarchy: &Hierarchy, from: &Limits, to: &Limits, expected: Expect) {
    check(plan_update(hierarchy, &root("a"), from, to), expected);
}

#[test]
fn the_three_arrangements_are_told_apart() {
    assert_eq!(legacy().layout(), Layout::Legacy);
    assert_eq!(hybrid().layout(), Layout::Hybrid);
    assert_eq!(unified().layout(), Layout::Unified);
    // systemd's "unified with a named v1 hierarchy beside it" has no limits in version 1.
    let named = V1_MOUNTS.lines().last().unwrap();
    assert_eq!(hierarchy(&format!("{V2_MOUNT}{named}\n"), "cpu").layout(), Layout::Unified);
    assert!(Hierarchy::parse("", "", |_| Ok(String::new())).is_err());
}

#[test]
fn legacy_limits() {
    check_plan(
        &legacy(),
        &root("hoist/web-1"),
        &usual(),
        expect![[r#"
        mkdir /cg/cpu,cpuacct/hoist
        mkdir /cg/cpu,cpuacct/hoist/web-1
        mkdir /cg/cpuset/hoist
        inherit cpuset in /cg/cpuset/hoist
        mkdir /cg/cpuset/hoist/web-1
        inherit cpuset in /cg/cpuset/hoist/web-1
        mkdir /cg/memory/hoist
        mkdir /cg/memory/hoist/web-1
        mkdir /cg/devices/hoist
        mkdir /cg/devices/hoist/web-1
        mkdir /cg/pids/hoist
        mkdir /cg/pids/hoist/web-1
        mkdir /cg/systemd/hoist
        mkdir /cg/systemd/hoist/web-1
        write /cg/cpu,cpuacct/hoist/web-1/cpu.cfs_period_us = 100000
        write /cg/cpu,cpuacct/hoist/web-1/cpu.cfs_quota_us = 150000
        try /cg/cpu,cpuacct/hoist/web-1/cpu.shares = 512
        write /cg/memory/hoist/web-1/memory.limit_in_bytes = 67108864
        write /cg/memory/hoist/web-1/memory.memsw.limit_in_bytes = 100663296
        write /cg/pids/hoist/web-1/pids.max = 100
    "#]],
    );
}

#[test]
fn hybrid_limits_go_where_each_controller_is() {
    let rate = DeviceRate { device: DeviceNumber { major: 8, minor: 0 }, per_second: 1 << 20 };
    let mut limits = usual();
    limits.io.read_bps.push(rate);
    check_plan(
        &hybrid(),
        &root("web-1"),
        &limits,
        expect![[r#"
        mkdir /cg/cpu,cpuacct/web-1
        mkdir /cg/cpuset/web-1
        inherit cpuset in /cg/cpuset/web-1
        mkdir /cg/memory/web-1
        mkdir /cg/devices/web-1
        mkdir /cg/pids/web-1
        mkdir /cg/systemd/web-1
        enable io in /cg/unified
        mkdir /cg/unified/web-1
        write /cg/cpu,cpuacct/web-1/cpu.cfs_period_us = 100000
        write /cg/cpu,cpuacct/web-1/cpu.cfs_quota_us = 150000
        try /cg/cpu,cpuacct/web-1/cpu.shares = 512
        write /cg/memory/web-1/memory.limit_in_bytes = 67108864
        write /cg/memory/web-1/memory.memsw.limit_in_bytes = 100663296
        write /cg/pids/web-1/pids.max = 100
        write /cg/unified/web-1/io.max = 8:0 rbps=1048576
    "#]],
    );
}

#[test]
fn unified_limits() {
    let mut limits = usual();
    limits.cpu.cpus = Some("0-1".to_owned());
    limits.unified.insert("memory.high".to_owned(), "60000000".to_owned());
    check_plan(
        &unified(),
        &root("hoist/web-1"),
        &limits,
        expect![[r#"
        enable cpu cpuset memory pids io in /cg
        mkdir /cg/hoist
        enable cpu cpuset memory pids io in /cg/hoist
        mkdir /cg/hoist/web-1
        write /cg/hoist/web-1/cpu.max = 150000 100000
        try /cg/hoist/web-1/cpu.weight = 59
        write /cg/hoist/web-1/cpuset.cpus = 0-1
        write /cg/hoist/web-1/memory.max = 67108864
        write /cg/hoist/web-1/memory.swap.max = 33554432
        write /cg/hoist/web-1/pids.max = 100
        write /cg/hoist/web-1/memory.high = 60000000
    "#]],
    );
}

#[test]
fn a_containers_limits_stand_above_its_own_group() {
    let rate = DeviceRate { device: DeviceNumber { major: 8, minor: 0 }, per_second: 1 << 20 };
    let mut limits = usual();
    limits.io.read_bps.push(rate);
    limits.io.weight = Some(500);
    limits.cpu.cpus = Some("0".to_owned());
    limits.devices = DeviceRule::defaults()[1..2].to_vec();
    let blkio = "42 31 0:39 / /cg/blkio rw - cgroup cgroup rw,blkio\n43 31 0:40 / /cg/freezer rw - cgroup cgroup rw,freezer\n";
    let v1 = hierarchy(&format!("{V1_MOUNTS}{blkio}{UNIFIED_MOUNT}"), "");
    check_contained(
        &v1,
        &limits,
        expect![[r#"
        mkdir /cg/cpu,cpuacct/web-1
        mkdir /cg/cpuset/web-1
        inherit cpuset in /cg/cpuset/web-1
        mkdir /cg/memory/web-1
        count memory below /cg/memory/web-1
        mkdir /cg/devices/web-1
        mkdir /cg/pids/web-1
        mkdir /cg/systemd/web-1
        mkdir /cg/blkio/web-1
        mkdir /cg/freezer/web-1
        mkdir /cg/unified/web-1
        write /cg/cpu,cpuacct/web-1/cpu.cfs_period_us = 100000
        write /cg/cpu,cpuacct/web-1/cpu.cfs_quota_us = 150000
        try /cg/cpu,cpuacct/web-1/cpu.shares = 512
        write /cg/cpuset/web-1/cpuset.cpus = 0
        write /cg/memory/web-1/memory.limit_in_bytes = 67108864
        write /cg/memory/web-1/memory.memsw.limit_in_bytes = 100663296
        write /cg/pids/web-1/pids.max = 100
        try /cg/blkio/web-1/blkio.bfq.weight = 500 else /cg/blkio/web-1/blkio.weight = 500
        write /cg/devices/web-1/devices.deny = a *:* rwm
        write /cg/devices/web-1/devices.allow = b *:* m
        mkdir /cg/cpu,cpuacct/web-1/container
        mkdir /cg/cpuset/web-1/container
        inherit cpuset in /cg/cpuset/web-1/container
        mkdir /cg/memory/web-1/container
        mkdir /cg/devices/web-1/container
        mkdir /cg/pids/web-1/container
        mkdir /cg/blkio/web-1/container
        write /cg/cpu,cpuacct/web-1/container/cpu.cfs_period_us = 100000
        write /cg/cpu,cpuacct/web-1/container/cpu.cfs_quota_us = 150000
        try /cg/cpu,cpuacct/web-1/container/cpu.shares = 512
        write /cg/cpuset/web-1/container/cpuset.cpus = 0
        write /cg/memory/web-1/container/memory.limit_in_bytes = 67108864
        write /cg/memory/web-1/container/memory.memsw.limit_in_bytes = 100663296
        write /cg/pids/web-1/container/pids.max = 100
        try /cg/blkio/web-1/container/blkio.bfq.weight = 500 else /cg/blkio/web-1/container/blkio.weight = 500
        write /cg/blkio/web-1/container/blkio.throttle.read_bps_device = 8:0 1048576
    "#]],
    );
    limits.unified =
        [("memory.high".to_owned(), "60000000".to_owned()), ("cgroup.max.depth".to_owned(), "3".to_owned())]
            .into();
    check_contained(
        &unified(),
        &limits,
        expect![[r#"
        enable cpu cpuset memory pids io in /cg
        mkdir /cg/web-1
        write /cg/web-1/cpu.max = 150000 100000
        try /cg/web-1/cpu.weight = 59
        write /cg/web-1/cpuset.cpus = 0
        write /cg/web-1/memory.max = 67108864
        write /cg/web-1/memory.swap.max = 33554432
        write /cg/web-1/pids.max = 100
        try /cg/web-1/io.bfq.weight = 500 else /cg/web-1/io.weight = 4950
        write /cg/web-1/io.max = 8:0 rbps=1048576
        write /cg/web-1/cgroup.max.depth = 3
        write /cg/web-1/memory.high = 60000000
        filter devices in /cg/web-1: +[b *:* m]
        enable cpu cpuset memory pids io in /cg/web-1
        mkdir /cg/web-1/container
        write /cg/web-1/container/cpu.max = 150000 100000
        try /cg/web-1/container/cpu.weight = 59
        write /cg/web-1/container/cpuset.cpus = 0
        write /cg/web-1/container/memory.max = 67108864
        write /cg/web-1/container/memory.swap.max = 33554432
        write /cg/web-1/container/pids.max = 100
        try /cg/web-1/container/io.bfq.weight = 500 else /cg/web-1/container/io.weight = 4950
        write /cg/web-1/container/io.max = 8:0 rbps=1048576
        write /cg/web-1/container/memory.high = 60000000
    "#]],
    );
}

#[test]
fn a_preference_without_effect_on_two_groups_is_told_once() {
    let mut limits = Limits::default();
    limits.memory.swappiness = Some(10);
    check_contained(
        &unified(),
        &limits,
        expect![[r#"
        enable cpu memory pids io in /cg
        mkdir /cg/web-1
        enable cpu memory pids io in /cg/web-1
        mkdir /cg/web-1/container
        warning: memory.swappiness = 10 can't be enforced on this host: cgroup version 2 has no such setting
    "#]],
    );
}

#[test]
fn a_delegated_group_is_the_base_in_every_hierarchy() {
    let own = CgroupPath::new(Anchor::Own, "web-1").unwrap();
    check_plan(
        &hybrid(),
        &own,
        &Limits::default(),
        expect![[r#"
        mkdir /cg/cpu,cpuacct/web-1
        mkdir /cg/cpuset/web-1
        inherit cpuset in /cg/cpuset/web-1
        mkdir /cg/memory/nested/group/web-1
        mkdir /cg/devices/web-1
        mkdir /cg/pids/web-1
        mkdir /cg/systemd/system.slice/hoist.service/web-1
        enable io in /cg/unified/system.slice/hoist.service
        mkdir /cg/unified/system.slice/hoist.service/web-1
    "#]],
    );
}

#[test]
fn a_bound_without_its_controller_is_an_error_and_a_preference_is_a_warning() {
    let few = hierarchy(V2_MOUNT, "cpu");
    check_plan(
        &few,
        &root("a"),
        &memory(Ceiling::At(1), None),
        expect![[r#"
        error: memory.limit = 1 can't be enforced on this host: the memory controller is in no hierarchy that is mounted here, or was not delegated to us
    "#]],
    );
    let mut limits = Limits::default();
    limits.memory.reservation = Some(Ceiling::At(1 << 20));
    limits.io.weight = Some(500);
    check_plan(
        &few,
        &root("a"),
        &limits,
        expect![[r#"
        enable cpu in /cg
        mkdir /cg/a
        warning: memory.reservation = 1048576 can't be enforced on this host: the memory controller is in no hierarchy that is mounted here, or was not delegated to us
        warning: blockIO.weight = 500 can't be enforced on this host: the io controller is in no hierarchy that is mounted here, or was not delegated to us
    "#]],
    );
}

#[test]
fn what_version_2_never_had_is_told() {
    let mut limits = Limits::default();
    limits.memory.swappiness = Some(10);
    limits.memory.oom_kill_disable = Some(true);
    check_plan(
        &unified(),
        &root("a"),
        &limits,
        expect![[r#"
        enable cpu memory pids io in /cg
        mkdir /cg/a
        warning: memory.swappiness = 10 can't be enforced on this host: cgroup version 2 has no such setting
        warning: memory.disableOOMKiller = 1 can't be enforced on this host: cgroup version 2 has no such setting
    "#]],
    );
    limits.memory = MemoryLimits { oom_kill_disable: Some(false), ..MemoryLimits::default() };
    check_plan(
        &unified(),
        &root("a"),
        &limits,
        expect![[r#"
        enable cpu memory pids io in /cg
        mkdir /cg/a
    "#]],
    );
    limits.cpu.realtime_runtime_usec = Some(1000);
    check_plan(
        &unified(),
        &root("a"),
        &limits,
        expect![[r#"
        error: cpu.realtime = 1000 can't be enforced on this host: version 2 has no real-time budgets
    "#]],
    );
}

#[test]
fn values_that_no_host_accepts_are_refused() {
    let swap_alone = Limits {
        memory: MemoryLimits { swap: Some(Ceiling::At(1)), ..MemoryLimits::default() },
        ..Limits::default()
    };
    check_plan(
        &unified(),
        &root("a"),
        &swap_alone,
        expect![[r#"
        error: memory.swap can't be 1: it counts memory and swap, so memory.limit must be set too
    "#]],
    );
    check_plan(
        &legacy(),
        &root("a"),
        &memory(Ceiling::At(2), Some(Ceiling::At(1))),
        expect![[r#"
        error: memory.swap can't be 1: it counts memory and swap, so it can't be below memory.limit = 2
    "#]],
    );
    let cpu = Limits { cpu: CpuLimits::from_millis(5), ..Limits::default() };
    check_plan(
        &unified(),
        &root("a"),
        &cpu,
        expect![[r#"
        error: cpu.quota can't be 500: it must be at least 1000 µs of a period (0.01 CPUs in the usual 100 ms)
    "#]],
    );
    let elsewhere =
        Limits { unified: [("../other/memory.max".to_owned(), "1".to_owned())].into(), ..Limits::default() };
    check_plan(
        &unified(),
        &root("a"),
        &elsewhere,
        expect![[r#"
        error: unified can't be ../other/memory.max: the name of one file of the group is wanted
    "#]],
    );
}

#[test]
fn version_1_moves_the_outer_bound_out_of_the_way_first() {
    let both = |limit, swap| memory(Ceiling::At(limit), Some(Ceiling::At(swap)));
    check_update(
        &legacy(),
        &both(100, 200),
        &both(50, 80),
        expect![[r#"
        write /cg/memory/a/memory.limit_in_bytes = 50
        write /cg/memory/a/memory.memsw.limit_in_bytes = 80
    "#]],
    );
    check_update(
        &legacy(),
        &both(100, 200),
        &both(300, 400),
        expect![[r#"
        write /cg/memory/a/memory.memsw.limit_in_bytes = 400
        write /cg/memory/a/memory.limit_in_bytes = 300
    "#]],
    );
    check_update(
        &legacy(),
        &both(100, 200),
        &memory(Ceiling::Max, None),
        expect![[r#"
        try /cg/memory/a/memory.memsw.limit_in_bytes = -1
        write /cg/memory/a/memory.limit_in_bytes = -1
    "#]],
    );
    check_update(
        &legacy(),
        &both(100, 200),
        &memory(Ceiling::At(300), None),
        expect![[r#"
        error: memory.swap can't be 200: it counts memory and swap, so it can't be below memory.limit = 300
    "#]],
    );
}

#[test]
fn version_2_swap_follows_the_limit_it_is_counted_from() {
    let from = memory(Ceiling::At(100), Some(Ceiling::At(200)));
    check_update(
        &unified(),
        &from,
        &memory(Ceiling::At(150), None),
        expect![[r#"
        enable cpu memory pids io in /cg
        write /cg/a/memory.max = 150
        write /cg/a/memory.swap.max = 50
    "#]],
    );
    let quota = Limits {
        cpu: CpuLimits { quota_usec: Some(Ceiling::At(20_000)), ..CpuLimits::default() },
        ..Limits::default()
    };
    let from =
        Limits { cpu: CpuLimits { period_usec: Some(50_000), ..CpuLimits::default() }, ..Limits::default() };
    check_update(
        &unified(),
        &from,
        &quota,
        expect![[r#"
        enable cpu memory pids io in /cg
        write /cg/a/cpu.max = 20000 50000
    "#]],
    );
}

#[test]
fn device_rules_are_an_allow_list_on_both_versions() {
    let rules = DeviceRule::defaults();
    let limits = Limits { devices: rules[1..4].to_vec(), ..Limits::default() };
    check_plan(
        &legacy(),
        &root("a"),
        &limits,
        expect![[r#"
        mkdir /cg/cpu,cpuacct/a
        mkdir /cg/cpuset/a
        inherit cpuset in /cg/cpuset/a
        mkdir /cg/memory/a
        mkdir /cg/devices/a
        mkdir /cg/pids/a
        mkdir /cg/systemd/a
        write /cg/devices/a/devices.deny = a *:* rwm
        write /cg/devices/a/devices.allow = b *:* m
        write /cg/devices/a/devices.allow = c 1:3 rwm
        write /cg/devices/a/devices.allow = c 1:5 rwm
    "#]],
    );
    check_plan(
        &unified(),
        &root("a"),
        &limits,
        expect![[r#"
        enable cpu memory pids io in /cg
        mkdir /cg/a
        filter devices in /cg/a: +[b *:* m] +[c 1:3 rwm] +[c 1:5 rwm]
    "#]],
    );
}

#[test]
fn an_exception_that_version_1_would_ignore_is_an_error() {
    let any_char = DeviceRule::defaults()[0];
    let not_this = DeviceRule { allow: false, major: Some(1), minor: Some(3), ..any_char };
    let limits = Limits { devices: vec![any_char, not_this], ..Limits::default() };
    check_plan(
        &legacy(),
        &root("a"),
        &limits,
        expect![[r#"
        error: devices = deny c 1:3 m can't be enforced on this host: cgroup version 1 can't except it from the earlier "allow c *:* m"
    "#]],
    );
}

#[test]
fn oci_resources_are_read_as_runc_and_crun_read_them() {
    let oci = r#"{
        "cpu": {"quota": -1, "period": 0, "shares": 0, "cpus": ""},
        "memory": {"limit": 1048576, "swap": -1, "reservation": 0, "kernel": 7},
        "pids": {"limit": 0},
        "devices": [{"allow": false, "access": "rwm"},
                    {"allow": true, "type": "c", "major": 136, "minor": -1, "access": "rw"}],
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]
    }"#;
    let (limits, unused) = Limits::from_oci(&serde_json::from_str(oci).unwrap()).unwrap();
    check_plan(
        &unified(),
        &root("a"),
        &limits,
        expect![[r#"
        enable cpu memory pids io hugetlb in /cg
        mkdir /cg/a
        write /cg/a/cpu.max = max 100000
        write /cg/a/memory.max = 1048576
        try /cg/a/memory.swap.max = max
        write /cg/a/hugetlb.2MB.max = 4194304
        filter devices in /cg/a: -[a *:* rwm] +[c 136:* rw]
    "#]],
    );
    let unused: Vec<String> = unused.iter().map(ToString::to_string).collect();
    expect!["memory.kernel = 7 can't be enforced on this host: kernels since 5.16 have no such limit"]
        .assert_eq(&unused.join("\n"));
}
