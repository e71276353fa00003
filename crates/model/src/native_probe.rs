//! Checks that Hoist makes itself, without a program inside the instance (`x-hoist.probe`).

use serde::{Deserialize, Serialize};

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NativeProbe {
    /// An HTTP/1.1 request is answered with one of these statuses.
    Http {
        /// The port.
        port: u16,
        /// Path and query.
        path: String,
        /// Headers, `Host` among them where it matters.
        headers: Vec<(String, String)>,
        /// First and last status of each range that passes.
        status: Vec<(u16, u16)>,
    },
    /// A TCP connection can be made.
    Tcp {
        /// The port.
        port: u16,
    },
    /// A connection to a socket in the instance's file system can be made.
    Unix {
        /// Its path inside, absolute.
        path: String,
    },
    /// A program listens on the port for others; nothing is sent to it.
    Listen {
        /// The port, TCP.
        port: u16,
    },
}
