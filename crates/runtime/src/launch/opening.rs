//! Descriptors made ready for the child.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use super::PrepareError;
use crate::cgroup::{GroupMounts, Version};
use crate::op::JoinCgroup;

/// Control groups, opened in the caller's namespaces.
pub(crate) struct Cgroups {
    /// The first of version 2: the clone puts the child there, in one step with its creation.
    pub(crate) birth: Option<(PathBuf, OwnedFd)>,
    /// The others: joined by writing.
    pub(crate) joins: Vec<JoinCgroup>,
}

impl Cgroups {
    pub(crate) fn open(directories: Vec<PathBuf>, mounts: &GroupMounts) -> Result<Self, PrepareError> {
        let mut cgroups = Self { birth: None, joins: Vec::new() };
        for path in directories {
            let refused = |source| PrepareError::Open { path: path.clone(), source };
            if mounts.version(&path).map_err(refused)? == Version::Two && cgroups.birth.is_none() {
                let directory = open(&path, OFlags::PATH | OFlags::DIRECTORY).map_err(refused)?;
                cgroups.birth = Some((path, above_stdio(directory)?));
            } else {
                let procs = open(&path.join("cgroup.procs"), OFlags::WRONLY).map_err(refused)?;
                cgroups.joins.push(JoinCgroup { directory: path, procs: above_stdio(procs)? });
            }
        }
        Ok(cgroups)
    }
}

fn open(path: &std::path::Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
}

/// Moves a descriptor out of 0..=2, where the child puts its own.
pub(crate) fn above_stdio(fd: OwnedFd) -> Result<OwnedFd, PrepareError> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    fcntl_dupfd_cloexec(&fd, 3).map_err(PrepareError::Descriptor)
}

pub(crate) fn stdio([input, output, error]: [OwnedFd; 3]) -> Result<[OwnedFd; 3], PrepareError> {
    Ok([above_stdio(input)?, above_stdio(output)?, above_stdio(error)?])
}
