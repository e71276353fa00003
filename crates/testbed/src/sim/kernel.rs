//! The simulated host itself: processes, networks, volumes, as they really are. Checks, at each change, what must never
//! be: two runs in one slot that may not overlap, two runs with one address, a network pulled from under a run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hoist_model::{Exit, HostSpec, InstanceUid, Moment, NetworkId, NetworkReport, Slot, VolumeId};
use hoist_planner::claims::Source;
use hoist_planner::host::{Adopted, Process, Step};
use hoist_planner::rollout::Handover;

/// One run of an instance.
#[derive(Debug, Clone)]
pub struct Run {
    /// The slot it fills.
    pub slot: Slot,
    /// Which start it is.
    pub attempt: u32,
    /// When it began.
    pub since: Moment,
    /// Its process.
    pub pid: i32,
    /// How it ended, when it has.
    pub ended: Option<Exit>,
    /// It was told to end, and must get no new connection.
    pub(super) spared: bool,
    pub(super) addresses: BTreeMap<NetworkId, Vec<IpAddr>>,
    writes: BTreeSet<Source>,
    /// Somebody may connect to it, by what its service declares or has declared.
    reached: bool,
}

/// What really is.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    /// The keeper's list: the last run of each instance.
    pub(super) runs: BTreeMap<InstanceUid, Run>,
    /// Those of them that the keeper has lost its record of.
    pub(super) unkept: BTreeSet<InstanceUid>,
    pub(super) laid_out: BTreeSet<InstanceUid>,
    pub(super) networks: BTreeMap<NetworkId, NetworkReport>,
    pub(super) volumes: BTreeSet<VolumeId>,
    /// Launches of each slot, ever.
    pub(super) launches: BTreeMap<Slot, u32>,
    last_pid: i32,
}

impl Kernel {
    /// What a reboot leaves: disks.
    pub(super) fn reboot(&mut self) {
        self.runs.clear();
        self.unkept.clear();
        self.networks.clear();
    }

    pub(super) fn adopted(&self) -> Adopted {
        let process = |run: &Run| Process {
            attempt: run.attempt,
            since: run.since.clone(),
            pid: run.pid,
            ended: run.ended.map(|exit| (exit, false)),
        };
        let kept = self.runs.iter().filter(|(uid, _)| !self.unkept.contains(uid));
        Adopted {
            processes: kept.map(|(uid, run)| (*uid, process(run))).collect(),
            launching: BTreeSet::new(),
            unkept: self.alive().map(|(uid, _)| uid).filter(|uid| self.unkept.contains(uid)).collect(),
            networks: self.networks.clone(),
            volumes: self.volumes.iter().cloned().collect(),
            memory: None,
            routes: Vec::new(),
        }
    }

    pub(super) fn alive(&self) -> impl Iterator<Item = (InstanceUid, &Run)> {
        self.runs.iter().filter(|(_, run)| run.ended.is_none()).map(|(uid, run)| (*uid, run))
    }

    /// Carries out a step that isn't about a process. Each finds its work half or wholly done without harm.
    pub(super) fn perform(&mut self, step: &Step, spec: &HostSpec) -> Result<(), String> {
        match step {
            Step::EnsureNetwork(id) => {
                if let Some(network) = spec.networks.get(id) {
                    self.networks.insert(id.clone(), NetworkReport { subnets: network.subnets.clone() });
                }
            }
            Step::RemoveNetwork(id) => {
                if let Some((uid, _)) = self.alive().find(|(_, run)| run.addresses.contains_key(id)) {
                    return Err(format!("network {id} removed from under {uid}"));
                }
                self.networks.remove(id);
            }
            Step::EnsureVolume(id) => drop(self.volumes.insert(id.clone())),
            Step::RemoveVolume(id) => drop(self.volumes.remove(id)),
            Step::CreateInstance(uid) => drop(self.laid_out.insert(*uid)),
            Step::RemoveInstance(uid) => {
                let kept = !self.unkept.contains(uid);
                if kept && self.runs.get(uid).is_some_and(|run| run.ended.is_none()) {
                    return Err(format!("instance {uid} removed while it runs"));
                }
                self.laid_out.remove(uid);
                self.runs.remove(uid);
                self.unkept.remove(uid);
            }
            Step::StartInstance { .. }
            | Step::AttachInstance(_)
            | Step::SignalInstance { .. }
            | Step::DrainInstance { .. }
            | Step::RunHook { .. }
            | Step::CarryVolumes { .. }
            | Step::RenewContents { .. }
            | Step::KillInstance(_)
            | Step::ClearInstance(_) => {}
        }
        Ok(())
    }

    /// Ends what runs of an instance, without anybody to tell of it.
    pub(super) fn clear(&mut self, uid: InstanceUid) {
        if let Some(run) = self.runs.get_mut(&uid) {
            run.ended = Some(Exit::Unknown);
        }
    }

    /// Launches a process. Nothing is launched beside what runs: making its network anew would take the other's away.
    pub(super) fn launch(
        &mut self,
        uid: InstanceUid,
        attempt: u32,
        spec: &HostSpec,
        now: &Moment,
    ) -> Result<Run, String> {
        let Some(wanted) = spec.instances.get(&uid) else {
            return Err(format!("{uid} launched without a spec"));
        };
        if let Some(run) = self.runs.get(&uid).filter(|run| run.ended.is_none()) {
            return Err(format!("{} launched as {attempt} while it runs as {}", wanted.slot, run.attempt));
        }
        if !self.laid_out.contains(&uid) {
            return Err(format!("{} launched before it was laid out", wanted.slot));
        }
        let handover = spec.templates.get(&wanted.template).map(|template| Handover::of(template));
        let handover = handover.unwrap_or_default();
        // A program goes on listening where the one before it does.
        let before = self.alive().any(|(_, run)| run.slot == wanted.slot && run.reached);
        let reached = before || !handover.ports.is_empty() || !handover.expose.is_empty();
        let writes = handover.writes;
        for (other, run) in self.alive() {
            if run.slot == wanted.slot && (!reached && !run.reached || !run.writes.is_disjoint(&writes)) {
                return Err(format!("{} runs twice: {uid} and {other}", wanted.slot));
            }
            let shared = |(id, ours): (&NetworkId, &Vec<IpAddr>)| {
                run.addresses.get(id).is_some_and(|theirs| theirs.iter().any(|ip| ours.contains(ip)))
            };
            if wanted.addresses.iter().any(shared) {
                return Err(format!("{} and {} have one address", wanted.slot, run.slot));
            }
        }
        if let Some(id) = wanted.addresses.keys().find(|id| !self.networks.contains_key(*id)) {
            return Err(format!("{} launched without network {id}", wanted.slot));
        }
        self.last_pid += 1;
        *self.launches.entry(wanted.slot.clone()).or_default() += 1;
        let run = Run {
            slot: wanted.slot.clone(),
            attempt,
            since: now.clone(),
            pid: self.last_pid,
            ended: None,
            spared: false,
            addresses: wanted.addresses.clone(),
            writes,
            reached,
        };
        self.runs.insert(uid, run.clone());
        self.unkept.remove(&uid);
        Ok(run)
    }

    /// Ends a run, if it is still that one. Says whether it did.
    pub(super) fn end(&mut self, uid: InstanceUid, attempt: u32, exit: Exit) -> bool {
        match self.runs.get_mut(&uid) {
            Some(run) if run.attempt == attempt && run.ended.is_none() => {
                run.ended = Some(exit);
                true
            }
            _ => false,
        }
    }
}
