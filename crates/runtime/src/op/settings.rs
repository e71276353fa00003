//! What is set on the process and its namespaces, one number or word each.

use std::ffi::CString;
use std::fmt;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};
use rustix::system::{setdomainname, sethostname};

use super::{Child, Failure, Step};
use crate::sys;

/// Keeps the half-made process from being looked into.
///
/// Until its program runs, the child is a copy of its parent: its memory, its descriptors and, behind
/// `/proc/PID/exe`, the runtime's own binary. Processes of the container could reach them as soon as they
/// share a PID namespace (CVE-2016-9962, CVE-2019-5736); "not dumpable" denies ptrace(2) and
/// `/proc/PID/{exe,fd,mem,…}` to all without CAP_SYS_PTRACE over us. The kernel sets it back on execve. The
/// umask is cleared so that the modes of what is created are the ones asked for.
#[derive(Debug)]
pub struct Conceal;

impl Step for Conceal {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        umask(Mode::empty());
        Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
    }
}

impl fmt::Display for Conceal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hide from ptrace and /proc")
    }
}

/// Leaves the caller's session keyring for an empty one: keys have no namespace.
#[derive(Debug)]
pub struct Keyring;

impl Step for Keyring {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        match sys::join_new_session_keyring() {
            // A kernel without keys has none to leak.
            Err(Errno::NOSYS) => Ok(()),
            result => Ok(result?),
        }
    }
}

impl fmt::Display for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("join a new session keyring")
    }
}

/// Names the host in the new UTS namespace.
#[derive(Debug)]
pub struct Hostname(pub(crate) String);

impl Step for Hostname {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        Ok(sethostname(self.0.as_bytes())?)
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set the host name to {}", self.0)
    }
}

/// Sets the NIS domain name in the new UTS namespace.
#[derive(Debug)]
pub struct Domainname(pub(crate) String);

impl Step for Domainname {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        Ok(setdomainname(self.0.as_bytes())?)
    }
}

impl fmt::Display for Domainname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set the domain name to {}", self.0)
    }
}

/// Sets a kernel parameter of one of the new namespaces.
///
/// Through the caller's `/proc`, while it is still there: the kernel picks the namespace by who writes, and
/// the image's `/proc` need not exist or be one.
#[derive(Debug)]
pub struct Sysctl {
    pub(crate) key: String,
    /// Below `/proc/sys`.
    pub(crate) path: CString,
    pub(crate) value: String,
}

impl Step for Sysctl {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        write_file(&self.path, self.value.as_bytes())
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set {} to {}", self.key, self.value)
    }
}

/// How soon the kernel picks the process when memory runs out, -1000..=1000.
#[derive(Debug)]
pub struct OomScoreAdj(pub(crate) String);

impl Step for OomScoreAdj {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        write_file(c"/proc/self/oom_score_adj", self.0.as_bytes())
    }
}

impl fmt::Display for OomScoreAdj {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set oom_score_adj to {}", self.0)
    }
}

fn write_file(path: &std::ffi::CStr, content: &[u8]) -> Result<(), Failure> {
    let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, content)?;
    Ok(())
}

/// Limits one resource of the process.
#[derive(Debug)]
pub struct ResourceLimit {
    pub(crate) name: &'static str,
    pub(crate) resource: Resource,
    /// None is unlimited.
    pub(crate) soft: Option<u64>,
    pub(crate) hard: Option<u64>,
}

impl Step for ResourceLimit {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        Ok(setrlimit(self.resource, Rlimit { current: self.soft, maximum: self.hard })?)
    }
}

impl fmt::Display for ResourceLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
        write!(f, "limit {} to {} (hard {})", self.name, text(self.soft), text(self.hard))
    }
}

/// Sets the file mode creation mask that the program starts with.
#[derive(Debug)]
pub struct Umask(pub(crate) u32);

impl Step for Umask {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        umask(Mode::from_raw_mode(self.0));
        Ok(())
    }
}

impl fmt::Display for Umask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set the umask to {:04o}", self.0)
    }
}
