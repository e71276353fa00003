//! seccomp(2).

use rustix::io::Errno;

use super::checked;
use crate::seccomp::Instruction;

/// Puts a filter on the calling thread and all that comes of it, for good.
pub(crate) fn install_filter(program: &[Instruction], flags: u32) -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr().cast_mut().cast::<libc::sock_filter>(),
    };
    // SAFETY: `Instruction` is laid out as `sock_filter`; the kernel copies the program and writes nothing. A filter
    // changes what later calls return, which no code relies on beyond what their types say.
    let returned = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&program))
    };
    checked(returned).map(drop)
}
