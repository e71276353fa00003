//! Confinement by AppArmor.

use std::ffi::CString;
use std::fmt;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::{Child, Failure, Step};

/// Has a profile of the host confine the process from its next execve on, which is the program's. (An init of ours
/// executes nothing.)
///
/// Asked for while the host's `/proc` is in sight: what a container has there may be anything.
#[derive(Debug)]
pub struct AppArmor {
    /// `exec PROFILE`, as the kernel's interface wants it.
    pub(crate) order: CString,
}

impl Step for AppArmor {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        // The module's own directory, since Linux 5.8; with the older one other modules answer as well.
        let own = c"/proc/thread-self/attr/apparmor/exec";
        let attribute = match openat(CWD, own, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => {
                openat(CWD, c"/proc/thread-self/attr/exec", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            }
            opened => opened,
        }?;
        rustix::io::write(&attribute, self.order.as_bytes())?;
        Ok(())
    }
}

impl fmt::Display for AppArmor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = self.order.to_string_lossy();
        write!(f, "have AppArmor confine the program by {}", order.trim_start_matches("exec "))
    }
}
