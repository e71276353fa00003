//! The agent's loop: inputs update what is known, then everything is planned anew.

use hoist_model::{Endpoints, HostReport, HostSpec};

use super::{Effect, Input, Observed, Restored};
use crate::Now;

/// The state of one host's agent.
#[derive(Debug)]
pub struct HostLoop {
    spec: HostSpec,
    endpoints: Endpoints,
    observed: Observed,
}

impl HostLoop {
    /// Takes up where the journal ends. Nothing is planned until the first [`Input::Adopted`].
    #[must_use]
    pub fn restore(_restored: Restored, _now: &Now) -> (Self, Vec<Effect>) {
        unreachable!("filled in next")
    }

    /// Takes in one input and returns what to do, in order.
    pub fn step(&mut self, _now: &Now, _input: Input) -> Vec<Effect> {
        Vec::new()
    }

    /// The accepted spec.
    #[must_use]
    pub fn spec(&self) -> &HostSpec {
        &self.spec
    }

    /// The accepted endpoints.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What is known.
    #[must_use]
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// What the host reports now.
    #[must_use]
    pub fn report(&self, _now: &Now) -> HostReport {
        unreachable!("filled in next")
    }
}
