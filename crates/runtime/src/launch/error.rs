//! Why a launch was refused or failed.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::seccomp::CompileError;

/// The specification or its descriptors can't be used; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The specification asks for something this runtime does not do.
    #[error("{what} is not supported by this runtime")]
    Unsupported {
        /// The field of the specification, with its value.
        what: String,
    },
    /// The specification contradicts itself or the OCI runtime specification.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field of the specification.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// More is asked for than the caller may give, and [`super::Shortfall::Refuse`] was chosen.
    #[error("{what}")]
    Lacking {
        /// What can't be granted, and why.
        what: String,
    },
    /// A control group or namespace can't be opened.
    #[error("can't open {path}")]
    Open {
        /// What was to be opened.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// The terminal can't be mounted as `/dev/console`.
    #[error("can't use the terminal")]
    Terminal(#[source] Errno),
    /// The profile of system calls can't become a filter.
    #[error("the seccomp profile can't be used")]
    Seccomp(#[from] CompileError),
    /// The process has no room for another descriptor.
    #[error("can't keep a descriptor out of the way of standard input, output and error")]
    Descriptor(#[source] Errno),
}

impl PrepareError {
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }

    /// Whether it would fail the same way if it were tried again.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Unsupported { .. } | Self::Invalid { .. } | Self::Lacking { .. })
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}

/// The child could not be made; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No pipe for the child's report.
    #[error("can't make a pipe")]
    Pipe(#[source] Errno),
    /// The PID namespace to be born in can't be entered.
    #[error("can't enter the PID namespace")]
    PidNamespace(#[source] Errno),
    /// The container whose PID namespace was to be joined has ended.
    #[error("the container has ended")]
    Ended,
    /// The control group to be born in does not take processes.
    #[error("can't start a process in cgroup {path}")]
    Cgroup {
        /// Its directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// `clone3` failed.
    #[error("can't make the process")]
    Clone(#[source] Errno),
}

/// The child failed before its program ran. It has been reaped, and nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[error("can't {doing}")]
pub struct LaunchError {
    /// What was being done, as the operation prints, with the kernel's own words where it gave some.
    pub doing: String,
    /// What to do about it, when that is known.
    pub advice: Option<String>,
    /// What the kernel said; nothing when the child was killed.
    #[source]
    pub source: Option<Errno>,
    /// Whether it would fail the same way if it were tried again.
    pub lasting: bool,
}
