//! How a process ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an instance's first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It returned this status.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// It ended while nobody could read its status (the keeper was killed, on a kernel below 6.15).
    /// `on-failure` treats this as a failure.
    Unknown,
}

impl Exit {
    /// Whether restart policies and `service_completed_successfully` count it as success.
    #[must_use]
    pub fn success(self) -> bool {
        self == Exit::Code(0)
    }

    /// The status as a shell gives it: 128 + n for a signal, 255 when unknown.
    #[must_use]
    pub fn status(self) -> i32 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
            Exit::Unknown => 255,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(signal) => write!(f, "killed by signal {signal}"),
            Exit::Unknown => f.write_str("ended with an unknown status"),
        }
    }
}
