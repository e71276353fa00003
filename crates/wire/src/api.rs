//! Requests that both interfaces share: the imperative edges (exec, logs, kill).

use std::collections::BTreeMap;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use hoist_model::{Exit, InstanceUid, Slot, WallTime};
use serde::{Deserialize, Serialize};

use crate::ApiError;

/// What a call answers bit by bit; an error is the last item.
pub type Items<T> = Pin<Box<dyn Stream<Item = Result<T, ApiError>> + Send>>;

/// Which output of which instances to read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogsRequest {
    /// The instances; the caller has resolved services to them. Instances that come later are asked for anew.
    pub instances: Vec<InstanceUid>,
    /// Go on with what comes.
    pub follow: bool,
    /// So many lines of each instance from the end; all when none.
    pub tail: Option<u64>,
    /// Only lines at or after this time.
    pub since: Option<WallTime>,
    /// Only lines before this time.
    pub until: Option<WallTime>,
    /// With `follow`: go on when an instance is started again, until it is gone, and tell of the end of each run after
    /// this many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_after: Option<u32>,
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The instance.
    pub instance: InstanceUid,
    /// The slot it fills.
    pub slot: Slot,
    /// From stderr rather than stdout.
    pub stderr: bool,
    /// When it was read (the line's end).
    pub time: WallTime,
    /// The bytes, without the newline.
    pub line: Bytes,
    /// It ended without a newline so far (the instance ended, or the line is longer than a chunk).
    pub partial: bool,
    /// The next line of the same output is the rest of this one.
    pub continues: bool,
    /// Not a line: a run has ended, and all that it wrote came before this.
    pub end: Option<RunEnd>,
}

/// The end of one run of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Which run, from 1.
    pub attempt: u32,
    /// How it ended.
    pub exit: Exit,
    /// For want of memory.
    pub oom_killed: bool,
    /// It is to be started again.
    pub again: bool,
    /// When.
    pub time: WallTime,
}

/// Lines, per instance in order; across instances by time as far as known.
pub type LogStream = Items<LogLine>;

/// A program to run inside a running instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The instance.
    pub instance: InstanceUid,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Over the instance's own environment.
    pub environment: BTreeMap<String, String>,
    /// Instead of the instance's.
    pub user: Option<String>,
    /// Instead of the instance's.
    pub working_dir: Option<String>,
    /// Give it a terminal of this size (columns, rows).
    pub tty: Option<(u16, u16)>,
    /// Its standard input is connected.
    pub stdin: bool,
    /// All capabilities.
    pub privileged: bool,
    /// Don't wait for it.
    pub detach: bool,
}

/// What goes into a running exec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecInput {
    /// Bytes for its standard input.
    Stdin(Bytes),
    /// End of its standard input.
    Eof,
    /// New size of its terminal (columns, rows).
    Resize(u16, u16),
    /// A signal for it.
    Signal(Signal),
}

/// A signal by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(pub i32);

/// What comes out of a running exec; `Exit` is the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecOutput {
    /// Bytes of its standard output (or of its terminal).
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// It ended.
    Exit(Exit),
}

/// What comes out of a running exec.
pub type OutputStream = Items<ExecOutput>;

/// A running exec: dropping the sender closes its standard input.
#[allow(missing_debug_implementations, reason = "a stream prints nothing useful")]
pub struct ExecSession {
    /// Into it.
    pub input: tokio::sync::mpsc::Sender<ExecInput>,
    /// Out of it.
    pub output: OutputStream,
}
