//! What a group uses.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::limits::Ceiling;
use super::walk::{Visitor, is_gone, read_at, walk};
use super::{CgroupError, CgroupPath, Controller, Hierarchy, Home, INNER};

/// Counters of one group and all below it. `None`: this host doesn't count it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    pub cpu_usec: Option<u64>,
    /// Periods in which the quota was used up, and for how long in all.
    pub throttled_periods: Option<u64>,
    pub throttled_usec: Option<u64>,
    /// Bytes, page cache included.
    pub memory: Option<u64>,
    pub memory_peak: Option<u64>,
    pub memory_limit: Option<Ceiling>,
    /// Page cache that is first to go: what `docker stats` takes off.
    pub memory_inactive_file: Option<u64>,
    pub swap: Option<u64>,
    pub pids: Option<u64>,
    pub pids_limit: Option<Ceiling>,
    /// Bytes from and to block devices.
    pub io_read: Option<u64>,
    pub io_written: Option<u64>,
    pub oom_kills: Option<u64>,
}

pub(super) fn read(hierarchy: &Hierarchy, path: &CgroupPath) -> Result<Stats, CgroupError> {
    let mut stats = Stats { oom_kills: oom_kills(hierarchy, path)?, ..Stats::default() };
    let home = |controller| hierarchy.home(controller, path.anchor());
    cpu(&mut stats, home(Controller::Cpu), home(Controller::Cpuacct), path)?;
    if let Some(home) = home(Controller::Memory) {
        memory(&mut stats, home, path)?;
    }
    if let Some(home) = home(Controller::Pids) {
        let dir = home.directory(path);
        stats.pids = number(&dir.join("pids.current"))?;
        stats.pids_limit = ceiling(&dir.join("pids.max"))?;
    }
    if let Some(home) = home(Controller::Blkio) {
        io(&mut stats, home, path)?;
    }
    Ok(stats)
}

pub(super) fn oom_kills(hierarchy: &Hierarchy, path: &CgroupPath) -> Result<Option<u64>, CgroupError> {
    match hierarchy.home(Controller::Memory, path.anchor()) {
        Some(home) => oom_kills_below(&home.directory(path)),
        None => Ok(None),
    }
}

/// How many processes of a group's directory and of all below it the kernel killed for want of memory; `None` where
/// this directory's hierarchy doesn't count.
pub fn oom_kills_below(dir: &Path) -> Result<Option<u64>, CgroupError> {
    if let Some(kills) = keyed(&dir.join("memory.events"), "oom_kill")? {
        return Ok(Some(kills));
    }
    if !dir.join("memory.oom_control").exists() {
        return Ok(None);
    }
    let mut kills = OomKills(0);
    walk(dir, &mut kills).map_err(|source| CgroupError::File {
        action: "count the kills in",
        file: dir.to_owned(),
        source,
    })?;
    Ok(Some(kills.0))
}

/// Version 1 counts a kill in the victim's own group only.
struct OomKills(u64);

impl Visitor for OomKills {
    fn enter(&mut self, group: BorrowedFd<'_>) -> io::Result<()> {
        let text = read_at(group, c"memory.oom_control")?;
        let count = text.as_deref().and_then(|text| value_of(text, "oom_kill")?.parse::<u64>().ok());
        self.0 += count.unwrap_or(0);
        Ok(())
    }
}

fn cpu(
    stats: &mut Stats,
    cpu: Option<Home<'_>>,
    cpuacct: Option<Home<'_>>,
    path: &CgroupPath,
) -> Result<(), CgroupError> {
    match cpuacct {
        Some(home @ Home::V1(_)) => {
            stats.cpu_usec = number(&home.directory(path).join("cpuacct.usage"))?.map(|nanos| nanos / 1000);
        }
        // Version 2 counts in every group, with the controller or without.
        Some(home @ Home::Unified(_)) => {
            stats.cpu_usec = keyed(&home.directory(path).join("cpu.stat"), "usage_usec")?;
        }
        None => {}
    }
    let Some(home) = cpu else { return Ok(()) };
    let dir = home.directory(path);
    let (name, unit) = match home {
        Home::V1(_) => ("throttled_time", 1000),
        Home::Unified(_) => ("throttled_usec", 1),
    };
    // Of two groups with the same quota, the inner one is stopped, the outer one or both.
    for file in [dir.join("cpu.stat"), dir.join(INNER).join("cpu.stat")] {
        let (periods, time) = (keyed(&file, "nr_throttled")?, keyed(&file, name)?);
        stats.throttled_periods = stats.throttled_periods.max(periods);
        stats.throttled_usec = stats.throttled_usec.max(time.map(|time| time / unit));
    }
    Ok(())
}

fn memory(stats: &mut Stats, home: Home<'_>, path: &CgroupPath) -> Result<(), CgroupError> {
    let dir = home.directory(path);
    let file = |name: &str| dir.join(name);
    match home {
        Home::V1(_) => {
            stats.memory = number(&file("memory.usage_in_bytes"))?;
            stats.memory_peak = number(&file("memory.max_usage_in_bytes"))?;
            stats.memory_limit = number(&file("memory.limit_in_bytes"))?.map(v1_ceiling);
            stats.memory_inactive_file = keyed(&file("memory.stat"), "total_inactive_file")?;
            stats.swap = keyed(&file("memory.stat"), "total_swap")?;
        }
        Home::Unified(_) => {
            stats.memory = number(&file("memory.current"))?;
            stats.memory_peak = number(&file("memory.peak"))?;
            stats.memory_limit = ceiling(&file("memory.max"))?;
            stats.memory_inactive_file = keyed(&file("memory.stat"), "inactive_file")?;
            stats.swap = number(&file("memory.swap.current"))?;
        }
    }
    Ok(())
}

fn io(stats: &mut Stats, home: Home<'_>, path: &CgroupPath) -> Result<(), CgroupError> {
    let dir = home.directory(path);
    let (file, read, written) = match home {
        Home::V1(_) => ("blkio.throttle.io_service_bytes_recursive", "Read", "Write"),
        Home::Unified(_) => ("io.stat", "rbytes", "wbytes"),
    };
    let Some(text) = text(&dir.join(file))? else { return Ok(()) };
    stats.io_read = Some(sum_io(&text, read));
    stats.io_written = Some(sum_io(&text, written));
    Ok(())
}

/// Adds up `8:0 Read 4096` (version 1) or `8:0 rbytes=4096 …` (version 2) over all devices.
fn sum_io(text: &str, name: &str) -> u64 {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c == '=').collect();
    words.windows(2).filter(|pair| pair[0] == name).filter_map(|pair| pair[1].parse::<u64>().ok()).sum()
}

/// "Unlimited" is the highest multiple of a page in an i64.
fn v1_ceiling(limit: u64) -> Ceiling {
    const LARGEST_PAGE: u64 = 64 << 10;
    if limit >= i64::MAX as u64 - LARGEST_PAGE { Ceiling::Max } else { Ceiling::At(limit) }
}

fn text(file: &Path) -> Result<Option<String>, CgroupError> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(source) => Err(CgroupError::File { action: "read", file: file.to_owned(), source }),
    }
}

fn number(file: &Path) -> Result<Option<u64>, CgroupError> {
    let Some(text) = text(file)? else { return Ok(None) };
    parse(file, text.trim()).map(Some)
}

fn ceiling(file: &Path) -> Result<Option<Ceiling>, CgroupError> {
    let Some(text) = text(file)? else { return Ok(None) };
    match text.trim() {
        "max" => Ok(Some(Ceiling::Max)),
        value => parse(file, value).map(Ceiling::At).map(Some),
    }
}

/// The value of the line `key value`.
fn keyed(file: &Path, key: &str) -> Result<Option<u64>, CgroupError> {
    let Some(text) = text(file)? else { return Ok(None) };
    value_of(&text, key).map(|value| parse(file, value)).transpose()
}

fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let found = text.lines().find_map(|line| line.split_once(' ').filter(|(found, _)| *found == key));
    found.map(|(_, value)| value.trim())
}

fn parse(file: &Path, text: &str) -> Result<u64, CgroupError> {
    let wrong =
        |_| CgroupError::Format { file: PathBuf::from(file), text: text.to_owned(), expected: "a number" };
    text.parse().map_err(wrong)
}
