//! What the host loop's shell acts through, and how an agent does: steps, the network, probes, reports, its log.

use std::collections::BTreeMap;
use std::sync::Arc;

use hoist_model::{Generation, HostReport, HostSpec, InstanceUid};
use hoist_planner::host::{FabricWanted, HostLoop, Input, Probing, Step, StepResult, Watching};
use hoist_wire::PutSpecError;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::events;
use super::inbox::{Inbox, Message};
use crate::host::Host;
use crate::instances::probes::Probes;
use crate::instances::steps;
use crate::instances::steps::context::StepContext;
use crate::instances::watches::Watches;

/// Acts on the host, as the loop asks. Each returns at once; what comes of it is an input of its own.
pub trait Effects {
    /// Begins a step; what it needs beyond its id is in the loop now.
    fn begin(&mut self, step: Step, control: &HostLoop);

    /// A step has ended, well or not.
    fn ended(&mut self, step: &Step, result: &StepResult, control: &HostLoop);

    /// Brings the network to this. An older one that isn't applied yet may be skipped.
    fn apply_fabric(&mut self, number: u64, wanted: FabricWanted);

    /// Probes exactly these runs.
    fn probe(&mut self, runs: BTreeMap<InstanceUid, Probing>, control: &HostLoop);

    /// Probes exactly these runs for whether they are to start anew.
    fn probe_liveness(&mut self, runs: BTreeMap<InstanceUid, Probing>, control: &HostLoop);

    /// Looks at the sockets of exactly these runs.
    fn watch(&mut self, runs: BTreeMap<InstanceUid, Watching>);

    /// Shows what is. Whoever follows may miss one that is followed by another.
    fn report(&mut self, report: HostReport);

    /// A spec was accepted, and is durable.
    fn accepted(&mut self, spec: &Arc<HostSpec>);

    /// A spec was refused.
    fn refused(&mut self, requested: Generation, error: &PutSpecError);

    /// Tells an operator.
    fn warn(&mut self, text: &str);
}

/// The effects of an agent.
pub(crate) struct HostEffects {
    pub(crate) host: Arc<Host>,
    pub(crate) inbox: Inbox,
    pub(crate) reports: watch::Sender<Option<Arc<HostReport>>>,
    pub(crate) probes: Probes,
    pub(crate) liveness: Probes,
    pub(crate) watches: Watches,
    /// Steps under way.
    pub(crate) steps: JoinSet<()>,
}

impl HostEffects {
    /// Resolves once no step is under way.
    pub(crate) async fn until_steps_end(&mut self) {
        while self.steps.join_next().await.is_some() {}
    }
}

impl Effects for HostEffects {
    fn begin(&mut self, step: Step, control: &HostLoop) {
        let report = self.host.known().report;
        events::begun(control.plan(), control.spec(), report.as_deref(), &step);
        let context = StepContext::take(control, &step);
        let (host, inbox) = (Arc::clone(&self.host), self.inbox.clone());
        while self.steps.try_join_next().is_some() {}
        self.steps.spawn(async move {
            let result = steps::perform(&host, &step, context).await;
            let _ = inbox.send(Message::Input(Input::StepDone { step, result }));
        });
    }

    fn ended(&mut self, step: &Step, result: &StepResult, control: &HostLoop) {
        events::ended(control.spec(), self.host.known().report.as_deref(), step, result);
    }

    fn apply_fabric(&mut self, number: u64, wanted: FabricWanted) {
        self.host.fabric.apply(number, wanted);
    }

    fn probe(&mut self, runs: BTreeMap<InstanceUid, Probing>, control: &HostLoop) {
        self.probes.set(runs, control);
    }

    fn probe_liveness(&mut self, runs: BTreeMap<InstanceUid, Probing>, control: &HostLoop) {
        self.liveness.set(runs, control);
    }

    fn watch(&mut self, runs: BTreeMap<InstanceUid, Watching>) {
        self.watches.set(runs);
    }

    fn report(&mut self, report: HostReport) {
        let report = Arc::new(report);
        let known = Arc::clone(&report);
        let before = self.host.known().report;
        events::reported(before.as_deref(), &report);
        self.host.ends.note(before.as_deref(), &report);
        self.host.set_known(|entry| entry.report = Some(known));
        self.reports.send_replace(Some(report));
    }

    fn accepted(&mut self, spec: &Arc<HostSpec>) {
        events::accepted(spec);
        self.host.set_known(|known| known.spec = Arc::clone(spec));
    }

    fn refused(&mut self, requested: Generation, error: &PutSpecError) {
        events::refused(requested, error);
    }

    fn warn(&mut self, text: &str) {
        tracing::warn!("{text}");
    }
}
