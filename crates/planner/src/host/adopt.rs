//! Adoption: the journal compared with what exists. What the keeper doesn't list has ended, nobody knows how; what
//! runs of it all the same, without a keeper, is ended before anything else is done with the instance.

use hoist_model::{Exit, InstanceUid};

use super::control::HostLoop;
use super::{Adopted, Birth, EndedBy, Instance, Life, Process, Step};
use crate::Now;

impl HostLoop {
    /// Compares the journal with what exists. What the keeper doesn't list has ended, nobody knows how.
    pub(super) fn adopt(&mut self, now: &Now, adopted: Adopted) {
        let Adopted { mut processes, launching, unkept, networks, volumes, memory, routes } = adopted;
        let uids: Vec<InstanceUid> = self.observed.instances.keys().copied().collect();
        for uid in uids {
            let under_way = launching.contains(&uid) || self.is_starting(uid);
            self.adopt_one(now, uid, processes.remove(&uid), under_way);
        }
        for (uid, process) in processes {
            self.adopt_unknown(now, uid, process);
        }
        // Removing one ends what runs of it; no end would be told of what nobody looks after.
        let strays = unkept.iter().filter(|uid| !self.observed.instances.contains_key(uid));
        self.observed.strays.extend(strays.map(|uid| (*uid, false)));
        self.observed.unkept = unkept;
        self.observed.networks = networks;
        self.observed.volumes = volumes.into_iter().collect();
        self.observed.memory = memory;
        self.observed.routes = routes;
        self.observed.keeper = true;
        self.adopted = true;
        self.found_epoch = self.observed.epoch;
    }

    fn is_starting(&self, uid: InstanceUid) -> bool {
        let starts = |step: &Step| matches!(step, Step::StartInstance { uid: other, .. } if *other == uid);
        self.observed.in_flight.iter().any(starts)
    }

    /// `under_way`: a launch of it is, here or in the keeper.
    fn adopt_one(&mut self, now: &Now, uid: InstanceUid, process: Option<Process>, under_way: bool) {
        let checked = self.checked(uid);
        let (epoch, told) =
            (self.found_epoch, self.observed.instances.get(&uid).map(|i| i.stopping.is_some()));
        let Some(instance) = self.observed.instances.get_mut(&uid) else { return };
        let by = if told == Some(true) { EndedBy::Hoist } else { EndedBy::Itself };
        let before = instance.clone();
        // What runs is never passed over, whatever number it has: it would run beside the next start.
        let latest = process.filter(|process| process.ended.is_none() || process.attempt >= instance.starts);
        match (latest, &instance.life) {
            // The end of a run that was known before is no end of the launch that came after it.
            (Some(Process { attempt, ended: Some((exit, oom)), .. }), life)
                if attempt > instance.starts || matches!(life, Life::Running { .. }) =>
            {
                instance.ended(attempt, Life::Ended { exit, at: Some(now.moment.clone()), by, epoch }, now);
                instance.oom_killed |= oom;
            }
            (Some(Process { attempt, since, pid, ended: None }), life) => {
                let same = matches!(life, Life::Running { pid: known, .. } if *known == pid)
                    && attempt == instance.starts;
                if !same {
                    instance.running(attempt, since, pid, checked, now);
                }
            }
            (None, Life::Running { .. }) => {
                let exit = Exit::Unknown;
                let starts = instance.starts;
                instance.ended(starts, Life::Ended { exit, at: Some(now.moment.clone()), by, epoch }, now);
            }
            // The launch was lost, unless it is under way right now.
            (Some(_) | None, Life::Launching) if !under_way => instance.life = Life::Created,
            (Some(_) | None, _) => {}
        }
        if *instance != before {
            self.touched.insert(uid);
        }
    }

    /// The keeper has a run that the journal doesn't: made anew from the spec, else put an end to.
    fn adopt_unknown(&mut self, now: &Now, uid: InstanceUid, process: Process) {
        let Some(birth) = Birth::of(&self.spec, uid) else {
            self.observed.strays.insert(uid, process.ended.is_none());
            return;
        };
        let mut instance = Instance::born(birth, &self.spec, uid, now);
        instance.life = Life::Created;
        self.observed.instances.insert(uid, instance);
        self.touched.insert(uid);
        self.adopt_one(now, uid, Some(process), false);
    }
}
