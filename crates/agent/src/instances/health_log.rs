//! What the last probes of each instance said, for those who ask. The loop hears of changes of health alone; this is
//! read beside it, and starts empty with the agent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hoist_model::{InstanceUid, ProbeRecord};

/// The last probes by instance, oldest first. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct HealthLog {
    runs: Arc<Mutex<BTreeMap<InstanceUid, Run>>>,
}

/// Those of an instance's last run.
#[derive(Debug, Default)]
struct Run {
    attempt: u32,
    records: VecDeque<ProbeRecord>,
}

impl HealthLog {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceUid, Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a probe of start number `attempt`, and of those before it as many as Docker does.
    pub(crate) fn add(&self, uid: InstanceUid, attempt: u32, record: ProbeRecord) {
        let mut runs = self.lock();
        let run = runs.entry(uid).or_default();
        if run.attempt != attempt {
            *run = Run { attempt, records: VecDeque::new() };
        }
        run.records.push_back(record);
        while run.records.len() > ProbeRecord::KEPT {
            run.records.pop_front();
        }
    }

    /// What is kept.
    pub(crate) fn all(&self) -> BTreeMap<InstanceUid, Vec<ProbeRecord>> {
        self.lock().iter().map(|(uid, run)| (*uid, run.records.iter().cloned().collect())).collect()
    }

    /// Forgets all instances but these.
    pub(crate) fn keep(&self, exists: impl Fn(InstanceUid) -> bool) {
        self.lock().retain(|uid, _| exists(*uid));
    }
}

#[cfg(test)]
mod tests {
    use hoist_model::WallTime;

    use super::*;

    fn record(n: i64) -> ProbeRecord {
        ProbeRecord { start: WallTime(n), end: WallTime(n), exit_code: 1, output: String::new() }
    }

    #[test]
    fn five_of_the_last_run_are_kept_while_the_instance_exists() {
        let log = HealthLog::default();
        let uid: InstanceUid = "00000000000000000000000000000001".parse().unwrap();
        (0..9).for_each(|n| log.add(uid, 1, record(n)));
        let starts: Vec<i64> = log.all()[&uid].iter().map(|record| record.start.0).collect();
        assert_eq!(starts, [4, 5, 6, 7, 8]);
        log.add(uid, 2, record(9));
        assert_eq!(log.all()[&uid], [record(9)]);
        log.keep(|_| false);
        assert!(log.all().is_empty());
    }
}
