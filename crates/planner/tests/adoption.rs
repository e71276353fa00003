//! What runs, compared with what is known: nothing is started beside it, nothing of it is left alone.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Cluster, after, after_crash, now, steps};
use hoist_model::{Exit, InstanceUid, RestartPolicy};
use hoist_planner::Now;
use hoist_planner::host::{Adopted, FabricSeen, HostLoop, Input, Life, Process, Restored, Step, StepOk};
use hoist_testbed::builder::{service, stack};

/// A host on which one instance of a service that always restarts runs, as start 1.
fn running() -> (HostLoop, InstanceUid, Adopted) {
    let mut cluster = Cluster::new();
    let stack = stack("shop").service(service("a").restart(RestartPolicy::Always)).build();
    let projection = cluster.up(&stack);
    let host = projection.host;
    let uid = *host.observed().instances.keys().next().expect("it is there");
    let process = Process { attempt: 1, since: now().moment, pid: pid(&host, uid), ended: None };
    let adopted = Adopted {
        processes: BTreeMap::from([(uid, process)]),
        networks: host.observed().networks.clone(),
        ..Adopted::default()
    };
    (host, uid, adopted)
}

fn pid(host: &HostLoop, uid: InstanceUid) -> i32 {
    match host.observed().instances[&uid].life {
        Life::Running { pid, .. } => pid,
        ref life => panic!("{life:?}"),
    }
}

fn later(seconds: u64) -> Now {
    after(Duration::from_secs(seconds))
}

fn start(uid: InstanceUid, attempt: u32) -> Step {
    Step::StartInstance { uid, attempt }
}

#[test]
fn an_end_that_was_known_is_no_end_of_the_launch_under_way() {
    let (mut host, uid, adopted) = running();
    let exit = Exit::Signal(9);
    host.step(&later(1), Input::Exited { uid, attempt: 1, exit, oom_killed: false });
    assert_eq!(steps(&host.step(&later(2), Input::Timer)), [start(uid, 2)]);
    host.step(&later(2), Input::KeeperLost);
    let ended = Process { ended: Some((exit, false)), ..adopted.processes[&uid].clone() };
    let found = Adopted { processes: BTreeMap::from([(uid, ended)]), ..adopted };
    assert_eq!(steps(&host.step(&later(3), Input::Adopted(found))), []);
    let done = Input::StepDone { step: start(uid, 2), result: Ok(StepOk { pid: Some(77) }) };
    assert_eq!(steps(&host.step(&later(4), done)), []);
    assert_eq!((pid(&host, uid), host.observed().instances[&uid].starts), (77, 2));
}

#[test]
fn a_launch_that_the_keeper_is_busy_with_is_not_asked_for_again() {
    let (mut host, uid, adopted) = running();
    host.step(&later(1), Input::Exited { uid, attempt: 1, exit: Exit::Code(1), oom_killed: false });
    host.step(&later(2), Input::Timer);
    let failed = hoist_planner::host::StepError { what: "lost".to_owned(), hint: None, permanent: false };
    let journalled = host.observed().instances.clone();
    host.step(&later(2), Input::StepDone { step: start(uid, 2), result: Err(failed) });
    // Another agent takes up from the journal as it was while the launch was under way.
    let restored = Restored { instances: journalled, ..after_crash(&host) };
    let (mut host, _) = HostLoop::restore(restored, &later(3));
    let busy = Adopted { processes: BTreeMap::new(), launching: BTreeSet::from([uid]), ..adopted.clone() };
    assert_eq!(steps(&host.step(&later(3), Input::Adopted(busy))), []);
    assert_eq!(host.observed().instances[&uid].life, Life::Launching);
    let process = Process { attempt: 2, pid: 88, ..adopted.processes[&uid].clone() };
    let settled = Adopted { processes: BTreeMap::from([(uid, process)]), ..adopted };
    assert_eq!(steps(&host.step(&later(4), Input::Adopted(settled))), []);
    assert_eq!(pid(&host, uid), 88);
}

#[test]
fn what_runs_without_a_keeper_is_ended_before_the_instance_starts_again() {
    let (mut host, uid, adopted) = running();
    let lost = Adopted { processes: BTreeMap::new(), unkept: BTreeSet::from([uid]), ..adopted };
    assert_eq!(steps(&host.step(&later(1), Input::Adopted(lost))), [Step::ClearInstance(uid)]);
    assert!(!host.report(&later(1)).settled, "it isn't as it should be");
    assert_eq!(steps(&host.step(&later(9), Input::Timer)), []);
    let done = Input::StepDone { step: Step::ClearInstance(uid), result: Ok(StepOk::default()) };
    assert_eq!(steps(&host.step(&later(9), done)), [start(uid, 2)]);
}

#[test]
fn what_nobody_knows_and_no_keeper_has_is_removed() {
    let (mut host, _, adopted) = running();
    let stray: InstanceUid = "000000000000000000000000000000ff".parse().unwrap();
    let found = Adopted { unkept: BTreeSet::from([stray]), ..adopted };
    assert_eq!(steps(&host.step(&later(1), Input::Adopted(found))), [Step::RemoveInstance(stray)]);
}

#[test]
fn what_runs_is_taken_up_whatever_its_number() {
    let (mut host, uid, adopted) = running();
    let older = Process { attempt: 0, pid: 5, ..adopted.processes[&uid].clone() };
    let found = Adopted { processes: BTreeMap::from([(uid, older)]), ..adopted };
    assert_eq!(steps(&host.step(&later(1), Input::Adopted(found))), []);
    assert_eq!(pid(&host, uid), 5);
}

#[test]
fn a_running_instance_that_lacks_an_interface_gets_it_and_isnt_settled_before() {
    let (mut host, uid, _) = running();
    let published = BTreeMap::new();
    let seen = |detached| FabricSeen { published: published.clone(), detached, ..FabricSeen::default() };
    let lacking = Input::FabricApplied(seen(BTreeSet::from([uid])));
    assert_eq!(steps(&host.step(&later(1), lacking)), [Step::AttachInstance(uid)]);
    assert!(!host.report(&later(1)).settled);
    let done = Input::StepDone { step: Step::AttachInstance(uid), result: Ok(StepOk::default()) };
    assert_eq!(steps(&host.step(&later(2), done)), []);
    assert!(host.report(&later(2)).settled);
}

#[test]
fn the_interface_of_what_has_just_ended_is_no_failure() {
    let (mut host, uid, _) = running();
    let seen = FabricSeen { detached: BTreeSet::from([uid]), ..FabricSeen::default() };
    host.step(&later(1), Input::FabricApplied(seen));
    let failed = hoist_planner::host::StepError { what: "gone".to_owned(), hint: None, permanent: false };
    let done = Input::StepDone { step: Step::AttachInstance(uid), result: Err(failed) };
    host.step(&later(1), done);
    host.step(&later(1), Input::Exited { uid, attempt: 1, exit: Exit::Code(0), oom_killed: false });
    assert_eq!(host.report(&later(1)).failures, []);
}
