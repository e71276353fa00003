//! What the keeper answers, and what it tells on its own.

use hoist_runtime::identity::{Exit, ProcessIdentity};
use serde::{Deserialize, Serialize};

use super::Key;
use crate::segments::Stream;
use crate::stdio::pump::LogState;

/// What comes from the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// The answer to the request of that number.
    Reply { id: u64, reply: Reply },
    /// Something happened. To every connection that has said hello.
    Event(Event),
    /// Something that only a later build knows. Never sent.
    #[serde(skip)]
    Unknown,
}

/// An answer. "With" says which descriptors come along, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Welcome(Welcome),
    /// It was done, and there is nothing to say about it.
    Done,
    /// The program runs.
    Launched(Launched),
    /// The program was not executed, and nothing is left of it.
    LaunchFailed(Failure),
    /// The process runs. With its pidfd, then its terminal's master if it has one.
    ExecStarted {
        pid: i32,
    },
    Instances(Vec<Status>),
    /// With the pidfd, unless it has ended, and the ends as with [`Event::Spawned`], as far as the keeper
    /// has them.
    Descriptors {
        pidfd: bool,
    },
    /// With the descriptors.
    Taken,
    Held {
        names: Vec<String>,
    },
    /// Nothing was done.
    Refused {
        why: Refusal,
        message: String,
    },
}

/// The kinds of refusals, for a program to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// No version in common.
    Version,
    /// The request isn't understood: it is malformed, unknown, or lacks descriptors.
    Malformed,
    /// Nothing of that name.
    Unknown,
    /// It is not in the right state: running when it should not be, or the other way round.
    State,
    /// The kernel refused.
    System,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version spoken on this connection.
    pub version: u32,
    /// The keeper's process.
    pub pid: i32,
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    pub key: Key,
    pub attempt: u32,
    pub identity: ProcessIdentity,
    /// What could not be granted in full.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Why a program was not executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The operation that failed, as a sentence part: "can't mount …".
    pub message: String,
    /// What the kernel said, as an errno; 0 when it wasn't asked.
    pub errno: i32,
    /// What to do about it, when that is known.
    #[serde(default)]
    pub advice: Option<String>,
    /// Whether it would fail the same way if it were tried again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lasting: bool,
}

/// One instance as the keeper knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub key: Key,
    pub attempt: u32,
    pub identity: Option<ProcessIdentity>,
    pub phase: Phase,
}

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Launching,
    Running,
    /// It ended while no keeper ran, and only a pidfd held by the agent can tell how: hand it back.
    Lost,
    Exited(ExitRecord),
}

/// How and when an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    pub key: Key,
    pub attempt: u32,
    /// [`Exit::Unknown`] when the process ended while no keeper ran and the kernel doesn't tell: a restart
    /// policy takes it for a failure.
    pub exit: Exit,
    #[serde(default)]
    pub core_dumped: bool,
    /// Whether the kernel killed a process of its control group for lack of memory.
    #[serde(default)]
    pub oom_killed: bool,
    /// When the keeper noticed, in nanoseconds since 1970.
    pub wall_ns: i64,
    /// The same, in nanoseconds since boot.
    pub boot_ns: u64,
}

/// How a process run inside a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecExit {
    pub key: Key,
    pub exec: String,
    pub exit: Exit,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A container's first process exists, and its program is about to be executed. With its pidfd; the
    /// pipes of stdout and stderr, of which a terminal has the first only; and its terminal's master or the
    /// writing end of its stdin, where it has one. Hold them all, and leave the pipes to the keeper to
    /// read: what both have open survives the death of either.
    Spawned { key: Key, attempt: u32, identity: ProcessIdentity },
    /// An instance has ended, and all it wrote is in its log. Said again on request only.
    Exited(ExitRecord),
    /// A process to be run inside an instance exists, and its program is about to be executed. With its
    /// pidfd: should the keeper die before it answers, the process may run.
    ExecSpawned { key: Key, exec: String },
    /// A process run inside an instance has ended.
    ExecExited(ExecExit),
    /// A stream's log stands still or goes on.
    Log { key: Key, stream: Stream, state: LogState },
    /// Something worth a line in the agent's own log.
    Note { text: String },
}
