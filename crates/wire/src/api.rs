//! Requests that both interfaces share: the imperative edges (exec, logs, kill).

use std::collections::BTreeMap;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use hoist_model::{InstanceUid, Slot, WallTime};
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
    Exit(hoist_model::Exit),
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
