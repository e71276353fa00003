//! keyctl(2): only what a container needs.

use rustix::io::Errno;

use super::checked;

/// Gives the caller a session keyring of its own, so that it can't read the keys of the session it was
/// started from: key rings have no namespace.
pub(crate) fn join_new_session_keyring() -> Result<(), Errno> {
    // SAFETY: takes an operation and a name, where null means anonymous; touches no memory of ours.
    let returned = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    };
    checked(returned).map(drop)
}
