//! While nobody is there because Hoist made it so, new connections are held, for as long as the file says.

mod common;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use common::{Cluster, after, after_crash};
use hoist_model::{Exit, InstanceUid, Listener, Moment, Protocol, Stack};
use hoist_planner::cluster::intent::{self, UpOptions};
use hoist_planner::host::{Adopted, Effect, HostLoop, Input, Life, Process, Step, StepOk};
use hoist_planner::project::{Fate, Oracle, applied};
use hoist_planner::{Now, check};
use hoist_testbed::builder::{ServiceBuilder, id, name, service, stack};

/// What starts never gets ready.
struct Unready;

impl Oracle for Unready {
    fn run(&mut self, _slot: &hoist_model::Slot, _attempt: u32) -> Fate {
        Fate::Runs { healthy: false }
    }
}

fn db(version: &str) -> ServiceBuilder {
    service("db").port(6379, 6379).volume("data", "/data").env("VERSION", version)
}

fn shop(service: ServiceBuilder) -> Stack {
    stack("shop").service(service).build()
}

fn later(seconds: u64) -> Now {
    after(Duration::from_secs(seconds))
}

/// What the network does with new connections.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    Held,
    Refused,
    By(BTreeSet<IpAddr>),
}

fn met(host: &HostLoop) -> Met {
    assert!(check::traffic(host.endpoints(), host.observed(), host.plan()).is_empty());
    let service = host.plan().fabric.services.values().next().expect("the service has an address");
    match (service.backends.is_empty(), service.held) {
        (true, true) => Met::Held,
        (true, false) => Met::Refused,
        (false, held) => {
            assert!(!held, "connections wait although somebody is there");
            Met::By(service.backends.clone())
        }
    }
}

fn by(host: &HostLoop, uid: InstanceUid) -> Met {
    Met::By(host.observed().instances[&uid].birth.addresses.values().flatten().copied().collect())
}

/// Takes in an input, has the network follow, and everything done but starts.
fn act(host: &mut HostLoop, now: &Now, input: Input) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut inputs = vec![input];
    while let Some(input) = inputs.pop() {
        for effect in host.step(now, input) {
            match effect {
                Effect::ApplyFabric { number, wanted } => inputs.push(applied(number, &wanted)),
                Effect::Perform(step) => {
                    steps.push(step.clone());
                    if !matches!(step, Step::StartInstance { .. }) {
                        inputs.push(Input::StepDone { step, result: Ok(StepOk { pid: None }) });
                    }
                }
                _ => {}
            }
        }
    }
    steps
}

/// The first revision serves; the spec of the second has just come.
fn replaced(change: impl Fn(ServiceBuilder) -> ServiceBuilder) -> (Cluster, InstanceUid) {
    let mut cluster = Cluster::new();
    cluster.up(&shop(change(db("1"))));
    let old = *cluster.host.observed().instances.keys().next().expect("one runs");
    assert_eq!(met(&cluster.host), by(&cluster.host, old));
    cluster.put(&shop(change(db("2"))), &UpOptions::default());
    cluster.plan();
    let spec = cluster.spec();
    let steps = act(&mut cluster.host, &later(0), Input::SpecPut(Box::new(spec)));
    assert!(
        steps.iter().any(|step| matches!(step, Step::SignalInstance { uid, .. } if *uid == old)),
        "{steps:?}"
    );
    (cluster, old)
}

fn successor(host: &HostLoop, old: InstanceUid) -> InstanceUid {
    *host.spec().instances.keys().find(|uid| **uid != old).expect("the spec has another")
}

fn ended(uid: InstanceUid, exit: Exit) -> Input {
    Input::Exited { uid, attempt: 1, exit, oom_killed: false }
}

/// The old one has ended and the new one runs, and isn't ready.
fn half_way(change: impl Fn(ServiceBuilder) -> ServiceBuilder) -> (Cluster, InstanceUid) {
    let (mut cluster, old) = replaced(change);
    let new = successor(&cluster.host, old);
    let steps = act(&mut cluster.host, &later(1), ended(old, Exit::Code(0)));
    let start = Step::StartInstance { uid: new, attempt: 1 };
    assert!(steps.contains(&start), "{steps:?}");
    assert!(!cluster.host.observed().instances.contains_key(&old), "it is removed");
    act(&mut cluster.host, &later(2), Input::StepDone { step: start, result: Ok(StepOk { pid: Some(7) }) });
    (cluster, new)
}

fn listens(uid: InstanceUid, attempt: u32) -> Input {
    let ports = BTreeSet::from([Listener { port: 6379, protocol: Protocol::Tcp }]);
    Input::Listens { uid, attempt, ports }
}

#[test]
fn from_the_flip_until_the_next_is_ready() {
    let (cluster, _) = replaced(|db| db);
    assert_eq!(met(&cluster.host), Met::Held);
    let (mut cluster, new) = half_way(|db| db);
    assert_eq!(met(&cluster.host), Met::Held, "it runs and isn't ready");
    act(&mut cluster.host, &later(3), listens(new, 1));
    assert_eq!(met(&cluster.host), by(&cluster.host, new));
    // The gap is over for good.
    act(&mut cluster.host, &later(4), ended(new, Exit::Code(1)));
    assert_eq!(met(&cluster.host), Met::Refused, "a crash is no gap of ours");
}

#[test]
fn no_longer_than_the_file_says() {
    let (mut cluster, new) = half_way(|db| db);
    let host = &mut cluster.host;
    assert!(
        host.plan().wake_at.as_ref().is_some_and(|at| at.since_boot <= later(30).moment.since_boot),
        "{:?}",
        host.plan().wake_at
    );
    act(host, &later(29), Input::Timer);
    assert_eq!(met(host), Met::Held);
    act(host, &later(30), Input::Timer);
    assert_eq!(met(host), by(host, new), "it runs: better than nobody");
    let (cluster, _) = replaced(|db| db.with(|db| db.rollout.hold = Duration::ZERO));
    assert_eq!(met(&cluster.host), Met::Refused);
}

#[test]
fn nothing_is_waited_for_that_will_not_come() {
    let (mut cluster, new) = half_way(|db| db.restart(hoist_model::RestartPolicy::No));
    act(&mut cluster.host, &later(3), ended(new, Exit::Code(1)));
    assert_eq!(met(&cluster.host), Met::Refused);
    let (mut cluster, new) = half_way(|db| db.restart(hoist_model::RestartPolicy::Always));
    act(&mut cluster.host, &later(3), ended(new, Exit::Code(1)));
    assert_eq!(met(&cluster.host), Met::Held, "it is started again");
}

#[test]
fn a_restart_that_a_person_asked_for_is_a_gap() {
    let mut cluster = Cluster::new();
    cluster.up(&shop(db("1")));
    let only = *cluster.host.observed().instances.keys().next().expect("one runs");
    let restarted = intent::restart(&cluster.wanted[&id("shop")], &id("shop"), &[name("db")], false);
    cluster.wanted.insert(id("shop"), restarted.expect("it is accepted").wanted);
    cluster.plan();
    let spec = cluster.spec();
    let host = &mut cluster.host;
    act(host, &later(0), Input::SpecPut(Box::new(spec)));
    assert_eq!(met(host), Met::Held);
    act(host, &later(1), ended(only, Exit::Code(0)));
    assert_eq!(met(host), Met::Held);
    let start = Step::StartInstance { uid: only, attempt: 2 };
    act(host, &later(2), Input::StepDone { step: start, result: Ok(StepOk { pid: Some(8) }) });
    assert_eq!(met(host), Met::Held);
    act(host, &later(3), listens(only, 2));
    assert_eq!(met(host), by(host, only));
}

#[test]
fn a_person_who_stops_a_service_has_connections_refused() {
    let mut cluster = Cluster::new();
    cluster.up(&shop(db("1")));
    let stopped = intent::stop(&cluster.wanted[&id("shop")], &id("shop"), &[name("db")], &cluster.view);
    cluster.wanted.insert(id("shop"), stopped.expect("it is accepted").wanted);
    cluster.plan();
    let spec = cluster.spec();
    act(&mut cluster.host, &later(0), Input::SpecPut(Box::new(spec)));
    assert_eq!(met(&cluster.host), Met::Refused);
}

#[test]
fn one_that_is_ready_gets_what_would_wait() {
    let mut cluster = Cluster::new();
    cluster.up_with(&shop(db("1").replicas(2)), &UpOptions::default(), &mut Unready);
    let uids: Vec<InstanceUid> = cluster.host.observed().instances.keys().copied().collect();
    act(&mut cluster.host, &later(0), listens(uids[1], 1));
    let mut spec = cluster.spec();
    spec.instances.get_mut(&uids[0]).expect("it is in the spec").restart_nonce += 1;
    spec.generation.n += 1;
    act(&mut cluster.host, &later(1), Input::SpecPut(Box::new(spec)));
    assert_eq!(met(&cluster.host), by(&cluster.host, uids[1]));
}

#[test]
fn an_agent_that_starts_anew_holds_as_long_as_the_one_before_would_have() {
    let (cluster, new) = half_way(|db| db);
    let host = &cluster.host;
    let began: Option<&Moment> = host.observed().instances[&new].gap.as_ref();
    assert_eq!(began, Some(&later(0).moment));
    let restored = after_crash(host);
    let process = Process { attempt: 1, since: later(2).moment, pid: 7, ended: None };
    let adopted = Adopted {
        processes: [(new, process)].into(),
        networks: host.observed().networks.clone(),
        ..Adopted::default()
    };
    let (mut again, _) = HostLoop::restore(restored, &later(20));
    act(&mut again, &later(20), Input::Adopted(adopted));
    assert!(matches!(again.observed().instances[&new].life, Life::Running { .. }));
    assert_eq!(met(&again), Met::Held);
    act(&mut again, &later(30), Input::Timer);
    assert_eq!(met(&again), by(&again, new));
}
