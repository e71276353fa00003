//! What is wanted and what was reported, as of one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use hoist_model::{Digest, HostId, HostReport, HostSpec, StackId, WantedStack};
use hoist_planner::cluster::Restored;

/// What the API reads: what is wanted and what was reported, as of the last input.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) stacks: Arc<BTreeMap<StackId, WantedStack>>,
    pub(crate) specs: Arc<BTreeMap<HostId, HostSpec>>,
    /// What else the loop knows: endpoints, record, address ranges; stacks and specs are above.
    pub(crate) rest: Arc<Restored>,
    pub(crate) view: Arc<BTreeMap<HostId, HostReport>>,
}

impl Snapshot {
    /// Images of instances, of kept revisions and of the last ones that are gone.
    pub(crate) fn images(&self) -> Vec<Digest> {
        let templates = self.specs.values().flat_map(|spec| spec.templates.values());
        let running = templates.map(|template| &template.image);
        let revisions = self.stacks.values().flat_map(|stack| stack.revisions.values());
        let kept = revisions.flat_map(|revision| revision.images.values());
        let past = self.stacks.values().flat_map(|stack| stack.past_images.iter().flatten().cloned());
        running.chain(kept).filter_map(|image| image.digest.clone()).chain(past).collect()
    }
}
