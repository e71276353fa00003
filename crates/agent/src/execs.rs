//! Who waits for the end of which exec.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hoist_model::{Exit, InstanceUid};
use tokio::sync::oneshot;

/// Who hears of the end of an instance's exec.
type Waiting = BTreeMap<(InstanceUid, String), oneshot::Sender<Exit>>;

/// Execs under way. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Execs {
    waiting: Arc<Mutex<Waiting>>,
}

impl Execs {
    /// To be called before the exec is asked for: its end may come at once.
    pub(crate) fn expect(&self, uid: InstanceUid, name: String) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, sender| !sender.is_closed());
        waiting.insert((uid, name), sender);
        receiver
    }

    /// An exec has ended.
    pub(crate) fn ended(&self, uid: InstanceUid, name: &str, exit: Exit) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.remove(&(uid, name.to_owned())) {
            let _ = sender.send(exit);
        }
    }

    /// The keeper is gone, and its children with it as far as anyone can tell.
    pub(crate) fn lost(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
