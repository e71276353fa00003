//! A container's two groups: the outer one bounds whatever the container does with its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hoist_runtime::cgroup::{
    Anchor, Ceiling, Cgroup, CgroupPath, Controller, CpuLimits, DeviceRule, Hierarchy, Home, Layout, Limits,
};

use crate::world::*;

/// Docker's default capabilities: a container's root has these, in the host's user namespace.
const CAPABILITIES: &str = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,\
    +net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap";

fn usual() -> Limits {
    let cpu = CpuLimits::from_millis(200);
    Limits { cpu, pids: Some(Ceiling::At(30)), ..memory(64 * MIB, 64 * MIB) }
}

/// A container that tries to lift its limits and then to go beyond one of them, as a command of a shell in the group.
fn lift(dir: &Path, what: &str) -> String {
    let script = dir.join("lift.sh");
    fs::write(&script, include_str!("../../../../tests/limits/lift.sh")).unwrap();
    // In a process namespace too: its numbers of processes must not be the host's.
    let namespaces = "unshare --cgroup --mount --pid --fork --mount-proc";
    format!(
        "{namespaces} setpriv --bounding-set={CAPABILITIES} unshare -U -r -m -C bash {} {what} 2>/dev/null",
        script.display()
    )
}

/// What it said, and the same where the container's group has none above it.
fn lifted(what: &str) -> [String; 2] {
    let dir = tempfile::tempdir().unwrap();
    [TestGroup::contained, TestGroup::create].map(|make| {
        let test = make(&detect(), &usual());
        let mut said = Vec::new();
        let mut child = test.run(&lift(dir.path(), what));
        // Its children keep the pipe open, so the end isn't waited for.
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            said.push(line.unwrap());
            if said.last().is_some_and(|line| line.starts_with(what)) {
                break;
            }
        }
        test.group.kill().unwrap();
        child.wait().unwrap();
        said.join("\n")
    })
}

/// Whether a container can't write its limits anyway: where version 2 is mounted with `nsdelegate`, as systemd does, the
/// kernel keeps those of a cgroup namespace's root from it.
fn kept_by_the_kernel() -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let kept = mounts.lines().any(|line| line.contains(" - cgroup2 ") && line.contains("nsdelegate"));
    kept && detect().layout() == Layout::Unified
}

#[test]
fn memory_is_bounded_whatever_a_container_writes() {
    let [bounded, free] = lifted("memory");
    for said in [&bounded, &free] {
        let lifted = said.contains("lifted memory.") || kept_by_the_kernel();
        assert!(lifted && said.contains("moved"), "it could not even try: {said}");
        assert!(!said.contains("release agent"), "{said}");
    }
    assert!(bounded.ends_with("memory 137"), "tail was not killed: {bounded}");
    let free = free.ends_with("memory 0") || kept_by_the_kernel();
    assert!(free, "without a group above it, it gets what it wants");
}

#[test]
fn processes_are_bounded_whatever_a_container_writes() {
    let [bounded, free] = lifted("pids").map(|said| {
        assert!(said.contains("lifted pids.max") || kept_by_the_kernel(), "it could not even try: {said}");
        said.lines().find_map(|line| line.strip_prefix("pids ")).unwrap().parse::<u32>().unwrap()
    });
    assert!((1..30).contains(&bounded), "{bounded} beside itself, and 30 are allowed");
    assert!(free == 60 || kept_by_the_kernel(), "{free} without a group above it");
}

#[test]
fn processor_time_is_bounded_whatever_a_container_writes() {
    let dir = tempfile::tempdir().unwrap();
    let test = TestGroup::contained(&detect(), &usual());
    let mut child = test.run(&lift(dir.path(), "cpu"));
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = said.take_while(|line| line != "ready").collect();
    let lifted = |line: &String| ["lifted cpu.max", "lifted cpu.cfs_quota_us"].contains(&line.as_str());
    assert!(said.iter().any(lifted) || kept_by_the_kernel(), "{said:?}");
    let used = || test.group.stats().unwrap().cpu_usec.unwrap();
    let (start, before) = (Instant::now(), used());
    std::thread::sleep(Duration::from_millis(2000));
    // What else the machine does makes it less, and a window may begin and end within a period: never more than this.
    let share = (used() - before) as f64 / start.elapsed().as_micros() as f64;
    assert!(share <= 0.23, "{share} of a processor");
    assert!(eventually(|| test.group.stats().unwrap().throttled_periods > Some(0)));
    test.group.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_container_sees_its_limits() {
    let test = TestGroup::contained(&detect(), &usual());
    let see = |names: &[&str]| {
        let entrances = test.group.entrances();
        let files = entrances.iter().flat_map(|dir| names.iter().map(move |name| dir.join(name)));
        files.filter_map(|file| fs::read_to_string(file).ok()).map(|text| text.trim().to_owned()).next()
    };
    assert_eq!(see(&["memory.max", "memory.limit_in_bytes"]).unwrap(), (64 * MIB).to_string());
    assert_eq!(see(&["pids.max"]).unwrap(), "30");
    assert!(["20000", "20000 100000"].contains(&&*see(&["cpu.max", "cpu.cfs_quota_us"]).unwrap()));
    let (_, cpus) = test.output("grep -c . /proc/self/cgroup; grep Cpus_allowed_list /proc/self/status");
    assert!(cpus.contains("Cpus_allowed_list"), "it runs on the CPUs of the group above: {cpus}");
}

#[test]
fn kills_for_want_of_memory_are_counted_where_they_happen() {
    let test = TestGroup::contained(&detect(), &memory(64 * MIB, 64 * MIB));
    let dirs = test.group.entrances();
    let counted = || dirs.iter().filter_map(|dir| hoist_runtime::cgroup::oom_kills_below(dir).unwrap()).max();
    assert_eq!((test.group.oom_kills().unwrap(), counted()), (Some(0), Some(0)));
    let (_, verdict) = test.output("tail /dev/zero; echo $?");
    assert_eq!(verdict.trim(), "137");
    let stats = test.group.stats().unwrap();
    assert!(stats.oom_kills >= Some(1) && counted() >= Some(1), "{stats:?}");
    assert_eq!(stats.memory_limit, Some(Ceiling::At(64 * MIB)));
    assert!(stats.memory_peak.is_none_or(|peak| peak > 60 * MIB && peak <= 64 * MIB), "{stats:?}");
}

#[test]
fn pinned_cpus_are_those_of_both_groups() {
    let cpu = CpuLimits { cpus: Some("0".to_owned()), mems: Some("0".to_owned()), ..CpuLimits::default() };
    let test = TestGroup::contained(&detect(), &Limits { cpu, ..Limits::default() });
    let (_, cpus) = test.output("grep Cpus_allowed_list /proc/self/status");
    assert_eq!(cpus.split_whitespace().nth(1), Some("0"));
    let inner = test.group.entrances().into_iter().find(|dir| dir.join("cpuset.cpus").exists()).unwrap();
    let all = fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let _ = fs::write(inner.join("cpuset.cpus"), all.trim());
    let (_, cpus) = test.output("grep Cpus_allowed_list /proc/self/status");
    assert_eq!(cpus.split_whitespace().nth(1), Some("0"), "it wrote more into its own group");
}

#[test]
fn devices_are_closed_by_the_outer_group() {
    for hierarchy in views() {
        if hierarchy.home(Controller::Devices, Anchor::Root).is_none() {
            continue; // Told by the same test of a group that stands alone.
        }
        let null = DeviceRule { minor: Some(3), ..DeviceRule::defaults()[2] };
        let test = TestGroup::contained(&hierarchy, &Limits { devices: vec![null], ..Limits::default() });
        for dir in test.group.entrances().iter().filter(|dir| dir.join("devices.allow").exists()) {
            let refused = fs::write(dir.join("devices.allow"), "a *:* rwm").unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied, "{refused}");
        }
        let (_, seen) =
            test.output("for node in null zero full; do (: < /dev/$node) 2>/dev/null && echo $node; done");
        assert_eq!(seen.trim(), "null", "{:?}", hierarchy.layout());
    }
}

#[test]
fn what_froze_itself_is_killed() {
    for hierarchy in views() {
        let test = TestGroup::contained(&hierarchy, &Limits::default());
        for dir in test.group.entrances() {
            fs::create_dir(dir.join("below")).unwrap();
            for file in ["cpuset.mems", "cpuset.cpus"] {
                let _ = fs::read(dir.join(file)).and_then(|all| fs::write(dir.join("below").join(file), all));
            }
        }
        let below: Vec<String> =
            test.group.entrances().iter().map(|dir| format!("{}/below", dir.display())).collect();
        let script = format!("for b in {}; do echo 0 > $b/cgroup.procs; done; sleep 1000", below.join(" "));
        let mut child = test.run(&script);
        assert!(eventually(|| test.group.pids().unwrap().len() == 2));
        for dir in &below {
            let _ = fs::write(format!("{dir}/freezer.state"), "FROZEN");
            let _ = fs::write(format!("{dir}/cgroup.freeze"), "1");
        }
        let state = |pid: i32| {
            let name = format!("/proc/{pid}/wchan");
            fs::read_to_string(name).unwrap_or_default()
        };
        let pid = child.id().cast_signed();
        assert!(eventually(|| !state(pid).is_empty()));
        test.group.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "{:?}", hierarchy.layout());
        assert!(eventually(|| test.group.pids().unwrap().is_empty()));
    }
}

/// Groups in groups until no path names them any more, and many side by side.
fn fill(top: &Path) {
    let script = r#"my $top = shift; for (1 .. 1000) { mkdir "$top/wide-$_" or die "$_: $!" }
        my $deep = "deep" x 5; chdir $top or die;
        for (1 .. 300) { mkdir $deep or die "$_: $!"; chdir $deep or die }"#;
    let made = Command::new("perl").args(["-e", script]).arg(top).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn any_number_of_groups_below_is_removed() {
    for hierarchy in views() {
        let test = TestGroup::contained(&hierarchy, &Limits::default());
        // One tree without much to each group, as the time that the kernel takes is not what is tested.
        let light = ["pids.max", "cgroup.freeze"];
        let entrances = test.group.entrances();
        let is_light = |dir: &&PathBuf| light.iter().any(|file| dir.join(file).exists());
        fill(entrances.iter().find(is_light).unwrap_or(&entrances[0]));
        assert!(test.group.pids().unwrap().is_empty());
        test.group.kill().unwrap();
        test.group.remove().unwrap();
        assert!(!test.group.exists(), "{:?}", hierarchy.layout());
    }
}

/// The directory of the group's own, where processes join it, on version 2.
fn unified_entrance(test: &TestGroup) -> Option<PathBuf> {
    test.group.entrances().pop().filter(|dir| dir.join("cgroup.type").exists())
}

#[test]
fn threaded_groups_hide_nobody() {
    for hierarchy in views() {
        let test = TestGroup::contained(&hierarchy, &Limits::default());
        let Some(own) = unified_entrance(&test) else { continue };
        let threaded = own.join("main/threads");
        fs::create_dir_all(&threaded).unwrap();
        fs::write(threaded.join("cgroup.type"), "threaded").unwrap();
        let script = format!(
            "echo 0 > {0}/../cgroup.procs; echo $BASHPID > {0}/cgroup.threads; sleep 1000",
            threaded.display()
        );
        let mut child = test.run(&script);
        assert!(eventually(
            || fs::read_to_string(threaded.join("cgroup.threads")).is_ok_and(|t| !t.is_empty())
        ));
        assert!(test.group.pids().unwrap().contains(&child.id().cast_signed()));
        test.group.kill().unwrap();
        assert!(!child.wait().unwrap().success());
    }
}

#[test]
fn a_further_process_joins_where_the_container_takes_any() {
    let hierarchy = detect();
    let test = TestGroup::contained(&hierarchy, &Limits::default());
    assert_eq!(test.group.entrances_beside(""), test.group.entrances());
    let controllers = |dir: &Path| fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    let Some(own) = unified_entrance(&test).filter(|own| !controllers(own).trim().is_empty()) else {
        skipped("a_further_process_joins_where_the_container_takes_any", "version 2 has no controllers here");
        return;
    };
    // As systemd does it.
    fs::create_dir(own.join("init.scope")).unwrap();
    let mut child = test.run(&format!("echo 0 > {}/init.scope/cgroup.procs; exec sleep 1000", own.display()));
    assert!(eventually(|| test.group.pids().unwrap().len() == 1
        && fs::read_to_string(own.join("cgroup.procs")).unwrap().is_empty()));
    fs::write(own.join("cgroup.subtree_control"), "+pids").unwrap();
    let of_first = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    let beside = test.group.entrances_beside(&of_first).pop().unwrap();
    assert_eq!(beside, own.join("init.scope"));
    assert_eq!(test.group.entrances_beside("0::/elsewhere\n"), test.group.entrances());
    test.group.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_group_of_an_older_version_is_joined_and_ended_as_it_is() {
    for hierarchy in views() {
        let test = TestGroup::create(&hierarchy, &Limits::default());
        assert_eq!(test.group.entrances(), test.group.directories());
        let mut child = test.run("sleep 1000 & sleep 1000");
        assert!(eventually(|| test.group.pids().unwrap().len() == 3));
        let again = Cgroup::open(&hierarchy, test.group.path()).unwrap();
        again.kill().unwrap();
        child.wait().unwrap();
        assert!(eventually(|| again.remove().is_ok()) && !again.exists());
    }
}

#[test]
fn a_delegated_group_takes_a_containers() {
    let all = detect();
    let hierarchy: Arc<Hierarchy> = views().pop().unwrap();
    if all.layout() == Layout::Unified {
        return; // There this process would have to leave its group first.
    }
    let path = CgroupPath::new(Anchor::Own, unique_path().as_path()).unwrap();
    let (group, _) = Cgroup::create_contained(&hierarchy, &path, &Limits::default()).unwrap();
    let base = hierarchy.unified().map(|mount| Home::Unified(mount).base(Anchor::Own).to_owned());
    assert!(base.is_none_or(|base| group.entrances().iter().any(|dir| dir.starts_with(&base))));
    group.remove().unwrap();
}
