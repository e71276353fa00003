//! Checks that Hoist makes itself, without a program inside the instance (`x-hoist.probe`).

use serde::{Deserialize, Serialize};

use crate::Healthcheck;

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

/// When an instance that runs is started anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Liveness {
    /// `x-hoist.probe.live`: when it fails, the instance is restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Healthcheck>,
    /// `x-hoist.probe.restart`: an unhealthy instance is restarted.
    pub restart: bool,
}

impl Liveness {
    /// Nothing is declared.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
