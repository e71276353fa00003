//! A runner of tests: a chroot, without isolation beyond that.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "test set-up")]

use std::error::Error;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use hoist_image::builder::execute::{BoundSource, Ended, Job, Listener, Overlay, Root, Runner};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

pub struct Chroot;

impl Runner for Chroot {
    fn mount(&self, overlay: &Overlay) -> io::Result<OwnedFd> {
        let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for lower in &overlay.lower {
            rustix::mount::fsconfig_set_string(&context, c"lowerdir+", lower)?;
        }
        rustix::mount::fsconfig_set_string(&context, c"upperdir", &overlay.upper)?;
        rustix::mount::fsconfig_set_string(&context, c"workdir", &overlay.work)?;
        rustix::mount::fsconfig_create(&context)?;
        Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
    }

    fn run(&self, job: &Job, listener: &dyn Listener) -> Result<Ended, Box<dyn Error + Send + Sync>> {
        let root = match &job.root {
            Root::Overlay(overlay) => self.mount(overlay)?,
            Root::Directory(path) => fs::File::open(path)?.into(),
        };
        for mount in &job.mounts {
            // Enough to see a cache mount live on: in before, out after.
            if let BoundSource::Path(path) = &mount.source {
                let inside =
                    format!("/proc/{}/fd/{}{}", std::process::id(), root.as_raw_fd(), mount.target.display());
                crate::support::sh(&format!("mkdir -p {inside} && cp -a {}/. {inside}", path.display()));
            }
        }
        let (fd, cwd) = (root.as_raw_fd(), job.working_dir.clone());
        let mut command = Command::new(&job.command[0]);
        command.args(&job.command[1..]).env_clear().envs(&job.environment).stdin(Stdio::null());
        let (mut output, end) = io::pipe()?;
        command.stdout(end.try_clone()?).stderr(end);
        // SAFETY: only system calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                rustix::process::fchdir(std::os::fd::BorrowedFd::borrow_raw(fd))?;
                rustix::process::chroot(".")?;
                rustix::process::chdir(&cwd[..])?;
                Ok(())
            });
        }
        let mut child = command.spawn()?;
        drop(command);
        let mut buffer = Vec::new();
        output.read_to_end(&mut buffer)?;
        listener.output(&buffer);
        let status = child.wait()?;
        for mount in &job.mounts {
            if let BoundSource::Path(path) = &mount.source {
                let inside =
                    format!("/proc/{}/fd/{}{}", std::process::id(), root.as_raw_fd(), mount.target.display());
                crate::support::sh(&format!("cp -a {inside}/. {} && rm -rf {inside}", path.display()));
                assert!(!Path::new(&inside).exists());
            }
        }
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Status(code),
            (None, signal) => Ended::Signal(signal.unwrap_or(0)),
        })
    }
}
