//! Commands that a file wants run inside an instance at moments of its life. Compose specification, `post_start` and
//! `pre_stop`; `pre_start` steps are services of their own ([`crate::Service::step_of`]).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::EnvValue;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Who runs it; the service's user when none.
    pub user: Option<String>,
    /// With all capabilities.
    pub privileged: bool,
    /// Where; the service's folder when none.
    pub working_dir: Option<String>,
    /// Laid over the service's environment.
    pub environment: BTreeMap<String, EnvValue>,
}

/// The hooks of a service, each list in the order in which they run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// After each start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_start: Vec<Hook>,
    /// Before the signal that asks it to end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pre_stop: Vec<Hook>,
}

/// When hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookMoment {
    /// `post_start`.
    PostStart,
    /// `pre_stop`.
    PreStop,
}

impl Hooks {
    /// None is declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.post_start.is_empty() && self.pre_stop.is_empty()
    }

    /// Those of a moment.
    #[must_use]
    pub fn at(&self, moment: HookMoment) -> &[Hook] {
        match moment {
            HookMoment::PostStart => &self.post_start,
            HookMoment::PreStop => &self.pre_stop,
        }
    }
}

impl fmt::Display for HookMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HookMoment::PostStart => "post_start",
            HookMoment::PreStop => "pre_stop",
        })
    }
}
