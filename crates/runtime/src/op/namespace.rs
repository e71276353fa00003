//! Joining control groups and namespaces, and making new ones.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags, move_into_link_name_space,
    move_into_thread_name_spaces, unshare_unsafe,
};

use super::{Child, Failure, Step};

/// Moves the child into a control group.
///
/// Before the cgroup namespace is unshared: what it is in at that moment becomes its root.
#[derive(Debug)]
pub struct JoinCgroup {
    pub(crate) directory: PathBuf,
    /// Its `cgroup.procs`, open for writing.
    pub(crate) procs: OwnedFd,
}

impl Step for JoinCgroup {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        // "0" is the writer itself: no number has to be printed, and none can be stale.
        rustix::io::write(&self.procs, b"0")?;
        Ok(())
    }
}

impl fmt::Display for JoinCgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "join cgroup {}", self.directory.display())
    }
}

/// Joins one namespace that exists.
#[derive(Debug)]
pub struct JoinNamespace {
    pub(crate) kind: LinkNameSpaceType,
    pub(crate) namespace: OwnedFd,
    /// Where it comes from, for people.
    pub(crate) from: String,
}

impl Step for JoinNamespace {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        Ok(move_into_link_name_space(self.namespace.as_fd(), Some(self.kind))?)
    }
}

impl fmt::Display for JoinNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            LinkNameSpaceType::ControlGroup => "cgroup",
            LinkNameSpaceType::InterProcessCommunication => "ipc",
            LinkNameSpaceType::Network => "network",
            LinkNameSpaceType::HostNameAndNISDomainName => "uts",
            other => return write!(f, "join {other:?} namespace of {}", self.from),
        };
        write!(f, "join {kind} namespace of {}", self.from)
    }
}

/// Joins the namespaces of a running container, its mount namespace and so its root included. The PID
/// namespace is not among them: the clone was made inside it.
#[derive(Debug)]
pub struct JoinProcess {
    pub(crate) pidfd: OwnedFd,
}

impl Step for JoinProcess {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        let all = ThreadNameSpaceType::MOUNT
            | ThreadNameSpaceType::CONTROL_GROUP
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
            | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
            | ThreadNameSpaceType::NETWORK;
        Ok(move_into_thread_name_spaces(self.pidfd.as_fd(), all)?)
    }
}

impl fmt::Display for JoinProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("join the container's mount, cgroup, uts, ipc and network namespaces")
    }
}

/// Leaves the caller's namespaces for new ones.
///
/// In the child and not by flags of the clone, because copying a long mount table takes time that the
/// parent, which starts many containers, does not have.
#[derive(Debug)]
pub struct Unshare {
    pub(crate) namespaces: Vec<(UnshareFlags, &'static str)>,
}

impl Step for Unshare {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        let flags = self.namespaces.iter().fold(UnshareFlags::empty(), |all, (flag, _)| all | *flag);
        // SAFETY: FILES is not among the flags, and the child has one thread only.
        Ok(unsafe { unshare_unsafe(flags) }?)
    }
}

impl fmt::Display for Unshare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.namespaces.iter().map(|(_, name)| *name).collect();
        write!(f, "make new namespaces: {}", names.join(" "))
    }
}
