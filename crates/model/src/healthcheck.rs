//! How an instance is asked whether it is well, and what follows when it isn't.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::NativeProbe;

/// `healthcheck`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// What to run.
    pub test: HealthTest,
    /// Time between two probes.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Failures within this time from the start don't count.
    pub start_period: Duration,
    /// Time between two probes during the start period; when not declared, [`Healthcheck::START_INTERVAL`], and probes
    /// that can only succeed come earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<Duration>,
}

/// What a health check runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthTest {
    /// The image's own test; the numbers apply.
    Image,
    /// Nothing: switched off.
    Disabled,
    /// A program with arguments.
    Exec(Vec<String>),
    /// A command line for the image's shell.
    Shell(String),
    /// Nothing inside: Hoist looks itself.
    Native(NativeProbe),
}

impl Healthcheck {
    /// Docker's `start_interval` where none is declared.
    pub const START_INTERVAL: Duration = Duration::from_secs(5);
}

impl Default for Healthcheck {
    /// Docker's numbers: every 30 s, 30 s at most, three failures, 5 s apart while starting.
    fn default() -> Self {
        Self {
            test: HealthTest::Image,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            retries: 3,
            start_period: Duration::ZERO,
            start_interval: None,
        }
    }
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
