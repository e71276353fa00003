//! What a keeper does to its own process first: whatever started it, it is always in the same surroundings.
//!
//! Must run before the process has a second thread, and before it opens anything it wants to keep.

use std::fs;
use std::io;
use std::os::fd::RawFd;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use oci_spec::runtime::{PosixRlimitBuilder, PosixRlimitType, Process};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, geteuid, getpid, getrlimit, set_child_subreaper,
    set_dumpable_behavior, setrlimit, setsid, umask,
};
use rustix::thread::set_name;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::diary::Diary;

/// What the keeper changed for itself. Containers get it as it was, unless their specification says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inherited {
    oom_score_adj: Option<i32>,
    /// Soft and hard.
    open_files: (Option<u64>, Option<u64>),
}

impl Inherited {
    pub(crate) fn fill_in(&self, process: &mut Process) {
        if process.oom_score_adj().is_none() {
            process.set_oom_score_adj(self.oom_score_adj);
        }
        let mut limits = process.rlimits().clone().unwrap_or_default();
        if limits.iter().any(|limit| limit.typ() == PosixRlimitType::RlimitNofile) {
            return;
        }
        let (soft, hard) = self.open_files;
        let limit = PosixRlimitBuilder::default()
            .typ(PosixRlimitType::RlimitNofile)
            .soft(soft.unwrap_or(u64::MAX))
            .hard(hard.unwrap_or(u64::MAX))
            .build();
        limits.extend(limit);
        process.set_rlimits(Some(limits));
    }
}

/// What came of it.
pub(crate) struct Cleaned {
    pub(crate) inherited: Inherited,
    pub(crate) signals: SignalFd,
    pub(crate) diary: Diary,
}

/// Cleans up. What a host may refuse is noted in the diary and no error.
pub(crate) fn clean(config: &Config, keep: &[RawFd]) -> io::Result<Cleaned> {
    close_foreign(keep)?;
    let signals = block_signals()?;
    umask(Mode::from_raw_mode(0o077));
    std::env::set_current_dir("/")?;
    scrub_environment();
    let mut diary = Diary::open(config.diary.as_deref())?;
    redirect_stdio(&diary)?;
    let inherited = Inherited { oom_score_adj: oom_score_adj(), open_files: open_files() };
    for (doing, outcome) in attempts(config) {
        if let Err(error) = outcome {
            diary.write(&format!("can't {doing}: {error}"));
        }
    }
    Ok(Cleaned { inherited, signals, diary })
}

fn attempts(config: &Config) -> Vec<(&'static str, io::Result<()>)> {
    let mut attempts = vec![
        ("start a session", start_session()),
        ("become a subreaper", set_child_subreaper(Some(getpid())).map_err(io::Error::from)),
        ("keep away from the out-of-memory killer", fs::write(OOM_SCORE_ADJ, "-999")),
        ("raise the limit of open files", raise_open_files()),
        ("set the process's name", set_name(c"hoist-keeper").map_err(io::Error::from)),
    ];
    if geteuid().is_root() {
        // A process about to enter a container is a copy of this one: nothing in there may look into it.
        let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        attempts.push(("hide from tracing", hidden.map_err(io::Error::from)));
    }
    attempts
        .extend(config.cgroup_procs.iter().map(|procs| ("enter its control group", fs::write(procs, "0"))));
    attempts
}

fn start_session() -> io::Result<()> {
    match setsid() {
        // The leader of a session can't start another one, and needn't. Asking who leads tells nothing
        // when the leader is outside our PID namespace.
        Ok(_) | Err(Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

fn oom_score_adj() -> Option<i32> {
    fs::read_to_string(OOM_SCORE_ADJ).ok()?.trim().parse().ok()
}

fn open_files() -> (Option<u64>, Option<u64>) {
    let limit = getrlimit(Resource::Nofile);
    (limit.current, limit.maximum)
}

/// Some seven descriptors an instance.
fn raise_open_files() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Blocks all signals, to be read instead: SIGCHLD matters, SIGXFSZ and SIGPIPE become errors of calls, and
/// the rest is not to end a keeper.
fn block_signals() -> io::Result<SignalFd> {
    let mut signals = SigSet::all();
    // These tell of a fault in this very thread, where going on is no choice.
    for fault in [
        Signal::SIGABRT,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGSEGV,
        Signal::SIGSYS,
        Signal::SIGTRAP,
    ] {
        signals.remove(fault);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&signals), None)?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// Closes what whoever started us had open, beyond the standard streams and what is to be kept.
fn close_foreign(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    let mut first = 3;
    for kept in keep {
        if kept > first {
            close_range(first, kept - 1)?;
        }
        first = kept + 1;
    }
    close_range(first, RawFd::MAX)
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: takes integers. By this module's rule nothing in this process owns a descriptor beyond the
    // standard ones yet, but for those that are kept.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn scrub_environment() {
    // SAFETY: by this module's rule there is no second thread that could read the environment.
    unsafe { libc::clearenv() };
}

fn redirect_stdio(diary: &Diary) -> io::Result<()> {
    let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    match diary.file() {
        Some(file) => rustix::stdio::dup2_stderr(file)?,
        None => rustix::stdio::dup2_stderr(&null)?,
    }
    Ok(())
}
