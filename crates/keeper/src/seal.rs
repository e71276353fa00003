//! Running from a view of the program's file that nobody can write through.
//!
//! A process about to enter a container is a copy of the keeper, and `/proc/PID/exe` leads from inside the
//! container to the keeper's program on the host (CVE-2019-5736). So the keeper executes itself once more,
//! from a clone of the mount its file is on that is read-only and attached nowhere. It costs three system
//! calls and an execve, and no memory, unlike a copy of the file.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

use nix::fcntl::AtFlags;
use rustix::fd::AsFd;
use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};

const VARIABLE: &str = "HOIST_KEEPER_SEALED";

/// Executes this program again, sealed; returns at once when it is already.
pub(crate) fn seal() -> io::Result<()> {
    if std::env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    match execute_sealed()? {}
}

fn execute_sealed() -> io::Result<Infallible> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let program = open_tree(CWD, c"/proc/self/exe", flags)?;
    make_read_only(program.as_fd())?;
    let args: Vec<CString> = std::env::args_os().map(c_string).collect::<Result<_, _>>()?;
    let marker = (OsString::from(VARIABLE), OsString::from("1"));
    let variables = std::env::vars_os().chain([marker]).map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        c_string(name)
    });
    let variables: Vec<CString> = variables.collect::<Result<_, _>>()?;
    Ok(nix::unistd::execveat(&program, c"", &args, &variables, AtFlags::AT_EMPTY_PATH)?)
}

fn c_string(text: OsString) -> Result<CString, std::ffi::NulError> {
    CString::new(text.into_vec())
}

/// mount_setattr(2), Linux 5.12.
fn make_read_only(mount: BorrowedFd<'_>) -> io::Result<()> {
    let attributes =
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is an empty C string, and the structure is valid for the size given.
    let changed = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if changed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
