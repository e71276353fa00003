//! Ids that count, so that texts of plans are the same in every run.

use hoist_model::InstanceUid;
use hoist_planner::cluster::IdSource;

/// Gives `0001…`, `0002…`, and so on.
#[derive(Debug, Clone, Default)]
pub struct CountedIds(u16);

impl IdSource for CountedIds {
    fn instance(&mut self) -> InstanceUid {
        self.0 += 1;
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&self.0.to_be_bytes());
        InstanceUid::from_bytes(bytes)
    }
}
