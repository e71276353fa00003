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

/// What is held for one run of an instance.
#[derive(Debug, Default)]
struct Descriptors {
    attempt: u32,
    pidfd: Option<OwnedFd>,
    /// Output pipes, and the terminal's master or the writing end of standard input.
    ends: Vec<OwnedFd>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceUid, Descriptors>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds what the keeper passed on: a run's pidfd, then its ends.
    pub(crate) fn hold(&self, uid: InstanceUid, attempt: u32, fds: Vec<OwnedFd>) {
        let mut fds = fds.into_iter();
        let pidfd = fds.next();
        self.lock().insert(uid, Descriptors { attempt, pidfd, ends: fds.collect() });
    }

    /// Duplicates of the pidfd and the terminal's master of this very run, for a keeper that was restarted.
    pub(crate) fn copies(&self, uid: InstanceUid, attempt: u32) -> (Option<OwnedFd>, Option<OwnedFd>) {
        let instances = self.lock();
        let Some(held) = instances.get(&uid).filter(|held| held.attempt == attempt) else {
            return (None, None);
        };
        let terminal = held.ends.iter().find(|end| rustix::termios::isatty(end));
        let copy = |fd: Option<&OwnedFd>| fd.and_then(|fd| fd.try_clone().ok());
        (copy(held.pidfd.as_ref()), copy(terminal))
    }

    /// Lets go of everything of a run that has ended, and of those before it.
    pub(crate) fn run_ended(&self, uid: InstanceUid, attempt: u32) {
        let mut instances = self.lock();
        if instances.get(&uid).is_some_and(|held| held.attempt <= attempt) {
            instances.remove(&uid);
        }
    }

    /// Lets go of everything of an instance that is gone.
    pub(crate) fn drop_all(&self, uid: InstanceUid) {
        self.lock().remove(&uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_those_of_one_run() {
        let uid: InstanceUid = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let fds = || vec![OwnedFd::from(tempfile::tempfile().unwrap())];
        let held = Held::default();
        held.hold(uid, 2, fds());
        assert!(held.copies(uid, 1).0.is_none(), "never another run's");
        held.run_ended(uid, 1);
        assert!(held.copies(uid, 2).0.is_some(), "news of an earlier end takes nothing away");
        held.run_ended(uid, 2);
        assert!(held.copies(uid, 2).0.is_none());
    }
}
