//! Runs the planner's host loop: turns what happens into inputs, performs effects in their order, keeps the clock.
//!
//! Owns the order of persistence (journal and ledger before anything later) and the answers to `put_host_spec`.
//! What a step does is in `steps`; what should be done is decided in `planner`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{Generation, HostReport, Moment};
use hoist_planner::host::{Effect, HostLoop, Input, SpecRefusal};
use hoist_wire::PutSpecError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::control::clock::Clock;
use crate::control::events;
use crate::control::inbox::{Inbox, Message, Rest};
use crate::control::records::{Record, RecordError, Records};
use crate::fabric::zone;
use crate::host::Host;
use crate::instances::probes::Probes;
use crate::instances::steps;
use crate::instances::steps::context::StepContext;
use crate::instances::watches::Watches;

/// The loop and everything that it acts through.
pub(crate) struct Shell {
    pub(crate) control: HostLoop,
    pub(crate) records: Records,
    pub(crate) host: Arc<Host>,
    pub(crate) clock: Clock,
    pub(crate) inbox: Inbox,
    pub(crate) reports: watch::Sender<Option<Arc<HostReport>>>,
    pub(crate) probes: Probes,
    pub(crate) watches: Watches,
    /// Callers of `put_host_spec`, in the order of their inputs.
    pub(crate) answers: VecDeque<(Generation, oneshot::Sender<Result<(), PutSpecError>>)>,
    pub(crate) wake: Option<Moment>,
    /// Steps under way.
    pub(crate) steps: JoinSet<()>,
}

/// How long a step under way may take when the agent is to do nothing any more.
const LAST_STEPS: Duration = Duration::from_secs(15);

impl Shell {
    /// Runs until every sender is gone.
    ///
    /// # Errors
    /// What must be durable can't be made so: nothing may be done any more.
    pub(crate) async fn run(
        mut self,
        restored: Vec<Effect>,
        mut messages: mpsc::UnboundedReceiver<Message>,
    ) -> Result<(), RecordError> {
        self.perform(restored).await?;
        loop {
            let sleep = self.until_wake();
            let message = tokio::select! {
                // Both are cancel-safe: a message is taken or not, and the timer is set anew each time.
                message = messages.recv() => match message {
                    Some(message) => message,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(sleep) => {
                    self.wake = None;
                    Message::Input(Input::Timer)
                }
            };
            let (inputs, rest) = self.take_all(message, &mut messages);
            let effects = self.control.step_all(&self.clock.now(), inputs);
            self.perform(effects).await?;
            if let Some(rested) = rest {
                // One of them may be launching something, which whoever asked for rest must find.
                let ended = async { while self.steps.join_next().await.is_some() {} };
                let _ = tokio::time::timeout(LAST_STEPS, ended).await;
                let (end, ended) = oneshot::channel();
                // Whoever asked may have given up while the loop waited for room on the disk: it goes on then.
                if rested.send(Rest::new(end)).is_ok() && ended.await.is_err() {
                    // Messages go on coming in; nobody acts on them.
                    while messages.recv().await.is_some() {}
                    return Ok(());
                }
            }
        }
    }

    /// Everything that is there by now, up to a wish to rest: a hundred steps that end together cost one plan.
    fn take_all(
        &mut self,
        first: Message,
        messages: &mut mpsc::UnboundedReceiver<Message>,
    ) -> (Vec<Input>, Option<oneshot::Sender<Rest>>) {
        let mut inputs = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Rest(rested) => return (inputs, Some(rested)),
                message => inputs.extend(self.take(message)),
            }
            next = messages.try_recv().ok();
        }
        (inputs, None)
    }

    fn until_wake(&self) -> Duration {
        let Some(wake) = &self.wake else { return Duration::from_secs(3600) };
        wake.since(&self.clock.now().moment).unwrap_or_default()
    }

    fn take(&mut self, message: Message) -> Option<Input> {
        let input = match message {
            Message::Input(input) => {
                if let Input::StepDone { step, result } = &input {
                    events::ended(self.control.spec(), self.host.known().report.as_deref(), step, result);
                }
                input
            }
            Message::PutSpec(spec, answer) => {
                self.answers.push_back((spec.generation, answer));
                Input::SpecPut(spec)
            }
            Message::PutEndpoints(endpoints, answer) => {
                let _ = answer.send(Ok(()));
                Input::EndpointsPut(endpoints)
            }
            Message::Rest(_) => return None,
        };
        tracing::debug!(?input, "input");
        Some(input)
    }

    /// Performs effects in order. Those that write come together as far as they follow on each other.
    async fn perform(&mut self, effects: Vec<Effect>) -> Result<(), RecordError> {
        let mut records = Vec::new();
        for effect in effects {
            match effect {
                Effect::Journal(entry) => records.push(Record::Journal(entry)),
                Effect::StoreSpec(spec) => records.push(Record::Spec(Arc::new(*spec))),
                Effect::StoreEndpoints(endpoints) => records.push(Record::Endpoints(endpoints)),
                Effect::PublishZone(zone) => {
                    let zone = zone::file(&zone, self.host.fabric.host_address());
                    records.push(Record::Names(Box::new(zone)));
                }
                effect => {
                    self.keep(std::mem::take(&mut records)).await?;
                    self.perform_one(effect);
                }
            }
        }
        self.keep(records).await
    }

    /// Returns once all of them are written; whoever waits for a spec to be accepted is answered then.
    async fn keep(&mut self, records: Vec<Record>) -> Result<(), RecordError> {
        if records.is_empty() {
            return Ok(());
        }
        let specs = records.iter().filter_map(|record| match record {
            Record::Spec(spec) => Some(Arc::clone(spec)),
            _ => None,
        });
        let specs: Vec<_> = specs.collect();
        self.records.keep(records).await?;
        for spec in specs {
            events::accepted(&spec);
            self.host.set_known(|known| known.spec = spec);
            self.answer(Ok(()));
        }
        Ok(())
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            // Written by `keep`.
            Effect::Journal(_)
            | Effect::StoreSpec(_)
            | Effect::StoreEndpoints(_)
            | Effect::PublishZone(_) => {}
            Effect::SpecAccepted => self.answer(Ok(())),
            Effect::SpecRefused(refusal) => {
                let (generation, refused) = self.refusal(refusal);
                events::refused(generation, &refused);
                self.answer(Err(refused));
            }
            Effect::Perform(step) => {
                let report = self.host.known().report;
                events::begun(self.control.plan(), self.control.spec(), report.as_deref(), &step);
                let context = StepContext::take(&self.control, &step);
                let (host, inbox) = (Arc::clone(&self.host), self.inbox.clone());
                while self.steps.try_join_next().is_some() {}
                self.steps.spawn(async move {
                    let result = steps::perform(&host, &step, context).await;
                    let _ = inbox.send(Message::Input(Input::StepDone { step, result }));
                });
            }
            Effect::ApplyFabric { number, wanted } => self.host.fabric.apply(number, *wanted),
            Effect::Probe(runs) => self.probes.set(runs, &self.control),
            Effect::Warn(text) => tracing::warn!("{text}"),
            Effect::Watch(runs) => self.watches.set(runs),
            Effect::Report(report) => {
                let report = Arc::new(*report);
                let known = Arc::clone(&report);
                let before = self.host.known().report;
                events::reported(before.as_deref(), &report);
                self.host.ends.note(before.as_deref(), &report);
                self.host.set_known(|entry| entry.report = Some(known));
                self.reports.send_replace(Some(report));
            }
            Effect::WakeAt(moment) => self.wake = Some(moment),
        }
    }

    fn answer(&mut self, result: Result<(), PutSpecError>) {
        if let Some((_, caller)) = self.answers.pop_front() {
            // The caller may have gone; the spec is accepted all the same.
            let _ = caller.send(result);
        }
    }

    fn refusal(&self, refusal: SpecRefusal) -> (Generation, PutSpecError) {
        let requested = self.answers.front().map(|(generation, _)| *generation).unwrap_or_default();
        let error = match refusal {
            SpecRefusal::Outdated { current } => PutSpecError::Outdated { current, requested },
            SpecRefusal::Altered => PutSpecError::Altered(requested),
        };
        (requested, error)
    }
}
