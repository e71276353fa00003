//! Groups of a test's own, and shells that run in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hoist_runtime::cgroup::{
    Anchor, Ceiling, Cgroup, CgroupError, CgroupPath, Hierarchy, Layout, Limits, MemoryLimits, Unenforced,
};

pub(crate) const MIB: u64 = 1 << 20;

/// A group that is killed and removed with everything in it when the test ends, however it ends.
pub(crate) struct TestGroup {
    pub(crate) group: Cgroup,
    pub(crate) warnings: Vec<String>,
}

impl TestGroup {
    pub(crate) fn create(hierarchy: &Arc<Hierarchy>, limits: &Limits) -> TestGroup {
        TestGroup::try_create(hierarchy, limits).unwrap()
    }

    pub(crate) fn try_create(hierarchy: &Arc<Hierarchy>, limits: &Limits) -> Result<TestGroup, CgroupError> {
        Ok(TestGroup::of(Cgroup::create(hierarchy, &unique_path(), limits)?))
    }

    /// A container's two groups.
    pub(crate) fn contained(hierarchy: &Arc<Hierarchy>, limits: &Limits) -> TestGroup {
        TestGroup::of(Cgroup::create_contained(hierarchy, &unique_path(), limits).unwrap())
    }

    fn of((group, warnings): (Cgroup, Vec<Unenforced>)) -> TestGroup {
        TestGroup { group, warnings: warnings.iter().map(ToString::to_string).collect() }
    }

    /// A shell in the group, as a container's first process would join.
    pub(crate) fn run(&self, script: &str) -> Child {
        let join =
            r#"script=$1; shift; for procs in "$@"; do echo 0 > "$procs" || exit 99; done; eval "$script""#;
        let mut shell = Command::new("bash");
        shell
            .args(["-c", join, "bash", script])
            .args(self.group.entrances().into_iter().map(|dir| dir.join("cgroup.procs")));
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn output(&self, script: &str) -> (ExitStatus, String) {
        let output = self.run(script).wait_with_output().unwrap();
        (output.status, String::from_utf8(output.stdout).unwrap())
    }

    /// The file of the group in the hierarchy that has it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let mut files = self.group.directories().into_iter().map(|dir| dir.join(name));
        files.find(|file| file.exists()).unwrap_or_else(|| panic!("no {name}"))
    }
}

impl Drop for TestGroup {
    fn drop(&mut self) {
        let _ = self.group.kill();
        let gone = eventually(|| self.group.remove().is_ok());
        if !std::thread::panicking() {
            assert!(gone, "the group can't be removed");
            let left: Vec<PathBuf> =
                self.group.directories().into_iter().filter(|dir| dir.exists()).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

/// One name per test process and test, directly below the root.
pub(crate) fn unique_path() -> CgroupPath {
    let test = std::thread::current().name().unwrap_or("main").replace("::", "-");
    CgroupPath::new(Anchor::Root, format!("hoist-test-{}-{test}", std::process::id())).unwrap()
}

pub(crate) fn detect() -> Arc<Hierarchy> {
    Arc::new(Hierarchy::detect().unwrap())
}

/// All that is mounted, and on a hybrid host each version alone.
pub(crate) fn views() -> Vec<Arc<Hierarchy>> {
    let all = detect();
    if all.layout() != Layout::Hybrid {
        return vec![all];
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let only = |kind: &str| {
        let lines: Vec<&str> = mounts.lines().filter(|line| line.contains(kind)).collect();
        let read = |dir: &Path| Ok(fs::read_to_string(dir.join("cgroup.controllers")).unwrap());
        Arc::new(Hierarchy::parse(&lines.join("\n"), &own, read).unwrap())
    };
    vec![all, only(" - cgroup "), only(" - cgroup2 ")]
}

/// Says why a test shows nothing here.
pub(crate) fn skipped(test: &str, why: &str) {
    println!("skipped, because {why}: {test}");
    if let Some(file) = std::env::var_os("HOIST_SKIPPED") {
        use std::io::Write as _;
        let mut file = fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{test}: {why}").unwrap();
    }
}

pub(crate) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

pub(crate) fn memory(limit: u64, swap: u64) -> Limits {
    let memory = MemoryLimits {
        limit: Some(Ceiling::At(limit)),
        swap: Some(Ceiling::At(swap)),
        ..MemoryLimits::default()
    };
    Limits { memory, ..Limits::default() }
}
