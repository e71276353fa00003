//! Who waits for the end of which exec.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hoist_model::{Exit, InstanceUid};
use hoist_runtime::identity;
use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::oneshot;

use crate::processes::exit::exit;
use crate::processes::readable::Readable;

/// Who hears of the end of an exec, and what is known of its process.
#[derive(Debug)]
struct Waiter {
    end: oneshot::Sender<Exit>,
    /// From before its program runs.
    pidfd: Option<OwnedFd>,
    /// Whether the keeper has said that it runs.
    started: bool,
}

type Waiting = BTreeMap<(InstanceUid, String), Waiter>;

/// Execs under way. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Execs {
    waiting: Arc<Mutex<Waiting>>,
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the exec is asked for: its end may come at once.
    pub(crate) fn expect(&self, uid: InstanceUid, name: String) -> oneshot::Receiver<Exit> {
        let (end, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.retain(|_, waiter| !waiter.end.is_closed());
        waiting.insert((uid, name), Waiter { end, pidfd: None, started: false });
        receiver
    }

    /// The process exists, and is about to run its program.
    pub(crate) fn spawned(&self, uid: InstanceUid, name: &str, pidfd: Option<OwnedFd>) {
        if let Some(waiter) = self.lock().get_mut(&(uid, name.to_owned())) {
            waiter.pidfd = pidfd;
        }
    }

    /// Whoever asked for it has been told that it runs.
    pub(crate) fn started(&self, uid: InstanceUid, name: &str) {
        if let Some(waiter) = self.lock().get_mut(&(uid, name.to_owned())) {
            waiter.started = true;
        }
    }

    /// An exec has ended.
    pub(crate) fn ended(&self, uid: InstanceUid, name: &str, exit: Exit) {
        if let Some(waiter) = self.lock().remove(&(uid, name.to_owned())) {
            let _ = waiter.end.send(exit);
        }
    }

    /// Sends a signal, without the keeper, which may be another than the one that knows the process. False when
    /// the process isn't known here.
    pub(crate) fn signal(&self, uid: InstanceUid, name: &str, signal: Signal) -> bool {
        let waiting = self.lock();
        let pidfd = waiting.get(&(uid, name.to_owned())).and_then(|waiter| waiter.pidfd.as_ref());
        pidfd.is_some_and(|pidfd| pidfd_send_signal(pidfd, signal).is_ok())
    }

    /// The keeper is gone, and nobody will tell how its execs end. Those that run are waited for here; one of
    /// which nobody was told that it runs is ended.
    pub(crate) fn lost(&self) {
        for (_, waiter) in std::mem::take(&mut *self.lock()) {
            let Some(pidfd) = waiter.pidfd else { continue };
            if waiter.started {
                tokio::spawn(async move { waiter.end.send(end_of(pidfd).await) });
            } else {
                let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            }
        }
    }
}

/// Waits for the end of a process that isn't our child.
async fn end_of(pidfd: OwnedFd) -> Exit {
    let Ok(pidfd) = Readable::new(pidfd) else { return Exit::Unknown };
    if pidfd.wait().await.is_err() {
        return Exit::Unknown;
    }
    // A zombie's exit is told when its parent has reaped it, which is a matter of a moment.
    for _ in 0..100 {
        match identity::exit_info(pidfd.fd().as_fd()) {
            Ok(Some(info)) => return exit(info.exit),
            Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(_) => break,
        }
    }
    Exit::Unknown
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    fn process() -> (Child, OwnedFd) {
        let mut command = Command::new("sh");
        let child = command.args(["-c", "read line; exit 5"]).stdin(Stdio::piped()).spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        (child, pidfd)
    }

    fn uid() -> InstanceUid {
        "00000000000000000000000000000001".parse().unwrap()
    }

    #[tokio::test]
    async fn the_end_of_one_that_runs_is_learnt_without_the_keeper() {
        let execs = Execs::default();
        let end = execs.expect(uid(), "one".to_owned());
        let (mut child, pidfd) = process();
        execs.spawned(uid(), "one", Some(pidfd));
        execs.started(uid(), "one");
        execs.lost();
        drop(child.stdin.take());
        child.wait().unwrap();
        // Kernels before 6.15 don't tell of a process that another has reaped.
        assert!(matches!(end.await.unwrap(), Exit::Code(5) | Exit::Unknown));
    }

    #[tokio::test]
    async fn one_that_nobody_was_told_of_is_ended() {
        let execs = Execs::default();
        let end = execs.expect(uid(), "one".to_owned());
        let (mut child, pidfd) = process();
        execs.spawned(uid(), "one", Some(pidfd));
        execs.lost();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(end.await.is_err());
    }
}
