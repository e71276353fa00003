//! Checks that hold for any spec, and for any start on a host, whoever planned them. Written apart from the planner's
//! own rules, so that a mistake would have to be made twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use hoist_model::{Condition, Endpoints, Gate, HostSpec, InstanceSpec, InstanceUid, NetworkId, UpdateOrder};
use ipnetwork::IpNetwork;

use crate::claims;
use crate::cluster::overlap;
use crate::host::{HostPlan, Instance, Life, Observed, Step};
use crate::rollout::Handover;

/// A contradiction in a spec.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// An instance refers to something that the spec lacks.
    Missing {
        /// The instance.
        instance: InstanceUid,
        /// What is missing.
        what: String,
    },
    /// Two instances, or services, want one thing.
    Conflict {
        /// What both want.
        what: String,
        /// Who wants it.
        who: BTreeSet<String>,
    },
    /// Two ranges of networks share addresses.
    Overlap {
        /// One network.
        one: NetworkId,
        /// The other.
        other: NetworkId,
    },
    /// An address where it can't be.
    Misplaced {
        /// The instance.
        instance: InstanceUid,
        /// The address and where it should be.
        what: String,
    },
    /// A service whose traffic doesn't go where it should.
    Misled {
        /// The service, in which network.
        service: String,
        /// Where it goes and where it should.
        what: String,
    },
    /// An instance that starts before it may.
    Early {
        /// The instance.
        instance: InstanceUid,
        /// What it should have waited for.
        what: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Missing { instance, what } => write!(f, "instance {} lacks {what}", instance.short()),
            Problem::Conflict { what, who } => {
                let who: Vec<&str> = who.iter().map(String::as_str).collect();
                write!(f, "{} all want {what}", who.join(" and "))
            }
            Problem::Overlap { one, other } => write!(f, "networks {one} and {other} overlap"),
            Problem::Misled { service, what } => write!(f, "service {service}: {what}"),
            Problem::Misplaced { instance, what } => write!(f, "instance {}: {what}", instance.short()),
            Problem::Early { instance, what } => {
                write!(f, "instance {} starts before {what}", instance.short())
            }
        }
    }
}

/// Everything wrong with a spec; nothing, for every spec that [`crate::cluster::plan`] makes.
#[must_use]
pub fn spec(spec: &HostSpec) -> BTreeSet<Problem> {
    let mut problems = BTreeSet::new();
    for (uid, instance) in &spec.instances {
        references(spec, *uid, instance, &mut problems);
        addresses(spec, *uid, instance, &mut problems);
    }
    instance_claims(spec, &mut problems);
    service_claims(spec, &mut problems);
    ranges(spec, &mut problems);
    problems
}

fn references(spec: &HostSpec, uid: InstanceUid, instance: &InstanceSpec, problems: &mut BTreeSet<Problem>) {
    let mut missing = |what: String| {
        problems.insert(Problem::Missing { instance: uid, what });
    };
    let Some(template) = spec.templates.get(&instance.template) else {
        return missing(format!("its template {}", instance.template));
    };
    for id in template.networks.values().filter(|id| !spec.networks.contains_key(*id)) {
        missing(format!("network {id}"));
    }
    for id in template.volumes.values().filter(|id| !spec.volumes.contains_key(*id)) {
        missing(format!("volume {id}"));
    }
    if instance.gates.iter().any(|gate| gate.service == instance.slot.service) {
        missing("a gate other than on itself".to_owned());
    }
}

fn addresses(spec: &HostSpec, uid: InstanceUid, instance: &InstanceSpec, problems: &mut BTreeSet<Problem>) {
    for (id, addresses) in &instance.addresses {
        let subnets = spec.networks.get(id).map_or(&[][..], |network| network.subnets.as_slice());
        let gateway = |address| subnets.iter().any(|subnet| subnet.iter().nth(1) == Some(address));
        for address in addresses {
            let inside = subnets.iter().any(|subnet| subnet.contains(*address));
            if !inside || gateway(*address) {
                let what = format!("address {address} can't be in network {id}");
                problems.insert(Problem::Misplaced { instance: uid, what });
            }
        }
    }
}

/// Slots and addresses: each instance alone. Old and new of one slot are never both in a spec.
fn instance_claims(spec: &HostSpec, problems: &mut BTreeSet<Problem>) {
    let mut held: BTreeMap<claims::Claim, BTreeSet<String>> = BTreeMap::new();
    for (uid, instance) in &spec.instances {
        for claim in claims::of_instance(instance) {
            held.entry(claim).or_default().insert(uid.short());
        }
    }
    for (claim, who) in held.into_iter().filter(|(_, who)| who.len() > 1) {
        problems.insert(Problem::Conflict { what: claim.to_string(), who });
    }
}

/// Ports and names: each service alone. One that a person stopped has let go of its ports.
fn service_claims(spec: &HostSpec, problems: &mut BTreeSet<Problem>) {
    let mut services = BTreeMap::new();
    for instance in spec.instances.values() {
        let Some(template) = spec.templates.get(&instance.template) else { continue };
        let running = instance.run == hoist_model::WantedRun::Running;
        let held = claims::of_service(&template.service).into_iter();
        let held = held.filter(|claim| running || !matches!(claim, claims::Claim::Port { .. }));
        services.insert((&instance.slot.stack, &instance.slot.service), held.collect::<Vec<_>>());
    }
    let services: Vec<_> = services.into_iter().collect();
    for (n, ((stack, service), claims)) in services.iter().enumerate() {
        for ((other_stack, other), others) in &services[n + 1..] {
            for claim in claims.iter().filter(|claim| others.iter().any(|other| other.conflicts(claim))) {
                let who = BTreeSet::from([format!("{stack}/{service}"), format!("{other_stack}/{other}")]);
                problems.insert(Problem::Conflict { what: claim.to_string(), who });
            }
        }
    }
}

fn ranges(spec: &HostSpec, problems: &mut BTreeSet<Problem>) {
    let all: Vec<(&NetworkId, IpNetwork)> = spec
        .networks
        .iter()
        .flat_map(|(id, network)| {
            network.subnets.iter().chain(&network.services).map(move |range| (id, *range))
        })
        .collect();
    for (n, (one, range)) in all.iter().enumerate() {
        for (other, second) in &all[n + 1..] {
            if overlap(*range, *second) {
                problems.insert(Problem::Overlap { one: (*one).clone(), other: (*other).clone() });
            }
        }
    }
}

/// Everything wrong with starting an instance now: a required gate that doesn't hold, a claim that another run has.
#[must_use]
pub fn start(spec: &HostSpec, observed: &Observed, uid: InstanceUid) -> BTreeSet<Problem> {
    let Some(wanted) = spec.instances.get(&uid) else {
        return BTreeSet::from([Problem::Missing {
            instance: uid,
            what: "its place in the spec".to_owned(),
        }]);
    };
    let gates = wanted.gates.iter().filter(|gate| gate.required && !holds(spec, observed, wanted, gate));
    let gates = gates.map(|gate| format!("{} is {}", gate.service, gate.condition));
    let others = observed.instances.iter().filter(|(other, seen)| **other != uid && seen.alive());
    let writes = spec.templates.get(&wanted.template).map(|t| (Handover::of(t), t));
    let taken = others.flat_map(|(other, seen)| {
        let held = claims::held(&seen.birth.slot, &seen.birth.addresses);
        let own = claims::of_instance(wanted);
        let both = held.iter().filter(|h| own.iter().any(|o| o.conflicts(h)));
        let mut both: Vec<String> =
            both.filter(|claim| !matches!(claim, claims::Claim::Slot(_))).map(ToString::to_string).collect();
        if let Some((new, template)) = writes.as_ref().filter(|_| seen.birth.slot == wanted.slot) {
            both.extend(alone_in_slot(&seen.birth.handover, new, template.service.update_order));
        }
        both.into_iter().map(|claim| format!("{} lets go of {claim}", other.short()))
    });
    gates.chain(taken).map(|what| Problem::Early { instance: uid, what }).collect()
}

/// What two instances of one slot may not have at once, unless the file says so.
fn alone_in_slot(old: &Handover, new: &Handover, order: UpdateOrder) -> Vec<String> {
    let mut alone: Vec<String> = old.devices.intersection(&new.devices).cloned().collect();
    if order != UpdateOrder::StartFirst && !new.shared_writes {
        alone.extend(old.writes.intersection(&new.writes).map(ToString::to_string));
    }
    // One that comes to the host's network, or leaves it, has the other's ports nowhere.
    let host = hoist_model::NetworkMode::Host;
    if order == UpdateOrder::StopFirst || old.network == host && new.network == host {
        alone.push("the place".to_owned());
    }
    alone
}

fn holds(spec: &HostSpec, observed: &Observed, of: &InstanceSpec, gate: &Gate) -> bool {
    let members = spec
        .instances
        .iter()
        .filter(|(_, other)| other.slot.stack == of.slot.stack && other.slot.service == gate.service);
    members
        .map(|(uid, _)| observed.instances.get(uid))
        .all(|seen| seen.is_some_and(|seen| meets(seen, gate.condition)))
}

fn meets(seen: &Instance, condition: Condition) -> bool {
    match condition {
        Condition::ServiceStarted => seen.starts > 0,
        Condition::ServiceHealthy => seen.ready(),
        Condition::ServiceCompletedSuccessfully => {
            matches!(seen.life, Life::Ended { exit, .. } if exit.success())
        }
    }
}

/// Everything wrong with where traffic goes by a plan made of this: in each network, ready instances that are in it get it
/// all; while none is ready and one runs that was not told to end nor is about to be, somebody gets it, or connections
/// are held.
#[must_use]
pub fn traffic(endpoints: &Endpoints, observed: &Observed, plan: &HostPlan) -> BTreeSet<Problem> {
    let mut problems = BTreeSet::new();
    for (key, service) in &endpoints.services {
        let Some(names) = plan.zone.networks.get(&key.network) else { continue };
        let of_service = |seen: &&Instance| {
            (&seen.birth.slot.stack, &seen.birth.slot.service) == (&key.stack, &key.service)
                && matches!(seen.life, Life::Running { .. })
        };
        let running = observed
            .instances
            .iter()
            .filter(|(uid, _)| !told(observed, **uid) && !plan.withdrawn.contains(uid));
        let running: Vec<&Instance> = running.map(|(_, seen)| seen).filter(of_service).collect();
        let at = |seen: &[&Instance]| -> BTreeSet<IpAddr> {
            seen.iter().filter_map(|seen| seen.birth.addresses.get(&key.network)).flatten().copied().collect()
        };
        let serves = |seen: &&Instance| seen.ready() && seen.draining.is_none();
        let ready: Vec<&Instance> = running.iter().copied().filter(serves).collect();
        let (may, must) = (at(&running), at(&ready));
        let tasks = names.names.get(&format!("tasks.{}", key.service));
        let named: BTreeSet<IpAddr> = tasks.into_iter().flat_map(|tasks| tasks.addresses.clone()).collect();
        let wanted = plan.fabric.services.get(key);
        if wanted.is_some_and(|wanted| wanted.held && !(wanted.backends.is_empty() && must.is_empty())) {
            let what = format!("connections wait although {must:?} are ready");
            let service = format!("{} in {}", key.service, key.network);
            problems.insert(Problem::Misled { service, what });
        }
        let led = wanted.filter(|wanted| !wanted.held);
        let backends = led.map(|service| service.backends.clone());
        for given in backends.into_iter().chain([named]) {
            let right = if must.is_empty() {
                given.is_subset(&may) && given.is_empty() == may.is_empty()
            } else {
                given == must
            };
            if service.remote.is_empty() && !right {
                let what = format!("traffic goes to {given:?}; running {may:?}, ready {must:?}");
                let service = format!("{} in {}", key.service, key.network);
                problems.insert(Problem::Misled { service, what });
            }
        }
    }
    problems
}

fn told(observed: &Observed, uid: InstanceUid) -> bool {
    let stopping = observed.instances.get(&uid).is_some_and(|seen| seen.stopping.is_some());
    let ending = |step: &Step| match step {
        Step::SignalInstance { uid: other, .. } | Step::KillInstance(other) => *other == uid,
        _ => false,
    };
    stopping || observed.in_flight.iter().any(ending)
}
