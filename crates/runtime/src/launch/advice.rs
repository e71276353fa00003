//! Failures in words: what happened, and what to do next where that is known.

use rustix::io::Errno;

use super::LaunchError;
use crate::op::{Failure, Note, Op};

/// An operation of the child failed.
pub(super) fn failed(op: &Op, failure: &Failure) -> LaunchError {
    if let Op::Execute(program) = op {
        let (doing, advice) = program.explain(failure);
        return LaunchError { doing, advice, source: Some(failure.errno), lasting: is_lasting(op, failure) };
    }
    let message = String::from_utf8_lossy(failure.message.as_bytes());
    let doing = if message.is_empty() { op.to_string() } else { format!("{op}: {message}") };
    let advice = advice(op, failure).map(str::to_owned);
    LaunchError { doing, advice, source: Some(failure.errno), lasting: is_lasting(op, failure) }
}

/// The child was killed on its way.
pub(super) fn died(signal: Option<i32>) -> LaunchError {
    let (doing, advice) = match signal {
        Some(libc::SIGKILL) => (
            "start the program: its process was killed while it was being set up".to_owned(),
            Some("raise the memory limit if it is below a few MiB; otherwise see who killed it".to_owned()),
        ),
        Some(signal) => (format!("start the program: its process was ended by signal {signal}"), None),
        None => ("start the program: its process ended while it was being set up".to_owned(), None),
    };
    LaunchError { doing, advice, source: None, lasting: false }
}

/// What the image, the specification and the volumes say stays as it is until a person changes it.
fn is_lasting(op: &Op, failure: &Failure) -> bool {
    match op {
        Op::Execute(_) => {
            matches!(failure.errno, Errno::NOENT | Errno::ACCESS | Errno::NOEXEC | Errno::ISDIR)
        }
        Op::Sysctl(_) => matches!(failure.errno, Errno::NOENT | Errno::INVAL | Errno::ACCESS | Errno::PERM),
        Op::CloneTree(_) | Op::Directory(_) | Op::ChangeDirectory(_) => {
            matches!(failure.errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV)
        }
        _ => failure.note != Note::None,
    }
}

fn advice(op: &Op, failure: &Failure) -> Option<&'static str> {
    match (op, failure.note, failure.errno) {
        (Op::Mount(_), Note::KindMismatch, _) => {
            Some("a directory can only be mounted on a directory and a file on a file: check both")
        }
        (Op::Mount(_), Note::Symlink, _) => {
            Some("the image has a symbolic link where the kernel's file system belongs: remove it")
        }
        (Op::Mount(_), Note::Kernel, _) => {
            Some("the target leads over a link of the image to /proc or /sys: mount it elsewhere")
        }
        (Op::Mount(_), Note::NotKernel, _) => {
            Some("only the host's own /proc or /sys may be mounted there: mount it elsewhere")
        }
        (Op::Mount(_), Note::Root, _) => {
            Some("the target leads over a link of the image to the root itself: mount it elsewhere")
        }
        (Op::CloneTree(_), Note::LeadsOut, _) => {
            Some("the path leads out of the volume over a link that was left in it: remove the link")
        }
        (Op::CloneTree(_), _, Errno::NOENT) => Some("create the source on this host"),
        (Op::Unshare(_), _, Errno::NOSPC | Errno::USERS) => {
            Some("this host's limit of namespaces is reached: see /proc/sys/user/max_*_namespaces")
        }
        (Op::Unshare(_), _, Errno::PERM) => Some("run as root, or with CAP_SYS_ADMIN"),
        (Op::JoinCgroup(_), _, Errno::NODEV | Errno::NOENT) => Some("the control group has been removed"),
        (Op::JoinProcess(_), _, Errno::SRCH) => Some("the container has ended"),
        (Op::PivotRoot(_), _, Errno::INVAL) => {
            Some("the host's own root must be a mount: it is an initramfs or a chroot here")
        }
        (Op::AppArmor(_), _, Errno::NOENT) => Some("load the profile on this host with apparmor_parser"),
        (Op::Seccomp(_), _, Errno::ACCESS) => {
            Some("run as root, or with CAP_SYS_ADMIN; or set no-new-privileges for the process")
        }
        (Op::Seccomp(_), _, Errno::INVAL | Errno::NOSYS) => Some(
            "this kernel has no seccomp filters, or not with these flags: take the profile or its flags out, or run \
             unconfined",
        ),
        (Op::ChangeDirectory(_), _, Errno::NOENT | Errno::NOTDIR) => {
            Some("the working directory is not there: check working_dir")
        }
        (Op::ChangeDirectory(_), _, Errno::LOOP) => {
            Some("the working directory leads through a magic link or a loop of links")
        }
        (Op::Directory(_), _, Errno::NOTDIR) => Some("a part of the path is a file in the image"),
        _ => None,
    }
}
