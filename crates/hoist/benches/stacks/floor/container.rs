//! One bare container.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::{Errno, read, write};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, unmount,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, fchdir, kill_process, pivot_root, waitpid};

use super::super::contain;
use super::netlink::Socket;

const NAMESPACES: i32 = libc::CLONE_NEWPID
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWNET;

pub(super) struct Container {
    pid: Pid,
    folder: PathBuf,
    groups: Vec<PathBuf>,
}

/// Where control groups are mounted, of every version.
pub(super) fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts can be read");
    let groups = mounts.lines().filter(|line| line.contains(" - cgroup"));
    groups.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

impl Container {
    /// Launches; `execve` has happened when this returns.
    pub(super) fn launch(
        rootfs: &Path,
        folder: &Path,
        hierarchies: &[PathBuf],
        netlink: &mut Socket,
        number: &str,
    ) -> Self {
        let group = |top: &PathBuf| top.join(contain::group()).join(format!("floor-{number}"));
        let groups: Vec<PathBuf> = hierarchies.iter().map(group).collect();
        groups.iter().for_each(|group| fs::create_dir_all(group).expect("a control group can be made"));
        let root = overlay(rootfs, folder).expect("an overlay can be mounted");
        let (gate, open) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let (executed, closes) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let pid = clone(root.as_fd(), &gate, &open);
        drop(closes);
        netlink.veth(&format!("floor{number}"), pid.as_raw_nonzero().get().unsigned_abs());
        let text = pid.as_raw_nonzero().to_string();
        for group in &groups {
            join(group, &text);
        }
        write(&open, b"!").expect("the child waits");
        let end = read(&executed, &mut [0]).expect("a pipe");
        assert_eq!(end, 0, "execve closes the pipe");
        Self { pid, folder: folder.to_owned(), groups }
    }

    pub(super) fn kill(&self) {
        kill_process(self.pid, Signal::KILL).expect("it runs");
    }

    /// Waits for the end and removes what is left.
    pub(super) fn remove(self) {
        waitpid(Some(self.pid), WaitOptions::empty()).expect("a child of ours");
        self.groups.iter().for_each(|group| fs::remove_dir(group).expect("an empty control group"));
        fs::remove_dir_all(self.folder).expect("a folder of ours");
    }
}

/// A cpuset has to be given processors before anyone can join it (cpuset(7)).
fn join(group: &Path, pid: &str) {
    let procs = group.join("cgroup.procs");
    if fs::write(&procs, pid).is_ok() {
        return;
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        for folder in [group.parent().unwrap_or(group), group] {
            let above = folder.parent().unwrap_or(folder).join(file);
            let value = fs::read_to_string(above).expect("the group above has one");
            fs::write(folder.join(file), value).expect("it can be handed down");
        }
    }
    fs::write(procs, pid).expect("it can be joined");
}

fn overlay(rootfs: &Path, folder: &Path) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"lowerdir+", rootfs)?;
    for (key, name) in [(c"upperdir", "upper"), (c"workdir", "work")] {
        let path = folder.join(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        fsconfig_set_string(&context, key, CString::new(path.as_os_str().as_bytes()).expect("no zero byte"))?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn clone(root: BorrowedFd<'_>, gate: &OwnedFd, open: &OwnedFd) -> Pid {
    let flags = (NAMESPACES | libc::SIGCHLD) as libc::c_ulong;
    let null = std::ptr::null::<u8>();
    // SAFETY: as fork; this program has one thread, and the child ends in execve or _exit.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, null, null, null, null) };
    if pid == 0 {
        let _ = child(root, gate);
        // SAFETY: does not return.
        unsafe { libc::_exit(127) };
    }
    let _kept_by_the_parent = open;
    i32::try_from(pid).ok().and_then(Pid::from_raw).expect("clone works")
}

fn child(root: BorrowedFd<'_>, gate: &OwnedFd) -> Result<(), Errno> {
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
    read(gate, &mut [0])?;
    let argv = [c"sleep".as_ptr(), c"100000".as_ptr(), std::ptr::null()];
    let envp = [std::ptr::null()];
    // SAFETY: both arrays end in null and their strings are constants.
    unsafe { libc::execve(c"/bin/sleep".as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Err(Errno::NOEXEC)
}
