//! The planner's cluster loop with the effects that it asks for, performed in their order.
//!
//! Waits for nothing and reads no clock: whoever drives it writes to the store and says when that is durable
//! ([`crate::run`] in a daemon, the simulator in tests).

use std::collections::VecDeque;
use std::sync::Arc;

use hoist_model::{EventKind, Moment};
use hoist_planner::Now;
use hoist_planner::cluster::{ClusterLoop, Effect, IdSource, Input, OpId, StoreChange};

use crate::effects::Effects;

/// The loop and what it acts through.
#[derive(Debug)]
pub struct Shell<E> {
    control: ClusterLoop,
    effects: E,
    /// What the loop asked for and was not performed yet.
    waiting: VecDeque<Effect>,
    wake: Option<Moment>,
}

impl<E: Effects> Shell<E> {
    /// A loop, with what it asked for when it was restored: perform that first.
    pub fn new(control: ClusterLoop, restored: Vec<Effect>, effects: E) -> Self {
        Self { control, effects, waiting: restored.into(), wake: None }
    }

    /// The loop.
    pub fn control(&self) -> &ClusterLoop {
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

    /// Takes in one input. Everything that was asked for before must have been performed.
    pub fn turn(&mut self, now: &Now, input: Input, ids: &mut dyn IdSource) {
        if self.is_withdrawn(&input) {
            return;
        }
        if matches!(input, Input::Timer) {
            self.wake = None;
        }
        self.waiting.extend(self.control.step(now, input, ids));
    }

    /// Performs what the loop asked for, up to a change that must be stored before anything later: returns that. Once
    /// it is durable, this goes on. None: everything is performed, and shown.
    #[must_use]
    pub fn perform(&mut self) -> Option<Arc<StoreChange>> {
        while let Some(effect) = self.waiting.pop_front() {
            match effect {
                Effect::Store(change) => return Some(Arc::new(change)),
                Effect::ResolveImages { op, images } => self.effects.settle_images(op, images),
                Effect::PutSpec { spec, .. } => self.effects.put_spec(*spec),
                Effect::PutEndpoints { endpoints, .. } => self.effects.put_endpoints(*endpoints),
                Effect::Emit { op, event, .. } => self.emit(op, event),
                Effect::Refuse { op, refusal } => self.effects.refuse(op, refusal),
                Effect::WakeAt(moment) => self.wake = Some(moment),
            }
        }
        self.effects.show(&self.control);
        None
    }

    /// Whoever asked for it was told that it won't be done.
    fn is_withdrawn(&mut self, input: &Input) -> bool {
        matches!(input, Input::Request { op, .. } if !self.effects.take(*op))
    }

    /// A verdict goes out after the state that it speaks of: whoever asks for `ps` after it sees no older one.
    fn emit(&mut self, op: OpId, event: EventKind) {
        if matches!(event, EventKind::Verdict(_)) {
            self.effects.show(&self.control);
        }
        self.effects.emit(op, event);
    }
}
