//! Calls under way: a daemon that nobody needs ends, but never while somebody waits for an answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::Stream;
use hoist_wire::{ApiError, Items};

/// How many calls have begun, and how many of them have not ended.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Calls {
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn under_way(&self) -> u64 {
        self.begun().saturating_sub(self.ended.load(Ordering::SeqCst))
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Calls>);

impl Busy {
    pub(crate) fn begin(calls: &Arc<Calls>) -> Self {
        calls.begun.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(calls))
    }

    /// The call goes on for as long as its answer is read.
    pub(crate) fn during<T: Send + 'static>(self, items: Items<T>) -> Items<T> {
        Box::pin(During { items, _busy: self })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

struct During<T> {
    items: Items<T>,
    _busy: Busy,
}

impl<T> Stream for During<T> {
    type Item = Result<T, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.as_mut().poll_next(context)
    }
}
