//! Who the process is and what it may: capabilities(7), user and groups.
//!
//! The order is the kernel's: the bounding set while CAP_SETPCAP is there; groups and user while CAP_SETGID
//! and CAP_SETUID are; the other sets after the user, because changing it clears them.

use std::fmt;

use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::{Child, Failure, Step};
use crate::capabilities;

/// Drops capabilities from the bounding set: no program, set-uid or with file capabilities, gets them back.
#[derive(Debug)]
pub struct Bounding {
    pub(crate) keep: CapabilitySet,
    /// What is in the caller's bounding set and not in `keep`.
    pub(crate) drop: CapabilitySet,
}

impl Step for Bounding {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        for capability in self.drop.iter() {
            remove_capability_from_bounding_set(capability)?;
        }
        Ok(())
    }
}

impl fmt::Display for Bounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bound capabilities to {}", capabilities::text(self.keep))
    }
}

/// Becomes the user. The permitted capabilities are kept across the change, for [`Capabilities`] to cut.
#[derive(Debug)]
pub struct Become {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<Gid>,
}

impl Step for Become {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_keep_capabilities(true)?;
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        Ok(set_thread_res_uid(uid, uid, uid)?)
    }
}

impl fmt::Display for Become {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "become uid {} gid {} with groups {}", self.uid, self.gid, Groups(&self.groups))
    }
}

struct Groups<'a>(&'a [Gid]);

impl fmt::Display for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.0.iter().map(|group| group.as_raw().to_string()).collect();
        f.write_str(if numbers.is_empty() { "none" } else { "" })?;
        f.write_str(&numbers.join(","))
    }
}

/// Sets the effective, permitted and inheritable sets.
#[derive(Debug)]
pub struct Capabilities(pub(crate) CapabilitySets);

impl Step for Capabilities {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        Ok(set_capabilities(None, self.0)?)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = capabilities::text;
        let CapabilitySets { effective, permitted, inheritable } = self.0;
        write!(f, "set capabilities: effective {}", text(effective))?;
        write!(f, "; permitted {}; inheritable {}", text(permitted), text(inheritable))
    }
}

/// Sets the ambient set: what a program of a user other than root keeps.
#[derive(Debug)]
pub struct Ambient(pub(crate) CapabilitySet);

impl Step for Ambient {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        clear_ambient_capability_set()?;
        for capability in self.0.iter() {
            configure_capability_in_ambient_set(capability, true)?;
        }
        Ok(())
    }
}

impl fmt::Display for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set ambient capabilities: {}", capabilities::text(self.0))
    }
}

/// No program the process executes gets more privileges than it has (PR_SET_NO_NEW_PRIVS).
#[derive(Debug)]
pub struct NoNewPrivileges;

impl Step for NoNewPrivileges {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        Ok(set_no_new_privs(true)?)
    }
}

impl fmt::Display for NoNewPrivileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("forbid new privileges")
    }
}
