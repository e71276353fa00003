//! The ends of runs: read off each report as it comes, since the next may know of a newer run only. The last ones of
//! each instance are remembered for who begins to follow a moment later, as an attached `up` does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hoist_model::{HostReport, InstanceReport, InstanceUid, Phase};
use hoist_wire::RunEnd;
use tokio::sync::broadcast;

/// Ends that may wait for one who follows.
const QUEUE: usize = 1024;
/// Ends of one instance that are remembered.
const REMEMBERED: usize = 16;

/// Ends of runs on this host. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    news: broadcast::Sender<(InstanceUid, RunEnd)>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    last: BTreeMap<InstanceUid, VecDeque<RunEnd>>,
    /// Ends of which no report has said yet whether another run follows: the step that started the run may not have
    /// been reported done when it was over.
    undecided: BTreeMap<InstanceUid, RunEnd>,
}

impl Default for Ends {
    fn default() -> Self {
        Self { news: broadcast::channel(QUEUE).0, known: Arc::default() }
    }
}

impl Ends {
    /// From now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<(InstanceUid, RunEnd)> {
        self.news.subscribe()
    }

    /// The last ones of an instance, in order.
    pub(crate) fn remembered(&self, uid: InstanceUid) -> Vec<RunEnd> {
        self.lock().last.get(&uid).into_iter().flatten().copied().collect()
    }

    /// Notes and tells what has ended between two reports; before the first one nothing is known.
    pub(crate) fn note(&self, before: Option<&HostReport>, after: &HostReport) {
        let mut known = self.lock();
        known.last.retain(|uid, _| after.instances.contains_key(uid));
        for (uid, new) in &after.instances {
            let old = before.and_then(|before| before.instances.get(uid));
            if old.is_none_or(|old| old.finished != new.finished)
                && let Some(end) = end(new)
            {
                known.undecided.insert(*uid, end);
            }
        }
        for (uid, end) in std::mem::take(&mut known.undecided) {
            let Some(again) = follows(after.instances.get(&uid), end.attempt) else {
                known.undecided.insert(uid, end);
                continue;
            };
            let end = RunEnd { again, ..end };
            let ends = known.last.entry(uid).or_default();
            ends.push_back(end);
            if ends.len() > REMEMBERED {
                ends.pop_front();
            }
            // Nobody may be listening.
            let _ = self.news.send((uid, end));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of an instance's last run, if it has ended.
fn end(instance: &InstanceReport) -> Option<RunEnd> {
    let exit = instance.exit.filter(|_| instance.pid.is_none() && instance.starts > 0)?;
    let (attempt, oom_killed) = (instance.starts, instance.oom_killed);
    Some(RunEnd { attempt, exit, oom_killed, again: false, time: instance.finished.unwrap_or_default() })
}

/// Whether another run follows this one; none while that can't be told.
fn follows(instance: Option<&InstanceReport>, attempt: u32) -> Option<bool> {
    let Some(instance) = instance else { return Some(false) };
    match instance.phase {
        _ if instance.starts > attempt => Some(true),
        Phase::Exited | Phase::Failed(_) | Phase::Stopping => Some(false),
        Phase::Restarting(_) | Phase::Waiting(_) => Some(true),
        Phase::Starting | Phase::Running => None,
    }
}

#[cfg(test)]
mod tests {
    use hoist_model::{
        Exit, Health, InstanceKind, Revision, Slot, StackId, StackName, TemplateHash, WallTime,
    };

    use super::*;

    fn instance(phase: Phase, starts: u32, finished: Option<i64>) -> InstanceReport {
        let stack = StackId::new(StackName::new("s").unwrap());
        InstanceReport {
            slot: Slot { stack, service: hoist_model::ServiceName::new("a").unwrap(), index: 1 },
            kind: InstanceKind::Replica,
            revision: Revision(1),
            template: TemplateHash::from_bytes([0; 32]),
            phase,
            health: Health::None,
            probe: None,
            starts,
            started: None,
            since: None,
            finished: finished.map(WallTime),
            exit: finished.map(|_| Exit::Code(3)),
            oom_killed: false,
            created: WallTime(0),
            pid: None,
            addresses: BTreeMap::new(),
            ports: Vec::new(),
            restart_nonce: 0,
            start_nonce: 0,
            unready: None,
            parting: None,
            listening: std::collections::BTreeSet::new(),
            hooks_pending: false,
            guards: hoist_model::Guards::default(),
        }
    }

    #[test]
    fn it_is_known_that_a_run_is_the_last_once_a_report_says_so() {
        let starting = instance(Phase::Starting, 1, Some(5));
        assert_eq!(end(&starting).map(|end| (end.attempt, end.exit)), Some((1, Exit::Code(3))));
        assert_eq!(end(&instance(Phase::Starting, 0, None)), None);
        assert_eq!(follows(Some(&starting), 1), None, "the step that started it is still under way");
        assert_eq!(follows(Some(&instance(Phase::Exited, 1, Some(5))), 1), Some(false));
        assert_eq!(follows(Some(&instance(Phase::Starting, 2, None)), 1), Some(true));
        assert_eq!(follows(None, 1), Some(false));
    }
}
