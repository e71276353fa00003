//! Why a launch was refused or failed.

use rustix::io::Errno;

/// The specification or its descriptors can't be used; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The specification asks for something this runtime does not do.
    #[error("{what} is not supported by this runtime")]
    Unsupported {
        /// The field of the specification, with its value.
        what: String,
    },
}

/// The child could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// `clone3` failed.
    #[error("can't make the container's first process")]
    Clone(#[source] Errno),
}

/// The child failed before its program ran. It has been reaped, and nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[error("can't {doing}")]
pub struct LaunchError {
    /// What was being done, as the operation prints.
    pub doing: String,
    /// What to do about it, when that is known.
    pub advice: Option<String>,
    /// What the kernel said.
    #[source]
    pub source: Errno,
}
