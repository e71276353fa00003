//! The steps of a graph while it grows: equal steps on equal trees are one.

use std::collections::BTreeMap;

use crate::builder::graph::{Action, Step, StepId, Tree};

/// The steps so far.
#[derive(Debug, Default)]
pub(super) struct Steps {
    steps: Vec<Step>,
    on: BTreeMap<Tree, Vec<StepId>>,
}

impl Steps {
    /// The step that does this on `base`: the one that is there already, or a new one.
    pub(super) fn add(&mut self, title: String, base: Tree, action: Action, line: usize) -> StepId {
        let on = self.on.entry(base.clone()).or_default();
        if let Some(same) = on.iter().find(|id| self.steps[id.0].action == action) {
            return *same;
        }
        let id = StepId(self.steps.len());
        on.push(id);
        self.steps.push(Step { title, base, action, line });
        id
    }

    pub(super) fn into_vec(self) -> Vec<Step> {
        self.steps
    }
}
