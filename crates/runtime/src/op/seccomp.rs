//! Installing the filter of system calls.

use std::fmt;
use std::sync::Arc;

use rustix::thread::{CapabilitySets, capabilities, set_capabilities};

use super::{Child, Failure, Step};
use crate::seccomp::Filter;
use crate::sys;

/// Filters the system calls that the process makes from here on: those of the program, and the few that are left
/// until then.
///
/// The kernel takes a filter from who has CAP_SYS_ADMIN, or from who can't gain privileges: or else a set-uid
/// program could be misled by calls that fail.
#[derive(Debug)]
pub struct Seccomp {
    pub(crate) filter: Arc<Filter>,
    /// Whether it takes CAP_SYS_ADMIN. A change of user has left it permitted and taken it out of force.
    pub(crate) privileged: bool,
}

impl Step for Seccomp {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        if self.privileged {
            let sets = capabilities(None)?;
            set_capabilities(None, CapabilitySets { effective: sets.permitted, ..sets })?;
        }
        Ok(sys::install_filter(self.filter.program(), self.filter.flags())?)
    }
}

impl fmt::Display for Seccomp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter system calls by {} instructions", self.filter.program().len())
    }
}
