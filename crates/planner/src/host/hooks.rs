//! When hooks run: `post_start` after each start, `pre_stop` before an instance is told anything else of its end.
//!
//! Each is a step of its own and is journalled once it has been seen through; one that was under way when the agent died
//! runs again. What a failed `post_start` means is in `gates`, `ready` and `phases`; a failed `pre_stop` holds up no end.

use std::sync::Arc;
use std::time::Duration;

use hoist_model::{Hook, HookMoment, InstanceUid, Template};
use serde::{Deserialize, Serialize};

use super::control::HostLoop;
use super::plan::Draft;
use super::view::View;
use super::{Fault, Instance, Life, Step, StepError};

/// A `post_start` hook that runs for longer is ended, and has failed.
const LONGEST_POST_START: Duration = Duration::from_secs(300);
/// A `pre_stop` hook has this time at least, whatever the grace period.
const SHORTEST_PRE_STOP: Duration = Duration::from_secs(1);
/// A `pre_stop` hook that couldn't be run so often is given up.
const PRE_STOP_TRIES: u32 = 3;

/// How far the hooks of the current run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HooksRun {
    /// So many of `post_start` have passed.
    pub post_start: u32,
    /// So many of `pre_stop` are over, well or not.
    pub pre_stop: u32,
    /// The first of `pre_stop` has begun: the program may know that it is to end.
    pub parting: bool,
}

impl HooksRun {
    /// None has begun.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        *self == Self::default()
    }
}

/// What it takes to run a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRun {
    /// The instance's definition.
    pub template: Arc<Template>,
    /// Its first process on the host.
    pub pid: i32,
    /// What to run.
    pub hook: Hook,
    /// It is ended when it takes longer.
    pub limit: Duration,
}

impl Instance {
    /// All `post_start` hooks of the current run have passed.
    #[must_use]
    pub fn is_hooked(&self) -> bool {
        self.hooks.post_start >= self.birth.post_start
    }

    /// The `pre_stop` hooks of the current run are over, or there are none.
    fn has_parted(&self) -> bool {
        let declared =
            self.birth.pre_stop.as_ref().map_or(0, |template| template.service.hooks.pre_stop.len());
        usize::try_from(self.hooks.pre_stop).is_ok_and(|done| done >= declared)
    }
}

/// Runs the next `post_start` hook of what has started.
pub(super) fn after_start(draft: &mut Draft<'_>) {
    if !draft.view.observed.keeper {
        return;
    }
    for uid in draft.view.spec.instances.keys() {
        let Some(instance) = draft.view.instance(*uid).filter(|instance| !instance.is_hooked()) else {
            continue;
        };
        let runs = matches!(instance.life, Life::Running { .. });
        if runs && !draft.view.withdrawn(*uid) && draft.view.leaving(*uid).is_none() {
            draft.want(post_start(*uid, instance), "it has started");
        }
    }
}

/// Runs the next `pre_stop` hook of what is about to end. Says whether all are over.
pub(super) fn before_stop(draft: &mut Draft<'_>, uid: InstanceUid) -> bool {
    let Some(instance) = draft.view.instance(uid) else { return true };
    if instance.has_parted() {
        return true;
    }
    let index = instance.hooks.pre_stop;
    let step = Step::RunHook { uid, attempt: instance.starts, moment: HookMoment::PreStop, index };
    if draft.view.observed.keeper {
        draft.want(step, "it is about to end");
    }
    false
}

fn post_start(uid: InstanceUid, instance: &Instance) -> Step {
    let index = instance.hooks.post_start;
    Step::RunHook { uid, attempt: instance.starts, moment: HookMoment::PostStart, index }
}

/// Why the `post_start` hook of a run has failed, when it has.
pub(super) fn fault<'a>(view: &View<'a>, uid: InstanceUid, instance: &Instance) -> Option<&'a Fault> {
    let pending = !instance.is_hooked() && matches!(instance.life, Life::Running { .. });
    pending.then(|| view.observed.faults.get(&post_start(uid, instance))).flatten()
}

impl HostLoop {
    /// What a step needs that runs a hook; none when there is no such hook, or the instance doesn't run.
    #[must_use]
    pub fn hook(&self, step: &Step) -> Option<HookRun> {
        let Step::RunHook { uid, attempt, moment, index } = step else { return None };
        let instance = self.observed.instances.get(uid).filter(|seen| seen.starts == *attempt)?;
        let Life::Running { pid, .. } = instance.life else { return None };
        let template = match moment {
            HookMoment::PostStart => self.spec.templates.get(&instance.birth.template)?,
            HookMoment::PreStop => instance.birth.pre_stop.as_ref()?,
        };
        let hook = template.service.hooks.at(*moment).get(usize::try_from(*index).ok()?)?.clone();
        let limit = match moment {
            HookMoment::PostStart => LONGEST_POST_START,
            HookMoment::PreStop => {
                let of_stack = self.spec.stop_grace.get(&instance.birth.slot.stack);
                of_stack.copied().unwrap_or(instance.birth.stop_grace).max(SHORTEST_PRE_STOP)
            }
        };
        Some(HookRun { template: Arc::clone(template), pid, hook, limit })
    }

    /// A hook begins.
    pub(super) fn hook_begins(&mut self, uid: InstanceUid, moment: HookMoment) {
        if moment == HookMoment::PreStop {
            self.change(uid, |instance| instance.hooks.parting = true);
        }
    }

    /// A hook is over.
    pub(super) fn hook_done(&mut self, uid: InstanceUid, attempt: u32, moment: HookMoment, index: u32) {
        self.change(uid, |instance| {
            if instance.starts != attempt || !matches!(instance.life, Life::Running { .. }) {
                return;
            }
            match moment {
                HookMoment::PostStart => instance.hooks.post_start = index + 1,
                HookMoment::PreStop => instance.hooks.pre_stop = index + 1,
            }
        });
    }

    /// Whether a failed step was a `pre_stop` hook that is not tried again.
    pub(super) fn is_given_up(&self, step: &Step, error: &StepError) -> bool {
        let before = self.observed.faults.get(step).map_or(0, |fault| fault.failures);
        let pre_stop = matches!(step, Step::RunHook { moment: HookMoment::PreStop, .. });
        pre_stop && (error.permanent || before + 1 >= PRE_STOP_TRIES)
    }
}
