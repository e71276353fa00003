//! Kernel parameters below `/proc/sys`; those of the network are of the calling thread's namespace.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use crate::netlink::KernelError;
use crate::netns::{self, NetnsError};

/// Reads parameters; those that the kernel doesn't have are left out.
pub(crate) fn read(netns: BorrowedFd<'_>, keys: Vec<String>) -> Result<BTreeMap<String, String>, NetnsError> {
    netns::enter(netns, move || {
        let value = |key: &String| fs::read_to_string(path(key)).ok();
        keys.iter().filter_map(|key| Some((key.clone(), value(key)?.trim().to_owned()))).collect()
    })
}

/// Sets a parameter.
pub(crate) fn write(netns: BorrowedFd<'_>, key: &str, value: &str) -> Result<(), KernelError> {
    let failed = |source| KernelError::new(format!("set {key} to {value}"), source);
    let (path, content) = (path(key), value.to_owned());
    let outcome = netns::enter(netns, || fs::write(path, content));
    outcome.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
}

fn path(key: &str) -> PathBuf {
    Path::new("/proc/sys").join(key)
}
