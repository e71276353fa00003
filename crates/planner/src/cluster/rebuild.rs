//! What was wanted, as far as the spec that a host has accepted tells it: for an orchestrator that has lost its store.
//!
//! Each service comes back with the definition that its instances carry, and only where that has the digest that
//! decides recreation: nothing that runs is replaced because of a guess. A stack of which that can't be had keeps what
//! it has, and everything but `up` and `down` of it is refused. What has no instance in the spec is forgotten: services
//! scaled to none, volumes and networks that nobody uses, earlier revisions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use hoist_model::{
    Endpoints, HostSpec, InstanceKind, InstanceSpec, Intent, Network, Revision, RunIntent, ServiceName,
    Stack, StackId, StackRevision, Template, Volume, WallTime, WantedRun, WantedStack,
};

use super::template::define;

/// What a host has accepted, and the store of its orchestrator holds as well: each can be had from the other.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// The spec.
    pub spec: HostSpec,
    /// The endpoints.
    pub endpoints: Endpoints,
}

/// The stacks that a spec was planned from.
#[must_use]
pub fn rebuilt(spec: &HostSpec) -> BTreeMap<StackId, WantedStack> {
    let replicas = spec.instances.values().filter(|instance| instance.kind != InstanceKind::OneOff);
    let ids: BTreeSet<&StackId> = replicas.map(|instance| &instance.slot.stack).collect();
    ids.into_iter().map(|id| (id.clone(), stack(spec, id))).collect()
}

/// A service's newest instance stands for all: an older one is on its way out.
type Newest<'a> = BTreeMap<&'a ServiceName, (&'a InstanceSpec, &'a Arc<Template>)>;

fn stack(spec: &HostSpec, id: &StackId) -> WantedStack {
    let mut newest = Newest::new();
    let mut counts: BTreeMap<&ServiceName, u32> = BTreeMap::new();
    let own = |one: &&InstanceSpec| one.slot.stack == *id && one.kind != InstanceKind::OneOff;
    for instance in spec.instances.values().filter(own) {
        let Some(template) = spec.templates.get(&instance.template) else { continue };
        let name = &instance.slot.service;
        *counts.entry(name).or_default() += 1;
        let known = newest.get(name).map(|(known, _)| known.revision);
        if known.is_none_or(|known| known < instance.revision) {
            newest.insert(name, (instance, template));
        }
    }
    let mut wanted = WantedStack {
        revisions: BTreeMap::new(),
        history: BTreeMap::new(),
        past_images: Vec::new(),
        intents: newest.iter().map(|(name, one)| ((*name).clone(), intent(one, counts[name]))).collect(),
        project_dir: PathBuf::new(),
        files: Vec::new(),
        removal: None,
        stop_grace: spec.stop_grace.get(id).copied(),
    };
    places(&mut wanted, &newest);
    let numbers: BTreeSet<Revision> = newest.values().map(|(instance, _)| instance.revision).collect();
    for number in numbers {
        let revision = revision(spec, id, number, &newest, &wanted);
        wanted.revisions.insert(number, Arc::new(revision));
    }
    wanted
}

fn intent((instance, template): &(&InstanceSpec, &Arc<Template>), count: u32) -> Intent {
    Intent {
        revision: instance.revision,
        run: match instance.run {
            WantedRun::Running => RunIntent::Running,
            WantedRun::Stopped { epoch } => RunIntent::Stopped { epoch },
        },
        replicas: (count != template.service.replicas).then_some(count),
        restart_nonce: instance.restart_nonce,
        start_nonce: instance.start_nonce,
        renew_volumes: instance.renew_volumes,
    }
}

/// Where the stack's files are, by the labels for Compose's tools.
fn places(wanted: &mut WantedStack, newest: &Newest<'_>) {
    let Some((_, template)) = newest.values().next() else { return };
    let label = |name: &str| template.labels.get(&format!("com.docker.compose.project.{name}"));
    wanted.project_dir = label("working_dir").map(PathBuf::from).unwrap_or_default();
    let files = label("config_files").into_iter().flat_map(|files| files.split(','));
    wanted.files = files.map(PathBuf::from).collect();
}

/// What a spec doesn't say of a declared network.
#[derive(Clone, Copy)]
struct Guess {
    foreign: bool,
    declared_subnets: bool,
}

const GUESSES: [Guess; 4] = [
    Guess { foreign: false, declared_subnets: false },
    Guess { foreign: false, declared_subnets: true },
    Guess { foreign: true, declared_subnets: false },
    Guess { foreign: true, declared_subnets: true },
];

/// A revision with those of its services whose definition is certain.
fn revision(
    spec: &HostSpec,
    id: &StackId,
    number: Revision,
    newest: &Newest<'_>,
    wanted: &WantedStack,
) -> StackRevision {
    let of = newest.iter().filter(|(_, (instance, _))| instance.revision == number);
    let services: Newest<'_> = of.map(|(name, one)| (*name, *one)).collect();
    let guessed =
        GUESSES.map(|guess| certain(guessed(spec, id, number, &services, guess), &services, wanted));
    let best = guessed.into_iter().rev().max_by_key(|revision| revision.stack.services.len());
    best.expect("there are several guesses")
}

fn guessed(
    spec: &HostSpec,
    id: &StackId,
    number: Revision,
    services: &Newest<'_>,
    guess: Guess,
) -> StackRevision {
    let (mut networks, mut volumes) = (BTreeMap::new(), BTreeMap::new());
    for (_, template) in services.values() {
        for (key, network) in &template.networks {
            let Some(known) = spec.networks.get(network) else { continue };
            let own = network.as_str().starts_with(&format!("{}_", id.stem()));
            networks.insert(
                key.clone(),
                Network {
                    id: network.clone(),
                    external: own == guess.foreign,
                    internal: known.internal,
                    ipv6: known.subnets.iter().any(ipnetwork::IpNetwork::is_ipv6),
                    subnets: if guess.declared_subnets { known.subnets.clone() } else { Vec::new() },
                    labels: BTreeMap::new(),
                    unchecked: known.unchecked,
                },
            );
        }
        for (key, volume) in &template.volumes {
            let known = spec.volumes.get(volume);
            let external = known.is_none_or(|known| known.owner.as_ref() != Some(id));
            let options = known.map(|known| known.options.clone()).unwrap_or_default();
            let volume = Volume { id: volume.clone(), external, options, labels: BTreeMap::new() };
            volumes.insert(key.clone(), volume);
        }
    }
    let named = |name: &&ServiceName| (*name).clone();
    StackRevision {
        number,
        stack: Stack {
            id: id.clone(),
            services: services.iter().map(|(name, (_, t))| (named(name), t.service.clone())).collect(),
            networks,
            volumes,
        },
        images: services.iter().map(|(name, (_, t))| (named(name), t.image.clone())).collect(),
        created: WallTime::default(),
    }
}

/// Leaves out the services whose instances would be replaced.
fn certain(mut revision: StackRevision, services: &Newest<'_>, wanted: &WantedStack) -> StackRevision {
    let same = |name: &ServiceName| {
        let defined = define(wanted, &revision, name).map(|defined| defined.hash);
        defined == services.get(name).map(|(instance, _)| instance.template)
    };
    let kept: BTreeSet<ServiceName> =
        revision.stack.services.keys().filter(|name| same(name)).cloned().collect();
    revision.stack.services.retain(|name, _| kept.contains(name));
    revision.images.retain(|name, _| kept.contains(name));
    revision
}
