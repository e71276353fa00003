//! Starts the other two processes from this binary: keeper and dns, with nothing of the agent's environment. They leave
//! its session and control group by themselves; a process group of their own would keep them from it (setsid(2)).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::oneshot;

use crate::layout::Layout;
use crate::processes::handover;

/// Knows the binary and the root.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    pub(crate) exe: PathBuf,
    pub(crate) layout: Layout,
}

impl Spawner {
    fn command(&self, name: &str) -> io::Result<Command> {
        let log =
            OpenOptions::new().create(true).append(true).mode(0o600).open(self.layout.daemon_log(name))?;
        let mut command = Command::new(&self.exe);
        command
            .arg(name)
            .arg("--root")
            .arg(self.layout.root())
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    /// Starts a keeper; says later how it ended, when it does: well or not.
    pub(crate) fn keeper(&self) -> io::Result<oneshot::Receiver<bool>> {
        // The keeper runs from a sealed copy of the binary, and can't tell where the binary is: it starts agents by it.
        reap(self.command("keeper")?.arg("--exe").arg(&self.exe).spawn()?)
    }

    /// Starts dns with these sockets; returns its pidfd.
    pub(crate) fn dns(&self, sockets: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
        let child = self.command("dns")?.stdin(handover::pack(sockets)?).spawn()?;
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        drop(reap(child)?);
        Ok(pidfd)
    }
}

/// Waits for a child on a thread of its own, so that it is no zombie when it ends.
fn reap(mut child: Child) -> io::Result<oneshot::Receiver<bool>> {
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name("reap".to_owned()).spawn(move || {
        let _ = ended.send(child.wait().is_ok_and(|status| status.success()));
    })?;
    Ok(end)
}
