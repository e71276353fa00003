//! The planner's host loop with the effects that it asks for, performed in their order.
//!
//! Owns the order of persistence (journal and ledger before anything later) and the answers to `put_host_spec`. Waits
//! for nothing and reads no clock: whoever drives it writes what must be durable and says when it is
//! ([`super::run`] in an agent, the simulator in tests). What a step does is in `steps`; what should be done is decided
//! in `planner`.

use std::collections::VecDeque;
use std::sync::Arc;

use hoist_model::{Generation, HostSpec, Moment};
use hoist_planner::Now;
use hoist_planner::host::{Effect, HostLoop, Input, SpecRefusal};
use hoist_wire::PutSpecError;
use tokio::sync::oneshot;

use super::effects::Effects;
use super::inbox::Message;
use super::records::Record;

/// Whoever waits for a spec or endpoints to be accepted.
type Answer = oneshot::Sender<Result<(), PutSpecError>>;

/// The loop and what it acts through.
#[derive(Debug)]
pub struct Shell<E> {
    control: HostLoop,
    effects: E,
    /// What the loop asked for and was not performed yet.
    waiting: VecDeque<Effect>,
    /// Specs that are being written.
    writing: Vec<Arc<HostSpec>>,
    /// Callers of `put_host_spec`, in the order of their inputs.
    answers: VecDeque<(Generation, Answer)>,
    /// Callers of `put_endpoints`, answered once everything of their turn is written.
    endpoints: Vec<Answer>,
    wake: Option<Moment>,
}

impl<E: Effects> Shell<E> {
    /// A loop, with what it asked for when it was restored: perform that first.
    pub fn new(control: HostLoop, restored: Vec<Effect>, effects: E) -> Self {
        let waiting = restored.into();
        Self {
            control,
            effects,
            waiting,
            writing: Vec::new(),
            answers: VecDeque::new(),
            endpoints: Vec::new(),
            wake: None,
        }
    }

    /// The loop.
    pub fn control(&self) -> &HostLoop {
        &self.control
    }

    /// What it acts through.
    pub fn effects(&mut self) -> &mut E {
        &mut self.effects
    }

    /// When [`Input::Timer`] is due.
    pub fn wake(&self) -> Option<&Moment> {
        self.wake.as_ref()
    }

    /// Takes in everything that is there by now, and plans once: a hundred steps that end together cost one plan.
    ///
    /// Everything that was asked for before must have been performed.
    pub fn turn(&mut self, now: &Now, messages: impl IntoIterator<Item = Message>) {
        let inputs: Vec<Input> = messages.into_iter().filter_map(|message| self.take(message)).collect();
        self.waiting.extend(self.control.step_all(now, inputs));
    }

    /// Performs what the loop asked for, up to what must be durable before anything later: returns that. Once it is,
    /// [`Self::kept`] says so, and this goes on. None: everything is performed.
    #[must_use]
    pub fn perform(&mut self) -> Option<Vec<Record>> {
        let mut records = Vec::new();
        while let Some(effect) = self.waiting.pop_front() {
            match record(effect) {
                Ok(record) => records.push(record),
                Err(effect) if records.is_empty() => self.perform_one(effect),
                Err(effect) => {
                    self.waiting.push_front(effect);
                    break;
                }
            }
        }
        let specs = records.iter().filter_map(|record| match record {
            Record::Spec(spec) => Some(Arc::clone(spec)),
            _ => None,
        });
        self.writing = specs.collect();
        if records.is_empty() {
            // Those that are older than what is known are ignored, and accepted all the same.
            self.endpoints.drain(..).for_each(|caller| drop(caller.send(Ok(()))));
        }
        (!records.is_empty()).then_some(records)
    }

    /// What [`Self::perform`] returned is written; whoever waits for a spec to be accepted is answered.
    pub fn kept(&mut self) {
        for spec in std::mem::take(&mut self.writing) {
            self.effects.accepted(&spec);
            self.answer(Ok(()));
        }
    }

    fn take(&mut self, message: Message) -> Option<Input> {
        let input = match message {
            Message::Input(input) => {
                match &input {
                    Input::StepDone { step, result } => self.effects.ended(step, result, &self.control),
                    Input::Timer => self.wake = None,
                    _ => {}
                }
                input
            }
            Message::PutSpec(spec, answer) => {
                self.answers.push_back((spec.generation, answer));
                Input::SpecPut(spec)
            }
            Message::PutEndpoints(endpoints, answer) => {
                self.endpoints.push(answer);
                Input::EndpointsPut(endpoints)
            }
            Message::Rest(_) => return None,
        };
        tracing::debug!(?input, "input");
        Some(input)
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            // What `record` takes.
            Effect::Journal(_)
            | Effect::StoreSpec(_)
            | Effect::StoreEndpoints(_)
            | Effect::PublishZone(_) => {}
            Effect::SpecAccepted => self.answer(Ok(())),
            Effect::SpecRefused(refusal) => {
                let (generation, refused) = self.refusal(refusal);
                self.effects.refused(generation, &refused);
                self.answer(Err(refused));
            }
            Effect::Perform(step) => self.effects.begin(step, &self.control),
            Effect::ApplyFabric { number, wanted } => self.effects.apply_fabric(number, *wanted),
            Effect::Probe(runs) => self.effects.probe(runs, &self.control),
            Effect::Warn(text) => self.effects.warn(&text),
            Effect::ProbeLiveness(runs) => self.effects.probe_liveness(runs, &self.control),
            Effect::Watch(runs) => self.effects.watch(runs),
            Effect::Report(report) => self.effects.report(*report),
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

/// What must be durable before anything later; else the effect itself.
fn record(effect: Effect) -> Result<Record, Effect> {
    match effect {
        Effect::Journal(entry) => Ok(Record::Journal(entry)),
        Effect::StoreSpec(spec) => Ok(Record::Spec(Arc::new(*spec))),
        Effect::StoreEndpoints(endpoints) => Ok(Record::Endpoints(endpoints)),
        Effect::PublishZone(zone) => Ok(Record::Names(zone)),
        effect => Err(effect),
    }
}
