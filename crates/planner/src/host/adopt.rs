//! Adoption: the journal compared with what exists. What the keeper doesn't list has ended, nobody knows how.

use hoist_model::{Exit, InstanceUid};

use super::control::HostLoop;
use super::{Adopted, Birth, EndedBy, Instance, Life, Process, Step};
use crate::Now;

impl HostLoop {
    /// Compares the journal with what exists. What the keeper doesn't list has ended, nobody knows how.
    pub(super) fn adopt(&mut self, now: &Now, adopted: Adopted) {
        let Adopted { mut processes, networks, volumes, routes } = adopted;
        let uids: Vec<InstanceUid> = self.observed.instances.keys().copied().collect();
        for uid in uids {
            self.adopt_one(now, uid, processes.remove(&uid));
        }
        for (uid, process) in processes {
            self.adopt_unknown(now, uid, process);
        }
        self.observed.networks = networks;
        self.observed.volumes = volumes.into_iter().collect();
        self.observed.routes = routes;
        self.observed.keeper = true;
        self.adopted = true;
        self.found_epoch = self.observed.epoch;
    }

    fn adopt_one(&mut self, now: &Now, uid: InstanceUid, process: Option<Process>) {
        let checked = self.checked(uid);
        let (epoch, told) =
            (self.found_epoch, self.observed.instances.get(&uid).map(|i| i.stopping.is_some()));
        let launching = self
            .observed
            .in_flight
            .iter()
            .any(|step| matches!(step, Step::StartInstance { uid: other, .. } if *other == uid));
        let Some(instance) = self.observed.instances.get_mut(&uid) else { return };
        let by = if told == Some(true) { EndedBy::Hoist } else { EndedBy::Itself };
        let before = instance.clone();
        let latest = process.filter(|process| process.attempt >= instance.starts);
        match (latest, &instance.life) {
            (Some(Process { attempt, ended: Some((exit, oom)), .. }), life)
                if !matches!(life, Life::Ended { .. }) || attempt > instance.starts =>
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
            (None, Life::Launching) if !launching => instance.life = Life::Created,
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
        self.adopt_one(now, uid, Some(process));
    }
}
