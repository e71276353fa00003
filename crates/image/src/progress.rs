//! What a long operation tells on its way. The caller shows it; nothing here depends on it.

use crate::digest::Digest;

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many bytes of an archive have been read.
    Read { bytes: u64 },
    /// A blob of so many bytes begins to be fetched.
    Fetching { blob: Digest, total: u64 },
    /// So many bytes of a blob have arrived.
    Fetched { blob: Digest, bytes: u64 },
    /// A blob begins to be sent.
    Sending { blob: Digest, total: u64 },
    /// So many bytes of a blob have been sent.
    Sent { blob: Digest, bytes: u64 },
    /// A layer begins to be unpacked.
    Unpacking { layer: Digest },
    /// A layer is in place, with so many bytes of files.
    Unpacked { layer: Digest, bytes: u64 },
    /// A blob or layer is there already.
    Present { digest: Digest },
}

/// Listens to events, from several threads at once.
pub trait Progress: Sync {
    fn event(&self, event: Event);

    /// Whether the operation shall end as soon as it can. Asked often.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Nobody listens.
impl Progress for () {
    fn event(&self, _: Event) {}
}

impl<F: Fn(Event) + Sync> Progress for F {
    fn event(&self, event: Event) {
        self(event);
    }
}
