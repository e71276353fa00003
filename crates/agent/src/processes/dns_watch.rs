//! Keeps one dns process running while the fabric is there: finds the one that a killed agent left, starts another when
//! it ends. Its sockets are held here and by the keeper, so that questions wait in the kernel meanwhile.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use hoist_keeper::protocol::{Reply, Request};

use crate::host::Host;
use crate::loops::{Loops, without_error};
use crate::processes::dns_process;
use crate::processes::readable::Readable;
use crate::processes::spawn::Spawner;

/// The keeper's name for the pidfd of the running dns.
const PROCESS: &str = "dns-process";

pub(crate) struct DnsWatch {
    host: Host,
    spawner: Spawner,
    pid: Arc<AtomicI32>,
}

impl DnsWatch {
    pub(crate) fn start(host: Host, spawner: Spawner, pid: Arc<AtomicI32>, loops: &mut Loops) {
        loops.spawn(without_error(Self { host, spawner, pid }.run()));
    }

    async fn run(self) {
        let mut pause = Duration::ZERO;
        let mut inherited = self.inherited().await;
        loop {
            let sockets = self.host.fabric.dns_sockets().await;
            let began = tokio::time::Instant::now();
            // One that the keeper knows nothing of was started before the keeper was.
            let process = match inherited.take().or_else(|| dns_process::running(&self.host.layout)) {
                Some(pidfd) => self.keep(pidfd).await,
                None => self.launch(&sockets).await,
            };
            match process {
                Ok(pidfd) => self.until_gone(pidfd, &sockets).await,
                Err(error) => tracing::error!("dns can't be started: {error}"),
            }
            self.pid.store(0, Ordering::Relaxed);
            // One that ends at once again and again is not started in a busy loop.
            pause = if began.elapsed() > Duration::from_secs(10) { Duration::ZERO } else { next(pause) };
            tokio::time::sleep(pause).await;
        }
    }

    /// The dns that an agent before this one started, while it lives.
    async fn inherited(&self) -> Option<OwnedFd> {
        let taken = self.host.link.call(Request::Take { name: PROCESS.to_owned() }, Vec::new()).await;
        let Ok((Reply::Taken, fds)) = taken else { return None };
        let pidfd = fds.into_iter().next()?;
        pid_of(&pidfd).filter(|pid| *pid > 0)?;
        Some(pidfd)
    }

    /// Has the keeper hold the process too.
    async fn keep(&self, pidfd: OwnedFd) -> std::io::Result<OwnedFd> {
        self.pid.store(pid_of(&pidfd).unwrap_or(0), Ordering::Relaxed);
        let copy = pidfd.try_clone()?;
        let _ = self.host.link.tell(Request::Hold { name: PROCESS.to_owned() }, vec![copy]).await;
        Ok(pidfd)
    }

    async fn launch(&self, sockets: &[Arc<OwnedFd>]) -> std::io::Result<OwnedFd> {
        let borrowed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let pidfd = self.spawner.dns(&borrowed)?;
        self.keep(pidfd).await
    }

    /// Waits until the process has ended, or its fabric has gone: then it is ended too.
    async fn until_gone(&self, pidfd: OwnedFd, sockets: &[Arc<OwnedFd>]) {
        let Ok(pidfd) = Readable::new(pidfd) else { return };
        tokio::select! {
            _ = pidfd.wait() => {}
            () = self.host.fabric.until_sockets_change(sockets) => {
                let _ = rustix::process::pidfd_send_signal(pidfd.fd(), rustix::process::Signal::KILL);
                let _ = pidfd.wait().await;
            }
        }
        let _ = self.host.link.tell(Request::Drop { name: PROCESS.to_owned() }, Vec::new()).await;
    }
}

fn next(pause: Duration) -> Duration {
    (pause * 2).clamp(Duration::from_millis(10), Duration::from_secs(5))
}

/// The process behind a pidfd (pidfd_open(2), `Pid:` in fdinfo); -1 once it has been reaped.
fn pid_of(pidfd: &OwnedFd) -> Option<i32> {
    use std::os::fd::AsRawFd;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
}
