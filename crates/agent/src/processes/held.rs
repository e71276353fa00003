//! Descriptors that the agent holds beside the keeper, so that either may be killed: pidfds, which still tell how a
//! process ended after the kernel has forgotten it; output pipes; terminals' masters.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hoist_model::InstanceUid;

/// What is held for all instances. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    instances: Arc<Mutex<BTreeMap<InstanceUid, Descriptors>>>,
}

/// What is held for one instance.
#[derive(Debug, Default)]
struct Descriptors {
    pidfd: Option<OwnedFd>,
    /// Output pipes, and the terminal's master or the writing end of standard input.
    ends: Vec<OwnedFd>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceUid, Descriptors>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds what the keeper passed on: a run's pidfd, then its ends.
    pub(crate) fn hold(&self, uid: InstanceUid, fds: Vec<OwnedFd>) {
        let mut fds = fds.into_iter();
        let pidfd = fds.next();
        self.lock().insert(uid, Descriptors { pidfd, ends: fds.collect() });
    }

    /// Duplicates of the pidfd and the terminal's master, for a keeper that was restarted.
    pub(crate) fn copies(&self, uid: InstanceUid) -> (Option<OwnedFd>, Option<OwnedFd>) {
        let instances = self.lock();
        let Some(held) = instances.get(&uid) else { return (None, None) };
        let terminal = held.ends.iter().find(|end| rustix::termios::isatty(end));
        let copy = |fd: Option<&OwnedFd>| fd.and_then(|fd| fd.try_clone().ok());
        (copy(held.pidfd.as_ref()), copy(terminal))
    }

    /// Lets go of everything of an instance that has ended or is gone.
    pub(crate) fn drop_all(&self, uid: InstanceUid) {
        self.lock().remove(&uid);
    }
}
