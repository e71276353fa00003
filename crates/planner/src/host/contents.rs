//! Other content for what runs: with `x-hoist.on-change: signal:…` it is put in place, and the program is told.
//!
//! What content a run has is journalled with it. A run that has other content than its definition says gets that in a step
//! of its own, which may come again after a crash: a program is then told twice, never too little.

use hoist_model::{InstanceUid, OnChange};

use super::control::HostLoop;
use super::plan::Draft;
use super::{Life, Step};

/// Brings content up to date in what runs.
pub(super) fn renew(draft: &mut Draft<'_>) {
    if !draft.view.observed.keeper {
        return;
    }
    for (uid, spec) in &draft.view.spec.instances {
        let Some(template) = draft.view.spec.templates.get(&spec.template) else { continue };
        let OnChange::Signal(signal) = &template.service.on_change else { continue };
        let Some(instance) = draft.view.instance(*uid) else { continue };
        let contents = template.service.contents();
        let runs = matches!(instance.life, Life::Running { .. }) && instance.stopping.is_none();
        if !runs || instance.contents.as_ref() == Some(&contents) {
            continue;
        }
        if !draft.view.withdrawn(*uid) && draft.view.leaving(*uid).is_none() {
            let (attempt, signal) = (instance.starts, signal.clone());
            draft.want(
                Step::RenewContents { uid: *uid, attempt, contents, signal },
                "its files have other content",
            );
        }
    }
}

impl HostLoop {
    /// The process of a run whose content is renewed; none when that isn't the current run.
    #[must_use]
    pub fn renewed(&self, step: &Step) -> Option<i32> {
        let Step::RenewContents { uid, attempt, .. } = step else { return None };
        let instance = self.observed.instances.get(uid).filter(|seen| seen.starts == *attempt)?;
        match instance.life {
            Life::Running { pid, .. } => Some(pid),
            _ => None,
        }
    }

    /// What a run starts with.
    pub(super) fn contents_of(&self, uid: InstanceUid) -> Option<hoist_model::Digest> {
        let spec = self.spec.instances.get(&uid)?;
        let service = &self.spec.templates.get(&spec.template)?.service;
        matches!(service.on_change, OnChange::Signal(_)).then(|| service.contents())
    }
}
