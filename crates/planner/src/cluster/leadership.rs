//! Who leads a host, when the host has accepted a newer spec than the one that is sent to it.
//!
//! An orchestrator leads the agent of its own root and no other, and one process at a time owns a root. Each start from
//! a store raises the store's term. So a host that knows a later term than this start's tells that the store went back
//! in time: it was restored from a backup, or made anew. Then a new incarnation, above all that the host knows, takes
//! over; but not while stacks run there of which the store knows nothing, since following it would remove them.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{Failure, Generation, HostId, HostReport, Outcome, StackId, Subject, WantedStack};

use super::control::{ClusterLoop, Turn};
use super::{StoreChange, host, publish};

/// What to do about a host that refused a spec as outdated.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Say the same again under this leadership.
    Lead(Generation),
    /// These run there and are not in the store.
    Unknown(BTreeSet<StackId>),
}

/// `current` is what the host has accepted, `own` the leadership of this start.
fn standing(
    own: Generation,
    current: Generation,
    report: &HostReport,
    stacks: &BTreeMap<StackId, WantedStack>,
) -> Standing {
    let running = report.instances.values().map(|instance| &instance.slot.stack);
    let unknown: BTreeSet<StackId> = running.filter(|id| !stacks.contains_key(id)).cloned().collect();
    if (own.incarnation, own.term) > (current.incarnation, current.term) {
        Standing::Lead(own)
    } else if unknown.is_empty() {
        Standing::Lead(Generation { incarnation: current.incarnation + 1, term: 1, n: 0 })
    } else {
        Standing::Unknown(unknown)
    }
}

impl ClusterLoop {
    /// A host has refused our spec: it has this one.
    pub(super) fn outdated(&mut self, host: HostId, current: Generation) {
        let ours = self.known.specs.get(&host).map(|spec| spec.generation);
        // Two messages may cross: an answer to a spec of ours that a newer one has replaced since says nothing.
        if ours.is_none_or(|ours| ours < current) {
            self.ahead.insert(host, current);
        }
    }

    /// Settles who leads the hosts that are ahead, once they have reported.
    pub(super) fn catch_up(&mut self, turn: &mut Turn<'_>) {
        for (host, current) in self.ahead.clone() {
            let Some(report) = self.view.get(&host) else { continue };
            match standing(self.known.leadership, current, report, &self.known.stacks) {
                Standing::Lead(leadership) => self.lead(&host, leadership, turn),
                Standing::Unknown(stacks) => self.fail_all(&unknown(&host, current, &stacks), turn),
            }
        }
    }

    /// Sends what is planned for the host again, as this leadership's.
    fn lead(&mut self, id: &HostId, leadership: Generation, turn: &mut Turn<'_>) {
        self.ahead.remove(id);
        let mut change = StoreChange::default();
        if leadership != self.known.leadership {
            self.known.leadership = leadership;
            change.leadership = Some(leadership);
        }
        if let Some(spec) = self.known.specs.get_mut(id) {
            spec.generation = host::raised(spec.generation, leadership);
            change.specs.insert(id.clone(), spec.clone());
        }
        if let Some(endpoints) = self.known.endpoints.get_mut(id) {
            endpoints.generation = host::raised(endpoints.generation, leadership);
            change.endpoints.insert(id.clone(), endpoints.clone());
        }
        publish::send(change, &mut turn.effects);
    }

    fn fail_all(&mut self, failure: &Failure, turn: &mut Turn<'_>) {
        for (_, operation) in std::mem::take(&mut self.operations) {
            turn.effects.push(operation.verdict(Outcome::Failed(vec![failure.clone()])));
        }
    }
}

fn unknown(host: &HostId, current: Generation, stacks: &BTreeSet<StackId>) -> Failure {
    let names: Vec<String> = stacks.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    Failure {
        subject: Subject::Host,
        what: format!(
            "host {host} follows spec {current}, but the state in store.redb is older, as after restoring a backup, \
             and doesn't have what runs there: {names}. Nothing is changed until it has"
        ),
        hint: Some(format!(
            "run `hoist up` with the file of each ({names}), and `hoist down` afterwards for those that should go; or \
             put the newer store.redb back while the agent is stopped"
        )),
        permanent: true,
    }
}
