//! Which process a number means, across restarts of ours, and how it ended.
//!
//! A process ID alone is only a number that the kernel gives out again. Owns: what pins one process for
//! as long as the machine runs, and reading its exit status without being its parent. Does not own:
//! waiting (a pidfd becomes readable when its process ends) and reaping.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{fstat, fstatfs};
use rustix::ioctl;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::cgroup::CgroupPath;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// It ended and nobody could tell how: its parent was not us and the kernel (before 6.15) doesn't say.
    Unknown,
}

/// What is known of an ended process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitInfo {
    pub exit: Exit,
    pub core_dumped: bool,
}

/// Pins one process among all that ever bear its number on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Which boot of the machine the rest belongs to.
    pub boot_id: String,
    pub pid: i32,
    /// Clock ticks from boot to its start (field 22 of /proc/PID/stat).
    pub start_time: u64,
    /// Unique for the whole boot, on kernels that have pidfs (6.9).
    pub pidfd_inode: Option<u64>,
    /// The control group it was started in.
    pub cgroup: Option<CgroupPath>,
}

impl Exit {
    /// Reads a status as wait(2) gives it.
    pub fn from_wait_status(status: i32) -> Exit {
        let status = ExitStatus::from_raw(status);
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        }
    }
}

/// The kernel's random name for this boot. Read once: no process outlives a boot.
pub fn boot_id() -> io::Result<String> {
    static KNOWN: OnceLock<String> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known.clone());
    }
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    Ok(KNOWN.get_or_init(|| read).clone())
}

impl ProcessIdentity {
    /// Takes down the identity of the process behind `pidfd`, whose number is `pid`. It must not have been
    /// reaped: afterwards the number may be another's.
    pub fn of(pidfd: BorrowedFd<'_>, pid: i32, cgroup: Option<CgroupPath>) -> io::Result<ProcessIdentity> {
        let start_time = start_time(pid)?;
        // Still there, so the number was its own when /proc was read.
        require_unreaped(pidfd)?;
        Ok(ProcessIdentity { boot_id: boot_id()?, pid, start_time, pidfd_inode: pidfs_inode(pidfd)?, cgroup })
    }

    /// A pidfd of the very process, or `None` when it is no more (reaped) or belongs to an earlier boot.
    ///
    /// With pidfs the inode decides. Without, the start time does, to a clock tick (10 ms), and that the
    /// process is still below its control group; a process that was moved elsewhere is not recognised.
    pub fn open_verified(&self) -> io::Result<Option<OwnedFd>> {
        if boot_id()? != self.boot_id {
            return Ok(None);
        }
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let same = match (self.pidfd_inode, pidfs_inode(pidfd.as_fd())?) {
            (Some(then), Some(now)) => then == now,
            _ => self.is_same_by_proc(pidfd.as_fd())?,
        };
        Ok(same.then_some(pidfd))
    }

    fn is_same_by_proc(&self, pidfd: BorrowedFd<'_>) -> io::Result<bool> {
        let Some(start_time) = none_if_gone(start_time(self.pid))? else { return Ok(false) };
        let Some(groups) = none_if_gone(fs::read_to_string(format!("/proc/{}/cgroup", self.pid)))? else {
            return Ok(false);
        };
        // What was read is of the descriptor's process only if that one still holds the number.
        if none_if_gone(require_unreaped(pidfd))?.is_none() {
            return Ok(false);
        }
        let in_group = self.cgroup.as_ref().is_none_or(|path| path.is_named_in(&groups));
        Ok(start_time == self.start_time && in_group)
    }
}

/// How the process behind `pidfd` ended, whoever reaped it; `None` while it runs or awaits its parent.
///
/// The descriptor must have been opened before the process was reaped. The kernel tells since 6.15;
/// an older one gives [`Exit::Unknown`] as soon as the process has ended.
pub fn exit_info(pidfd: BorrowedFd<'_>) -> io::Result<Option<ExitInfo>> {
    match PidfdInfo::query(pidfd, PIDFD_INFO_EXIT) {
        Ok(info) if info.mask & PIDFD_INFO_EXIT != 0 => Ok(Some(ExitInfo {
            exit: Exit::from_wait_status(info.exit_code),
            core_dumped: ExitStatus::from_raw(info.exit_code).core_dumped(),
        })),
        // Running, or a zombie, of which the kernel tells nothing yet.
        Ok(_) => Ok(None),
        // No such request before 6.13; between that and 6.15 a reaped process is ESRCH.
        Err(rustix::io::Errno::NOTTY | rustix::io::Errno::INVAL | rustix::io::Errno::SRCH) => {
            let unknown = ExitInfo { exit: Exit::Unknown, core_dumped: false };
            Ok(has_ended(pidfd)?.then_some(unknown))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the process has ended, reaped or not.
fn has_ended(pidfd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(poll(&mut fds, Some(&now))? > 0)
}

/// `struct pidfd_info` of linux/pidfd.h, its first version: what a kernel knows beyond it, it leaves out.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    /// In: what is asked for. Out: what was answered.
    mask: u64,
    cgroup_id: u64,
    /// Process and group ids, user ids: not asked for.
    ids: [u32; 11],
    /// As wait(2) gives it.
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
const PIDFD_GET_INFO: ioctl::Opcode = ioctl::opcode::read_write::<PidfdInfo>(0xff, 11);

impl PidfdInfo {
    fn query(pidfd: BorrowedFd<'_>, mask: u64) -> rustix::io::Result<PidfdInfo> {
        let mut info = PidfdInfo { mask, ..PidfdInfo::default() };
        // SAFETY: the opcode has the size of the structure in it, which is `repr(C)` as the kernel
        // has it, and the kernel writes within that size; any bit pattern is a valid value of it.
        unsafe { ioctl::ioctl(pidfd, ioctl::Updater::<PIDFD_GET_INFO, PidfdInfo>::new(&mut info)) }?;
        Ok(info)
    }
}

/// The inode that tells one pidfs file from all others; `None` where pidfds share an anonymous inode.
fn pidfs_inode(pidfd: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    const PIDFS_MAGIC: i64 = 0x5049_4446;
    let on_pidfs = fstatfs(pidfd)?.f_type == PIDFS_MAGIC;
    if on_pidfs { Ok(Some(fstat(pidfd)?.st_ino)) } else { Ok(None) }
}

fn start_time(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the command in parentheses and may hold anything; the 22nd is the 20th after it.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields);
    let start = fields.and_then(|fields| fields.split(' ').nth(19)).and_then(|start| start.parse().ok());
    start
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat: no start time")))
}

/// ESRCH when the process was reaped: the null signal reaches zombies too.
fn require_unreaped(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: integers and a null pointer, which stands for the default signal information.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            0,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    match sent {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            // It is there, and not ours to signal.
            error if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            error => Err(error),
        },
    }
}

/// /proc says ENOENT before, and ESRCH while, a process goes.
fn none_if_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}
