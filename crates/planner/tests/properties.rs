//! What holds for every stack: plans end, every world on the way is safe, the end needs nothing more.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Cluster, here};
use hoist_model::{
    Condition, Exit, InstanceUid, Parting, RestartPolicy, ServiceKey, ServiceName, Slot, Stack, UpdateOrder,
};
use hoist_planner::check;
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::host::{HostLoop, Step};
use hoist_planner::project::{Fate, Oracle};
use hoist_testbed::builder::{name, service, stack};
use proptest::prelude::*;

/// One service in a generated stack; dependencies lead to earlier ones, so there is no cycle.
#[derive(Debug, Clone)]
struct Drawn {
    kind: Kind,
    needs: BTreeSet<usize>,
    replicas: u32,
    restart: RestartPolicy,
    volume: bool,
    network: bool,
    port: bool,
    order: UpdateOrder,
    env: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server,
    Checked,
    Sick,
    Job,
    FailingJob,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let kind = prop_oneof![
        4 => Just(Kind::Server),
        4 => Just(Kind::Checked),
        1 => Just(Kind::Sick),
        3 => Just(Kind::Job),
        1 => Just(Kind::FailingJob),
    ];
    let restart = prop_oneof![
        Just(RestartPolicy::No),
        Just(RestartPolicy::OnFailure { max: Some(2) }),
        Just(RestartPolicy::UnlessStopped),
        Just(RestartPolicy::Always),
    ];
    let needs = proptest::collection::btree_set(0usize..7, 0..3);
    let order = prop_oneof![
        4 => Just(UpdateOrder::Safe),
        1 => Just(UpdateOrder::StartFirst),
        1 => Just(UpdateOrder::StopFirst),
    ];
    (kind, needs, 1u32..4, restart, any::<bool>(), any::<bool>(), any::<bool>(), order, 0u8..3).prop_map(
        |(kind, needs, replicas, restart, volume, network, port, order, env)| Drawn {
            kind,
            needs,
            replicas,
            restart,
            volume,
            network,
            port,
            order,
            env,
        },
    )
}

fn drawings() -> impl Strategy<Value = Vec<Drawn>> {
    proptest::collection::vec(drawn(), 1..8)
}

fn key(n: usize) -> String {
    format!("s{n}")
}

fn build(drawings: &[Drawn]) -> Stack {
    let mut built = stack("shop");
    for (n, drawn) in drawings.iter().enumerate() {
        let job = matches!(drawn.kind, Kind::Job | Kind::FailingJob);
        let mut one = service(&key(n)).replicas(drawn.replicas).env("ENV", &drawn.env.to_string());
        one = if job { one } else { one.restart(drawn.restart) };
        one = if matches!(drawn.kind, Kind::Checked | Kind::Sick) { one.checked() } else { one };
        one = if drawn.volume { one.volume("data", "/data") } else { one };
        let published = 8000 + u16::try_from(n).expect("a few services");
        one = if drawn.port && !job { one.port(published, 80) } else { one };
        one = one.with(|service| service.update_order = drawn.order);
        one = if drawn.network { one.network("back").network("default") } else { one };
        for need in drawn.needs.iter().filter(|need| **need < n) {
            let condition = match drawings[*need].kind {
                Kind::Checked | Kind::Sick => Condition::ServiceHealthy,
                Kind::Job | Kind::FailingJob => Condition::ServiceCompletedSuccessfully,
                Kind::Server => Condition::ServiceStarted,
            };
            one = one.needs(&key(*need), condition);
        }
        built = built.service(one);
    }
    built.build()
}

/// Turns out as drawn, and looks at every start.
struct Drawing<'a> {
    drawings: &'a [Drawn],
    problems: Vec<String>,
    /// Services that had somebody who was ready to answer, and must never be without.
    answered: BTreeSet<ServiceKey>,
}

impl<'a> Drawing<'a> {
    fn new(drawings: &'a [Drawn]) -> Self {
        Self { drawings, problems: Vec::new(), answered: BTreeSet::new() }
    }
}

impl Drawing<'_> {
    /// A published service that may overlap and is well answers from its first answer on.
    fn look_at_answers(&mut self, host: &HostLoop) {
        for (key, service) in &host.plan().fabric.services {
            let Some(drawn) = self.drawings.get(number(&key.service)) else { continue };
            let well = matches!(drawn.kind, Kind::Server | Kind::Checked);
            let overlaps = match drawn.order {
                UpdateOrder::Safe => drawn.port && !drawn.volume,
                UpdateOrder::StartFirst => drawn.port,
                UpdateOrder::StopFirst => false,
            };
            let instances = host.observed().instances.values();
            let mut of_service = instances.filter(|seen| seen.birth.slot.service == key.service);
            if !service.backends.is_empty() {
                if of_service.any(hoist_planner::host::Instance::ready) {
                    self.answered.insert(key.clone());
                }
            } else if well && overlaps && self.answered.contains(key) {
                self.problems.push(format!("nobody answers for {}", key.service));
            }
        }
    }
}

fn number(service: &ServiceName) -> usize {
    service.as_str()[1..].parse().expect("drawn services are numbered")
}

impl Oracle for Drawing<'_> {
    fn run(&mut self, slot: &Slot, _attempt: u32) -> Fate {
        match self.drawings[number(&slot.service)].kind {
            Kind::Server | Kind::Checked => Fate::Runs { healthy: true },
            Kind::Sick => Fate::Runs { healthy: false },
            Kind::Job => Fate::Ends(Exit::Code(0)),
            Kind::FailingJob => Fate::Ends(Exit::Code(1)),
        }
    }

    fn begins(&mut self, step: &Step, host: &HostLoop) {
        self.look_at_answers(host);
        let misled = check::traffic(host.endpoints(), host.observed(), host.plan());
        self.problems.extend(misled.iter().map(ToString::to_string));
        if let Step::StartInstance { uid, .. } = step {
            let problems = check::start(host.spec(), host.observed(), *uid);
            self.problems.extend(problems.iter().map(ToString::to_string));
        }
    }
}

fn uids(cluster: &Cluster) -> BTreeMap<Slot, InstanceUid> {
    cluster.spec().instances.iter().map(|(uid, spec)| (spec.slot.clone(), *uid)).collect()
}

/// What is there, but for those that go on serving because their successors can't start or never get ready.
fn settled(host: &HostLoop) -> BTreeSet<InstanceUid> {
    let serves = |uid: &InstanceUid| host.plan().parting.get(uid) == Some(&Parting::Serves);
    host.observed().instances.keys().copied().filter(|uid| !serves(uid)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_ends_safely_and_the_end_needs_nothing_more(drawings in drawings()) {
        let stack = build(&drawings);
        let mut cluster = Cluster::new();
        let mut oracle = Drawing::new(&drawings);
        let projection = cluster.up_with(&stack, &UpOptions::default(), &mut oracle);
        prop_assert!(projection.quiet, "{}", projection.text());
        prop_assert!(oracle.problems.is_empty(), "{:?}\n{}", oracle.problems, projection.text());
        prop_assert!(check::spec(&cluster.spec()).is_empty(), "{:?}", check::spec(&cluster.spec()));
        prop_assert!(projection.host.plan().steps.is_empty());
        prop_assert_eq!(&cluster.peek().specs, &cluster.specs);
        prop_assert_eq!(&cluster.peek().endpoints, &cluster.endpoints);
    }

    #[test]
    fn a_second_up_changes_nothing(drawings in drawings()) {
        let drawings: Vec<Drawn> = drawings
            .into_iter()
            .filter(|drawn| matches!(drawn.kind, Kind::Server | Kind::Checked))
            .collect();
        let stack = build(&drawings);
        let mut cluster = Cluster::new();
        cluster.up_with(&stack, &UpOptions::default(), &mut Drawing::new(&drawings));
        let (wanted, specs) = (cluster.wanted.clone(), cluster.specs.clone());
        let projection = cluster.up_with(&stack, &UpOptions::default(), &mut Drawing::new(&drawings));
        prop_assert!(projection.rounds.is_empty(), "{}", projection.text());
        prop_assert_eq!((cluster.wanted, cluster.specs), (wanted, specs));
    }

    #[test]
    fn a_changed_service_alone_is_replaced(drawings in drawings(), which in any::<prop::sample::Index>()) {
        let mut cluster = Cluster::new();
        cluster.up_with(&build(&drawings), &UpOptions::default(), &mut Drawing::new(&drawings));
        let before = uids(&cluster);
        let mut changed = drawings.clone();
        let n = which.index(changed.len());
        changed[n].env += 1;
        let service: ServiceName = name(&key(n));
        let mut oracle = Drawing::new(&changed);
        let projection = cluster.up_with(&build(&changed), &UpOptions::default(), &mut oracle);
        prop_assert!(projection.quiet && oracle.problems.is_empty(), "{:?}\n{}", oracle.problems, projection.text());
        for (slot, uid) in uids(&cluster) {
            prop_assert_eq!(before[&slot] == uid, slot.service != service, "{}", slot);
        }
        let there = settled(&cluster.host);
        prop_assert_eq!(there, uids(&cluster).into_values().collect::<BTreeSet<_>>());
    }

    #[test]
    fn a_lost_store_is_rebuilt_and_nothing_is_replaced(drawings in drawings()) {
        let mut cluster = Cluster::new();
        cluster.up_with(&build(&drawings), &UpOptions::default(), &mut Drawing::new(&drawings));
        let before = cluster.spec();
        cluster.wanted = hoist_planner::cluster::rebuilt(&before);
        cluster.plan();
        prop_assert_eq!(&cluster.spec().instances, &before.instances);
        prop_assert_eq!(&cluster.spec().templates, &before.templates);
        cluster.up_with(&build(&drawings), &UpOptions::default(), &mut Drawing::new(&drawings));
        prop_assert_eq!(uids(&cluster).into_values().collect::<BTreeSet<_>>(), before.instances.into_keys().collect());
    }

    #[test]
    fn a_plan_is_the_same_every_time(drawings in drawings()) {
        let mut cluster = Cluster::new();
        cluster.put(&build(&drawings), &UpOptions::default());
        prop_assert_eq!(cluster.peek(), cluster.peek());
    }

    #[test]
    fn whatever_changes_the_end_is_clean(first in drawings(), second in drawings()) {
        let mut cluster = Cluster::new();
        cluster.up_with(&build(&first), &UpOptions::default(), &mut Drawing::new(&first));
        let options = UpOptions { remove_orphans: true, ..UpOptions::default() };
        // Old and new live side by side for a while: whoever is drawn later says how it behaves.
        let mut longest = first.clone();
        longest.splice(..second.len().min(first.len()), second.clone());
        if second.len() > first.len() {
            longest.clone_from(&second);
        }
        let mut oracle = Drawing::new(&longest);
        let projection = cluster.up_with(&build(&second), &options, &mut oracle);
        prop_assert!(projection.quiet && oracle.problems.is_empty(), "{:?}\n{}", oracle.problems, projection.text());
        prop_assert!(check::spec(&cluster.spec()).is_empty());
        let there = settled(&projection.host);
        prop_assert_eq!(there, cluster.spec().instances.keys().copied().collect::<BTreeSet<_>>());
        let observed = projection.host.observed();
        let wanted: BTreeSet<_> = cluster.specs[&here()].networks.keys().cloned().collect();
        let in_use = observed.instances.values().flat_map(|seen| seen.birth.addresses.keys().cloned());
        let in_use: BTreeSet<_> = in_use.chain(wanted.clone()).collect();
        let networks: BTreeSet<_> = observed.networks.keys().cloned().collect();
        prop_assert!(wanted.is_subset(&networks) && networks.is_subset(&in_use), "{:?}", networks);
    }
}
