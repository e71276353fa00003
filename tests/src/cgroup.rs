//! What the kernel's control groups say of a process, on version 1, version 2 and hybrid machines.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::Host;

/// The text of one of the files of the group that limits `controller` for a process, by its number on the host; the
/// first of `names` that exists, as the versions name things differently.
#[must_use]
pub fn read(host: &Host, pid: i64, controller: &str, names: &[&str]) -> Option<String> {
    let (controller, names) =
        (controller.to_owned(), names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
    host.inside(move || {
        let group = group(pid, &controller)?;
        names.iter().find_map(|name| fs::read_to_string(group.join(name)).ok())
    })
}

fn group(pid: i64, controller: &str) -> Option<PathBuf> {
    let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path_in = |wanted: &str| {
        let lines =
            membership.lines().filter_map(|line| line.splitn(3, ':').collect::<Vec<_>>().try_into().ok());
        let mut lines = lines.filter(|[_, names, _]: &[&str; 3]| names.split(',').any(|name| name == wanted));
        lines.next().map(|[_, _, path]| path.trim_start_matches('/').to_owned())
    };
    match path_in(controller) {
        Some(path) => Some(mount("cgroup", controller)?.join(path)),
        None => Some(mount("cgroup2", "")?.join(path_in("")?)),
    }
}

/// Where a hierarchy is mounted: of this type, with this among its options.
fn mount(kind: &str, option: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/1/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (place, what) = line.split_once(" - ")?;
        let mut what = what.split(' ');
        let matches = what.next() == Some(kind)
            && (option.is_empty()
                || what.nth(1).is_some_and(|options| options.split(',').any(|one| one == option)));
        matches.then(|| Path::new(place.split(' ').nth(4).unwrap_or("/")).to_owned())
    })
}

/// Processor time that the group of a process has used, in microseconds.
///
/// # Panics
/// When the kernel doesn't say.
#[must_use]
pub fn cpu_usec(host: &Host, pid: i64) -> u64 {
    let number = |text: &str| text.trim().parse::<u64>().expect("a number");
    if let Some(nanoseconds) = read(host, pid, "cpuacct", &["cpuacct.usage"]) {
        return number(&nanoseconds) / 1000;
    }
    let stat = read(host, pid, "cpu", &["cpu.stat"]).expect("the group counts processor time");
    let line = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
    number(line.expect("cpu.stat has usage_usec"))
}
