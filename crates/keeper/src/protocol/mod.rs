//! What agent and keeper say to each other.
//!
//! A `SOCK_SEQPACKET` Unix socket carries one message per packet, JSON, with descriptors beside it
//! ([`frame`]). The agent asks; the keeper answers each request once, with the request's number, and in
//! between tells [`Event`]s on its own. The first request on a connection is [`Request::Hello`].
//!
//! Compatibility: a message may gain fields that have a default and enums may gain variants, both within a
//! version; a keeper refuses a request it doesn't know, an agent ignores an event it doesn't know. Anything
//! else is a new [`VERSION`], and [`OLDEST`] is at most one behind it.

pub mod frame;
mod key;
mod reply;
mod request;

use serde::{Deserialize, Serialize};

pub use key::{InvalidKey, Key};
pub use reply::{
    Event, ExecExit, ExitRecord, Failure, Launched, Message, Phase, Refusal, Reply, Status, Welcome,
};
pub use request::{Exec, HandBack, Hello, Launch, LogSpec, Request, TakeUp};

/// The version this keeper speaks.
pub const VERSION: u32 = 1;
/// The oldest version it still speaks.
pub const OLDEST: u32 = 1;

/// A request with the number that its answer will bear.
#[derive(Debug, Serialize, Deserialize)]
pub struct Numbered {
    pub id: u64,
    pub request: Request,
}

/// A range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    pub oldest: u32,
    pub newest: u32,
}

impl Versions {
    /// What this build speaks.
    pub const OURS: Versions = Versions { oldest: OLDEST, newest: VERSION };

    /// The newest version both speak.
    pub fn common(self, other: Versions) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

#[cfg(test)]
mod tests;
