//! An instance gets no new traffic before it is told to end: the network must be known to have changed, or five seconds
//! must have passed.

mod common;

use std::time::Duration;

use common::{Cluster, after};
use hoist_model::InstanceUid;
use hoist_planner::Now;
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::host::{Application, Effect, FabricSeen, Input, Step, StepError};
use hoist_testbed::builder::{name, service, stack};

/// `web` with two instances, one of which is to go.
struct Leaving {
    cluster: Cluster,
    going: InstanceUid,
    /// The fabric without it.
    number: u64,
}

fn applied(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        Effect::ApplyFabric { number, .. } => Some(*number),
        _ => None,
    })
}

fn told(effects: &[Effect]) -> Vec<InstanceUid> {
    let signalled = effects.iter().filter_map(|effect| match effect {
        Effect::Perform(Step::SignalInstance { uid, .. }) => Some(*uid),
        _ => None,
    });
    signalled.collect()
}

fn warnings(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Warn(_))).count()
}

fn later(seconds: u64) -> Now {
    after(Duration::from_secs(seconds))
}

fn failed() -> StepError {
    StepError { what: "the kernel refused".to_owned(), hint: None, permanent: false }
}

fn outcome(number: u64, outcome: Result<(), StepError>) -> Input {
    let applied = Some(Application { number, outcome });
    Input::FabricApplied(FabricSeen { applied, ..FabricSeen::default() })
}

impl Leaving {
    fn new() -> Self {
        let mut cluster = Cluster::new();
        let web = || stack("shop").service(service("web").replicas(2)).build();
        cluster.up(&web());
        cluster.put(&web(), &UpOptions { scale: [(name("web"), 1)].into(), ..UpOptions::default() });
        cluster.plan();
        let spec = cluster.spec();
        let runs = cluster.host.observed().instances.keys().copied();
        let going = runs.clone().find(|uid| !spec.instances.contains_key(uid)).expect("one of two goes");
        let effects = cluster.host.step(&later(0), Input::SpecPut(Box::new(spec)));
        assert!(told(&effects).is_empty(), "it still gets new connections: {effects:?}");
        let number = applied(&effects).expect("the network changes");
        Self { cluster, going, number }
    }

    fn step(&mut self, seconds: u64, input: Input) -> Vec<Effect> {
        self.cluster.host.step(&later(seconds), input)
    }
}

#[test]
fn it_is_told_once_the_network_has_changed() {
    let mut it = Leaving::new();
    let (going, number) = (it.going, it.number);
    assert!(told(&it.step(1, outcome(number - 1, Ok(())))).is_empty(), "an older fabric leads to it");
    assert!(told(&it.step(1, Input::FabricApplied(FabricSeen::default()))).is_empty(), "nothing was applied");
    assert_eq!(told(&it.step(1, outcome(number, Ok(())))), [going]);
}

#[test]
fn a_failure_is_shown_and_tried_again_and_does_not_count() {
    let mut it = Leaving::new();
    let (going, number) = (it.going, it.number);
    let effects = it.step(1, outcome(number, Err(failed())));
    assert!(told(&effects).is_empty(), "anything may be in the kernel");
    let what: Vec<&str> = it.cluster.host.plan().failures.iter().map(|f| f.what.as_str()).collect();
    assert_eq!(what, ["the network can't be brought up to date: the kernel refused"]);
    let again = applied(&it.step(2, Input::Timer)).expect("it is sent again after a second");
    assert!(applied(&it.step(2, Input::Timer)).is_none(), "and not twice");
    assert_eq!(told(&it.step(3, outcome(again, Ok(())))), [going]);
    assert!(it.cluster.host.plan().failures.is_empty());
}

#[test]
fn after_five_seconds_it_is_told_all_the_same_and_the_operator_hears_of_it() {
    let mut it = Leaving::new();
    let going = it.going;
    assert!(told(&it.step(4, Input::Timer)).is_empty());
    let effects = it.step(5, Input::Timer);
    assert_eq!((told(&effects), warnings(&effects)), (vec![going], 1));
    assert_eq!(warnings(&it.step(6, Input::Timer)), 0, "once");
}

#[test]
fn somebody_looks_again_when_the_five_seconds_are_over() {
    let it = Leaving::new();
    assert_eq!(it.cluster.host.plan().wake_at, Some(later(5).moment));
}

#[test]
fn a_lost_keeper_gives_no_traffic_back() {
    let mut it = Leaving::new();
    it.step(1, Input::KeeperLost);
    let number = it.number;
    assert!(applied(&it.step(1, outcome(number, Ok(())))).is_none(), "it stays out of the network's traffic");
    assert!(it.cluster.host.plan().withdrawn.contains(&it.going));
}

#[test]
fn who_is_wanted_again_before_it_was_told_gets_traffic_again() {
    let mut it = Leaving::new();
    let mut spec = it.cluster.host.spec().clone();
    let before = it.cluster.host.observed().instances[&it.going].birth.clone();
    let other = spec.instances.values().next().expect("the other stays").clone();
    let addresses = before.addresses.clone();
    spec.instances.insert(it.going, hoist_model::InstanceSpec { slot: before.slot, addresses, ..other });
    spec.generation.n += 1;
    let effects = it.step(1, Input::SpecPut(Box::new(spec)));
    assert!(told(&effects).is_empty() && it.cluster.host.plan().withdrawn.is_empty());
    let service = it.cluster.host.plan().fabric.services.values().next().expect("web has an address").clone();
    assert_eq!(service.backends.len(), 2);
}

#[test]
fn without_a_network_there_is_nothing_to_wait_for() {
    let mut cluster = Cluster::new();
    let built = stack("shop")
        .service(service("job").with(|job| job.network_mode = hoist_model::NetworkMode::None))
        .build();
    cluster.up(&built);
    cluster.put(&built, &UpOptions { scale: [(name("job"), 0)].into(), ..UpOptions::default() });
    cluster.plan();
    let spec = cluster.spec();
    assert_eq!(told(&cluster.host.step(&later(1), Input::SpecPut(Box::new(spec)))).len(), 1);
}
