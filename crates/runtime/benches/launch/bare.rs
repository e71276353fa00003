//! The floor: the system calls alone, with nothing checked, prepared or reported.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use hoist_runtime::rootfs::Layers;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, unmount,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, fchdir, pivot_root, waitpid};

const NAMESPACES: i32 = libc::CLONE_NEWPID
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWNET;

/// Launches, and gives the time until execve has happened.
pub(super) fn launch(layers: &Layers) -> Result<Duration, super::Failure> {
    let start = Instant::now();
    let root = overlay(layers)?;
    let (reading, writing) = pipe_with(PipeFlags::CLOEXEC)?;
    let flags = (NAMESPACES | libc::SIGCHLD) as libc::c_ulong;
    let null = std::ptr::null::<u8>();
    // SAFETY: as fork; this program has one thread, and the child ends in execve or _exit.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, null, null, null, null) };
    if pid == 0 {
        let _ = child(root.as_fd());
        // SAFETY: does not return.
        unsafe { libc::_exit(127) };
    }
    drop(writing);
    let ended = File::from(reading).read(&mut [0])?;
    let time = start.elapsed();
    let (_, status) = waitpid(Pid::from_raw(pid as i32), WaitOptions::empty())?.ok_or("no child")?;
    assert_eq!((ended, status.exit_status()), (0, Some(0)), "the bare launch failed");
    Ok(time)
}

fn overlay(layers: &Layers) -> Result<OwnedFd, Errno> {
    let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for lower in &layers.lower {
        fsconfig_set_string(&context, c"lowerdir+", lower)?;
    }
    fsconfig_set_string(&context, c"upperdir", &layers.upper)?;
    fsconfig_set_string(&context, c"workdir", &layers.work)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn child(root: BorrowedFd<'_>) -> Result<(), Errno> {
    const ATTACHED: MoveMountFlags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    move_mount(root, c"", CWD, c"/", ATTACHED)?;
    let context = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let proc = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    move_mount(&proc, c"", root, c"proc", ATTACHED)?;
    fchdir(root)?;
    pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    execute(c"/bin/true")
}

fn execute(path: &CStr) -> Result<(), Errno> {
    let argv = [c"true".as_ptr(), std::ptr::null()];
    let envp = [std::ptr::null()];
    // SAFETY: both arrays end in null and their strings are constants.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Err(Errno::NOEXEC)
}
