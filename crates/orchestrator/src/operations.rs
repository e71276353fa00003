//! Operations under way and their events: who started one hears all of it, and who lost the stream can resume.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hoist_model::{Digest, Event, EventKind, StackId};
use hoist_planner::cluster::{OpId, Refusal, RefusalKind};
use hoist_wire::{ApiError, ErrorKind, EventStream, RegistryAccess};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;

/// All operations that somebody may still ask about: the last of each stack.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    running: BTreeMap<OpId, Operation>,
    newest: BTreeMap<StackId, OpId>,
}

#[derive(Debug)]
struct Operation {
    stack: StackId,
    events: Vec<Event>,
    listeners: Vec<mpsc::UnboundedSender<Result<Event, ApiError>>>,
    /// Told once the operation is accepted (by its first event) or refused.
    begun: Option<oneshot::Sender<Result<(), ApiError>>>,
    /// Whether the loop has begun with it.
    taken: bool,
    /// How its images' registries are reached; gone once they are settled.
    access: RegistryAccess,
    /// Images settled for it, which nothing wanted names before its end.
    images: Vec<Digest>,
}

impl Operations {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new operation on `stack`; the receiver hears whether it is refused.
    pub(crate) fn begin(
        &self,
        stack: StackId,
    ) -> (OpId, EventStream, oneshot::Receiver<Result<(), ApiError>>) {
        let (listener, events) = mpsc::unbounded_channel();
        let (begun, accepted) = oneshot::channel();
        let mut inner = self.lock();
        inner.last += 1;
        let op = OpId(inner.last);
        let operation = Operation {
            stack,
            events: Vec::new(),
            listeners: vec![listener],
            begun: Some(begun),
            taken: false,
            access: RegistryAccess::default(),
            images: Vec::new(),
        };
        inner.running.insert(op, operation);
        (op, Box::pin(UnboundedReceiverStream::new(events)), accepted)
    }

    /// The loop begins with an operation. False: it was withdrawn.
    pub(crate) fn take(&self, op: OpId) -> bool {
        let mut inner = self.lock();
        let waiting = inner.running.get_mut(&op);
        waiting.map(|operation| operation.taken = true).is_some()
    }

    /// Takes back an operation that the loop hasn't begun. False: it has, and sees it through.
    pub(crate) fn withdraw(&self, op: OpId) -> bool {
        let mut inner = self.lock();
        let waits = inner.running.get(&op).is_some_and(|operation| !operation.taken);
        if waits {
            inner.running.remove(&op);
        }
        waits
    }

    /// What a request brought along to reach registries.
    pub(crate) fn set_access(&self, op: OpId, access: RegistryAccess) {
        if let Some(operation) = self.lock().running.get_mut(&op) {
            operation.access = access;
        }
    }

    /// The same, once.
    pub(crate) fn take_access(&self, op: OpId) -> RegistryAccess {
        self.lock().running.get_mut(&op).map(|one| std::mem::take(&mut one.access)).unwrap_or_default()
    }

    /// An image was settled for an operation.
    pub(crate) fn settled(&self, op: OpId, image: Digest) {
        if let Some(operation) = self.lock().running.get_mut(&op) {
            operation.images.push(image);
        }
    }

    /// Images of operations that have not ended.
    pub(crate) fn images(&self) -> Vec<Digest> {
        self.lock().running.values().flat_map(|operation| operation.images.iter().cloned()).collect()
    }

    /// An event of an operation. The first makes it its stack's newest, which ends what is kept of the one before.
    pub(crate) fn emit(&self, op: OpId, kind: EventKind) {
        let mut inner = self.lock();
        let Some(operation) = inner.running.get_mut(&op) else { return };
        let event = Event { seq: operation.events.len() as u64 + 1, kind };
        let ended = matches!(event.kind, EventKind::Verdict(_));
        operation.events.push(event.clone());
        operation.listeners.retain(|listener| listener.send(Ok(event.clone())).is_ok());
        if ended {
            operation.listeners.clear();
            operation.images.clear();
        }
        if let Some(begun) = operation.begun.take() {
            let _ = begun.send(Ok(()));
            let stack = operation.stack.clone();
            inner.newest.insert(stack, op);
            let kept: Vec<OpId> = inner.newest.values().copied().collect();
            inner.running.retain(|id, operation| {
                kept.contains(id) || operation.begun.is_some() || !operation.listeners.is_empty()
            });
        }
    }

    /// An operation was refused; nothing was changed.
    pub(crate) fn refuse(&self, op: OpId, refusal: Refusal) {
        let error = refused(refusal);
        let Some(mut operation) = self.lock().running.remove(&op) else { return };
        if let Some(begun) = operation.begun.take() {
            let _ = begun.send(Err(error));
            return;
        }
        for listener in operation.listeners {
            let _ = listener.send(Err(error.clone()));
        }
    }

    /// The newest operation's events on `stack` after `seq`.
    pub(crate) fn resume(&self, stack: &StackId, seq: u64) -> Result<EventStream, ApiError> {
        let mut inner = self.lock();
        let newest = inner.newest.get(stack).copied();
        let Some(operation) = newest.and_then(|op| inner.running.get_mut(&op)) else {
            return Err(ApiError::new(ErrorKind::NotFound, format!("nothing is under way on stack {stack}")));
        };
        let (listener, events) = mpsc::unbounded_channel();
        for event in operation.events.iter().filter(|event| event.seq > seq) {
            let _ = listener.send(Ok(event.clone()));
        }
        if !operation.events.iter().any(|event| matches!(event.kind, EventKind::Verdict(_))) {
            operation.listeners.push(listener);
        }
        Ok(Box::pin(UnboundedReceiverStream::new(events)))
    }
}

/// A refusal as the error that the person gets.
pub(crate) fn refused(refusal: Refusal) -> ApiError {
    let kind = match refusal.kind {
        RefusalKind::Invalid => ErrorKind::Invalid,
        RefusalKind::NotFound => ErrorKind::NotFound,
        RefusalKind::Conflict => ErrorKind::Conflict,
    };
    ApiError { kind, message: refusal.message, hint: refusal.hint }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use hoist_model::{Outcome, StackName, Verdict};

    use super::*;

    fn notice(text: &str) -> EventKind {
        EventKind::Notice { severity: hoist_model::Severity::Info, text: text.into(), hint: None }
    }

    #[tokio::test]
    async fn a_lost_stream_is_resumed_after_what_was_seen() {
        let operations = Operations::default();
        let stack = StackId::new(StackName::new("s").unwrap());
        let (op, first, accepted) = operations.begin(stack.clone());
        operations.emit(op, notice("a"));
        accepted.await.unwrap().unwrap();
        drop(first);
        operations.emit(op, notice("b"));
        let rest = operations.resume(&stack, 1).unwrap();
        operations.emit(op, EventKind::Verdict(Verdict { outcome: Outcome::Converged, changed: 0 }));
        let seqs: Vec<u64> = rest.map(|event| event.unwrap().seq).collect().await;
        assert_eq!(seqs, [2, 3]);
    }
}
