//! Processes told apart, and their exits read by others than their parent.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use hoist_runtime::identity::{Exit, ExitInfo, ProcessIdentity, exit_info};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid};

fn spawn(script: &str) -> (Child, OwnedFd) {
    let child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
    let pidfd = pidfd_open(pid(&child), PidfdFlags::empty()).unwrap();
    (child, pidfd)
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Kernel 6.15 is the first to tell.
fn told(exit: Exit) -> Exit {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap(), numbers.next().unwrap());
    if version >= (6, 15) { exit } else { Exit::Unknown }
}

#[test]
fn an_exit_is_known_after_another_has_reaped_it() {
    for (script, exit) in [("exit 7", Exit::Code(7)), ("kill -TERM $$", Exit::Signal(15))] {
        let (mut child, pidfd) = spawn(script);
        // The reaper is the standard library here: what matters is that the status was consumed.
        child.wait().unwrap();
        let info = ExitInfo { exit: told(exit), core_dumped: false };
        assert_eq!(exit_info(pidfd.as_fd()).unwrap(), Some(info), "{script}");
    }
}

#[test]
fn a_running_process_has_no_exit() {
    let (mut child, pidfd) = spawn("read line");
    assert_eq!(exit_info(pidfd.as_fd()).unwrap(), None);
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(exit_info(pidfd.as_fd()).unwrap().is_some());
}

#[test]
fn an_identity_opens_the_same_process_until_it_is_reaped() {
    let (mut child, pidfd) = spawn("read line");
    let identity = ProcessIdentity::of(pidfd.as_fd(), pid(&child).as_raw_nonzero().get(), None).unwrap();
    let copy: ProcessIdentity = serde_json::from_str(&serde_json::to_string(&identity).unwrap()).unwrap();
    assert!(copy.open_verified().unwrap().is_some());

    kill_process(pid(&child), Signal::KILL).unwrap();
    let zombie = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::PidFd(pidfd.as_fd()), zombie).unwrap();
    assert!(copy.open_verified().unwrap().is_some(), "a zombie still is the process");

    child.wait().unwrap();
    assert!(copy.open_verified().unwrap().is_none());
    assert!(ProcessIdentity::of(pidfd.as_fd(), copy.pid, None).is_err(), "the number may be another's now");
}

#[test]
fn another_boot_inode_or_start_is_another_process() {
    let (mut child, pidfd) = spawn("read line");
    let identity = ProcessIdentity::of(pidfd.as_fd(), pid(&child).as_raw_nonzero().get(), None).unwrap();
    let other_boot = ProcessIdentity { boot_id: "another".to_owned(), ..identity.clone() };
    assert!(other_boot.open_verified().unwrap().is_none());
    if let Some(inode) = identity.pidfd_inode {
        let other_inode = ProcessIdentity { pidfd_inode: Some(inode + 1), ..identity.clone() };
        assert!(other_inode.open_verified().unwrap().is_none());
    }
    // As on a kernel without pidfs.
    let by_time = ProcessIdentity { pidfd_inode: None, ..identity };
    assert!(by_time.open_verified().unwrap().is_some());
    let other_time = ProcessIdentity { start_time: by_time.start_time + 1, ..by_time };
    assert!(other_time.open_verified().unwrap().is_none());
    drop(child.stdin.take());
    child.wait().unwrap();
}
