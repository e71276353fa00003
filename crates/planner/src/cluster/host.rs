//! The next spec and endpoints of one host.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{
    Endpoints, Failure, Generation, HostId, HostReport, HostSpec, InstanceKind, InstanceUid, Moment,
    ServiceName, StackId, Template, TemplateHash,
};
use std::sync::Arc;

use super::addresses::{self, Taken};
use super::classify::{self, Desired, PlannedSlot};
use super::networks::{self, Networks};
use super::place::place;
use super::rollout::{self, Seen};
use super::{IdSource, PlanInput, Rolling, conflict, removal, volumes};
use crate::claims;
use crate::time::sooner;

/// What one host should have next.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) spec: HostSpec,
    pub(super) endpoints: Endpoints,
    pub(super) failures: BTreeMap<StackId, Vec<Failure>>,
    pub(super) rollouts: Rollouts,
}

/// The rollouts that take several rounds.
#[derive(Debug, Default)]
pub(super) struct Rollouts {
    pub(super) rolling: BTreeMap<(StackId, ServiceName), Rolling>,
    pub(super) ready: BTreeMap<InstanceUid, Moment>,
    pub(super) wake: Option<Moment>,
}

/// Plans one host. A stack that fails keeps what it had; since that may be in the way of another, the rest is planned
/// again without it until nobody new fails.
pub(super) fn next(input: &PlanInput<'_>, id: &HostId, report: &HostReport, ids: &mut dyn IdSource) -> Next {
    let nothing = (HostSpec::default(), Endpoints::default());
    let previous = input.previous.get(id).unwrap_or(&nothing.0);
    let endpoints = input.endpoints.get(id).unwrap_or(&nothing.1);
    let mut failures: BTreeMap<StackId, Vec<Failure>> = BTreeMap::new();
    loop {
        let round = Round { input, id, report, previous, held: failures.keys().collect() };
        match round.plan(endpoints) {
            Err(found) => {
                for (stack, mut found) in found {
                    failures.entry(stack).or_default().append(&mut found);
                }
            }
            Ok(draft) => {
                let spec = round.finish(draft.spec, draft.places, ids);
                return Next {
                    spec: versioned(spec, previous, input.leadership),
                    endpoints: versioned_endpoints(draft.endpoints, endpoints, input.leadership),
                    failures,
                    rollouts: draft.rollouts,
                };
            }
        }
    }
}

struct Round<'a> {
    input: &'a PlanInput<'a>,
    id: &'a HostId,
    report: &'a HostReport,
    previous: &'a HostSpec,
    /// Stacks that keep what they had.
    held: BTreeSet<&'a StackId>,
}

struct Draft {
    spec: HostSpec,
    endpoints: Endpoints,
    places: Vec<PlannedSlot>,
    rollouts: Rollouts,
}

type Failures = BTreeMap<StackId, Vec<Failure>>;

impl<'a> Round<'a> {
    /// Everything but ids.
    fn plan(&self, endpoints: &Endpoints) -> Result<Draft, Failures> {
        let services = self.services()?;
        let mut spec = self.kept();
        self.networks(&services, &mut spec)?;
        volumes::add(&services, self.input, self.report, self.previous, &mut spec)?;
        let (places, rollouts) = self.places(&services, &mut spec)?;
        let mut next = addresses::endpoints(&services, &spec.networks, endpoints);
        let held = endpoints.services.iter().filter(|(key, _)| self.held.contains(&key.stack));
        next.extend(held.map(|(key, service)| (key.clone(), service.clone())));
        spec.removed_volumes = removal::volumes(self.input, self.report, &spec);
        let graces = self.input.wanted.iter();
        spec.stop_grace = graces.filter_map(|(id, wanted)| Some((id.clone(), wanted.stop_grace?))).collect();
        Ok(Draft {
            spec,
            endpoints: Endpoints { generation: Generation::default(), services: next },
            places,
            rollouts,
        })
    }

    /// The services to plan, without conflicts among them or with what is held.
    fn services(&self) -> Result<Vec<Desired<'a>>, Failures> {
        let mut failures = Failures::new();
        let mut candidates = Vec::new();
        for (id, wanted) in self.input.wanted.iter().filter(|(id, _)| !self.held.contains(id)) {
            match classify::desired(id, wanted) {
                Ok(services) => candidates.extend(services),
                Err(found) => drop(failures.insert(id.clone(), found)),
            }
        }
        // Who was there first keeps what it has.
        candidates.sort_by_key(|service| !conflict::incumbent(service, self.previous));
        let mut accepted: Vec<Desired<'a>> = Vec::new();
        for service in candidates {
            let mut found = conflict::find(&service, &accepted);
            found.extend(self.in_the_way(&service));
            if found.is_empty() {
                accepted.push(service);
            } else {
                failures.entry(service.stack.clone()).or_default().append(&mut found);
            }
        }
        accepted.sort_by_key(|service| (service.stack, service.name));
        if failures.is_empty() { Ok(accepted) } else { Err(failures) }
    }

    /// What a stack that keeps what it had has, and this service wants.
    fn in_the_way(&self, service: &Desired<'_>) -> Vec<Failure> {
        let own = claims::of_service(service.service());
        let held = self.previous.instances.values().filter(|spec| self.held.contains(&spec.slot.stack));
        let templates: BTreeMap<&TemplateHash, &StackId> =
            held.map(|spec| (&spec.template, &spec.slot.stack)).collect();
        let taken = templates.into_iter().find_map(|(hash, stack)| {
            let template = self.previous.templates.get(hash)?;
            let held = claims::of_service(&template.service);
            let claim = held.into_iter().find(|held| own.iter().any(|own| own.conflicts(held)))?;
            Some((claim, stack))
        });
        taken.map(|(claim, stack)| conflict::held(service, &claim, stack)).into_iter().collect()
    }

    /// What stays as it was: stacks that are held, and one-off instances of stacks that are not being removed.
    fn kept(&self) -> HostSpec {
        let mut spec = HostSpec::default();
        for (uid, instance) in &self.previous.instances {
            let wanted = self.input.wanted.get(&instance.slot.stack);
            let one_off =
                instance.kind == InstanceKind::OneOff && wanted.is_some_and(|w| w.removal.is_none());
            if self.held.contains(&instance.slot.stack) || one_off {
                spec.instances.insert(*uid, instance.clone());
                if let Some(template) = self.previous.templates.get(&instance.template) {
                    keep_template(self.previous, &mut spec, instance.template, template);
                }
            }
        }
        spec
    }

    fn networks(&self, services: &[Desired<'_>], spec: &mut HostSpec) -> Result<(), Failures> {
        let chosen = std::mem::take(&mut spec.networks);
        let mut networks =
            Networks { pool: self.input.pool, previous: self.previous, report: self.report, chosen };
        let mut failures = Failures::new();
        for (id, mut declared) in networks::declared(services) {
            let kept = networks.chosen.get(&id).map(|kept| kept.users.clone()).unwrap_or_default();
            declared.users.extend(kept.iter());
            if let Err(failure) = networks.add(&id, &declared) {
                for user in &declared.users {
                    failures.entry((*user).clone()).or_default().push(failure.clone());
                }
            }
        }
        spec.networks = networks.chosen;
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }

    /// The slots of all services, with addresses; templates go into the spec.
    fn places(
        &self,
        services: &[Desired<'_>],
        spec: &mut HostSpec,
    ) -> Result<(Vec<PlannedSlot>, Rollouts), Failures> {
        let mut rollouts = Rollouts::default();
        let mut taken = Taken::of(self.report, self.previous, services);
        let mut places = Vec::new();
        let mut failures = Failures::new();
        for service in services {
            for mut slot in self.paced(service, spec, &mut rollouts) {
                if place(self.input, &slot.spec.slot).as_ref() != Some(self.id) {
                    continue;
                }
                if slot.former {
                    if let Some(template) = self.previous.templates.get(&slot.spec.template) {
                        keep_template(self.previous, spec, slot.spec.template, template);
                    }
                    places.push(slot);
                    continue;
                }
                let before = slot.kept.and_then(|uid| self.previous.instances.get(&uid));
                let stays =
                    before.filter(|before| addresses::fit(service, &before.addresses, &spec.networks));
                if let Some(before) = stays {
                    slot.spec.addresses = before.addresses.clone();
                } else {
                    slot.kept = None;
                    match addresses::give(service, &spec.networks, &mut taken) {
                        Ok(addresses) => slot.spec.addresses = addresses,
                        Err(failure) => failures.entry(service.stack.clone()).or_default().push(failure),
                    }
                }
                spec.templates.insert(service.defined.hash, Arc::clone(&service.defined.template));
                places.push(slot);
            }
        }
        if failures.is_empty() { Ok((places, rollouts)) } else { Err(failures) }
    }

    /// The slots of a service as they should be in this round.
    fn paced(&self, service: &Desired<'_>, spec: &HostSpec, rollouts: &mut Rollouts) -> Vec<PlannedSlot> {
        let PlanInput { record, now, .. } = *self.input;
        let mut slots = classify::slots(service, self.previous, record);
        let seen =
            Seen { previous: self.previous, report: self.report, record, networks: &spec.networks, now };
        let round = rollout::pace(service, &mut slots, &seen);
        let key = || (service.stack.clone(), service.name.clone());
        rollouts.rolling.extend(round.rolling.map(|rolling| (key(), rolling)));
        rollouts.ready.extend(round.ready);
        rollouts.wake = sooner(rollouts.wake.take(), round.wake);
        slots
    }

    fn finish(&self, mut spec: HostSpec, places: Vec<PlannedSlot>, ids: &mut dyn IdSource) -> HostSpec {
        for place in places {
            let uid = place.kept.unwrap_or_else(|| ids.instance());
            spec.instances.insert(uid, place.spec);
        }
        spec
    }
}

/// Copies a template with the networks and volumes that it needs.
fn keep_template(previous: &HostSpec, spec: &mut HostSpec, hash: TemplateHash, template: &Arc<Template>) {
    spec.templates.insert(hash, Arc::clone(template));
    for id in template.networks.values() {
        if let Some(network) = previous.networks.get(id) {
            spec.networks.entry(id.clone()).or_insert_with(|| network.clone());
        }
    }
    for id in template.volumes.values() {
        if let Some(volume) = previous.volumes.get(id) {
            spec.volumes.entry(id.clone()).or_insert_with(|| volume.clone());
        }
    }
}

fn versioned(spec: HostSpec, previous: &HostSpec, leadership: Generation) -> HostSpec {
    let generation = previous.generation;
    let spec = HostSpec { generation, ..spec };
    if spec == *previous { spec } else { HostSpec { generation: raised(generation, leadership), ..spec } }
}

fn versioned_endpoints(endpoints: Endpoints, previous: &Endpoints, leadership: Generation) -> Endpoints {
    let generation = previous.generation;
    let endpoints = Endpoints { generation, ..endpoints };
    if endpoints == *previous {
        endpoints
    } else {
        Endpoints { generation: raised(generation, leadership), ..endpoints }
    }
}

pub(super) fn raised(generation: Generation, leadership: Generation) -> Generation {
    Generation { incarnation: leadership.incarnation, term: leadership.term, n: generation.n + 1 }
}
