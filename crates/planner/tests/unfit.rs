//! What is started anew because a probe says so, how restarts are paced, and what doesn't fit into memory twice.

mod common;

use std::time::Duration;

use common::{Cluster, after, steps};
use hoist_model::{
    Condition, Exit, Health, Healthcheck, InstanceUid, OnUnhealthy, Resources, RestartPacing, RestartPolicy,
};
use hoist_planner::Now;
use hoist_planner::host::{Adopted, Effect, HostLoop, Input, Life, Step, StepOk};
use hoist_planner::rollout::{Handover, Reason, too_large};
use hoist_testbed::builder::{ServiceBuilder, service, stack};

fn later(milliseconds: u64) -> Now {
    after(Duration::from_secs(60) + Duration::from_millis(milliseconds))
}

fn running(web: ServiceBuilder) -> (HostLoop, InstanceUid) {
    let mut cluster = Cluster::new();
    cluster.up(&stack("shop").service(web).build());
    let uid = *cluster.host.observed().instances.keys().next().expect("it was made");
    (cluster.host, uid)
}

/// Takes in an input; the network follows, and every step works.
fn act(host: &mut HostLoop, now: &Now, input: Input) -> Vec<String> {
    let mut inputs = vec![input];
    let mut said = Vec::new();
    while let Some(input) = inputs.pop() {
        let effects = host.step(now, input);
        for effect in &effects {
            if let Effect::ApplyFabric { number, .. } = effect {
                let applied = Some(hoist_planner::host::Application { number: *number, outcome: Ok(()) });
                let seen = hoist_planner::host::FabricSeen { applied, ..Default::default() };
                inputs.push(Input::FabricApplied(seen));
            }
        }
        for step in steps(&effects) {
            said.push(step.verb().to_owned());
            if let Step::SignalInstance { uid, .. } = &step {
                let attempt = host.observed().instances[uid].starts;
                inputs.push(Input::Exited { uid: *uid, attempt, exit: Exit::Code(0), oom_killed: false });
            }
            inputs.push(Input::StepDone { step, result: Ok(StepOk { pid: Some(2) }) });
        }
    }
    said
}

#[test]
fn what_fails_its_liveness_probe_stops_and_starts_again() {
    let live =
        |web: ServiceBuilder| web.with(|service| service.liveness.check = Some(Healthcheck::default()));
    let (mut host, uid) = running(live(service("web")));
    assert!(host.plan().living.contains_key(&uid));
    let unfit = |attempt| Input::Unfit { uid, attempt, probe: None };
    assert!(act(&mut host, &later(0), unfit(7)).is_empty(), "it is about another run");
    assert_eq!(act(&mut host, &later(0), unfit(1)), ["stop"]);
    assert!(matches!(host.observed().instances[&uid].life, Life::Ended { .. }));
    assert!(act(&mut host, &later(10), Input::Timer).is_empty(), "there is a pause");
    assert_eq!(act(&mut host, &later(200), Input::Timer), ["start"]);
    assert!(host.plan().living.contains_key(&uid), "the next run is probed");
    assert!(!host.observed().instances[&uid].unfit);
}

#[test]
fn what_is_unhealthy_starts_again_only_where_the_file_says_so() {
    for restart in [false, true] {
        let (mut host, uid) =
            running(service("web").checked().with(|service| service.liveness.restart = restart));
        let unhealthy = Input::Probed { uid, attempt: 1, health: Health::Unhealthy, probe: None };
        let steps = act(&mut host, &later(0), unhealthy);
        assert_eq!(steps, if restart { vec!["stop"] } else { Vec::new() });
    }
}

#[test]
fn restarts_wait_for_their_delay_and_are_counted_within_their_window() {
    let pacing = RestartPacing {
        delay: Some(Duration::from_secs(5)),
        window: Some(Duration::from_secs(30)),
        max: Some(1),
    };
    let web = service("web").restart(RestartPolicy::Always).with(|service| service.restart_pacing = pacing);
    let (mut host, uid) = running(web);
    let ends = |attempt| Input::Exited { uid, attempt, exit: Exit::Code(1), oom_killed: false };
    assert!(act(&mut host, &later(0), ends(1)).is_empty());
    assert!(act(&mut host, &later(4_900), Input::Timer).is_empty(), "the delay isn't over");
    assert_eq!(act(&mut host, &later(5_000), Input::Timer), ["start"]);
    // A run as long as the window begins the count anew.
    assert!(act(&mut host, &later(40_000), ends(2)).is_empty());
    assert_eq!(act(&mut host, &later(45_000), Input::Timer), ["start"]);
    assert!(act(&mut host, &later(46_000), ends(3)).is_empty());
    assert!(act(&mut host, &later(60_000), Input::Timer).is_empty(), "one restart within the window is all");
}

#[test]
fn two_that_do_not_fit_into_memory_follow_each_other() {
    const MIB: u64 = 1 << 20;
    let (mut host, uid) = running(service("web").with(|service| {
        service.resources = Resources { memory: Some(700 * MIB), ..Resources::default() };
    }));
    host.step(&later(0), Input::Adopted(Adopted { memory: Some(1024 * MIB), ..Adopted::default() }));
    let report = host.report(&later(0));
    assert_eq!(report.memory, Some(1024 * MIB));
    let old = &host.observed().instances[&uid].birth.handover;
    let reason = too_large(old, old, report.memory).expect("1400 MiB don't fit");
    assert_eq!(reason, Reason::Memory(1400 * MIB, 1024 * MIB));
    assert_eq!(reason.to_string(), "old and new are given 1400 MiB together, and the host has 1024 MiB");
    assert_eq!(too_large(old, old, Some(1400 * MIB)), None);
    assert_eq!(too_large(old, old, None), None);
    let small = Handover { memory: None, ..old.clone() };
    assert_eq!(too_large(&small, old, report.memory), None, "nothing is declared of the old one");
    let declared = Handover { order: hoist_model::UpdateOrder::StartFirst, ..old.clone() };
    assert_eq!(too_large(old, &declared, report.memory), None, "the file says that they may overlap");
}

/// `web` needs `db` healthy. Returns the host, and the two.
fn dependent(policy: OnUnhealthy) -> (HostLoop, InstanceUid, InstanceUid) {
    let web = service("web").needs("db", Condition::ServiceHealthy);
    let web = web.with(|service| service.on_dependency_unhealthy = policy);
    let mut cluster = Cluster::new();
    cluster.up(&stack("shop").service(web).service(service("db").checked()).build());
    let of = |name: &str| {
        let all = &cluster.host.observed().instances;
        *all.iter().find(|(_, seen)| seen.birth.slot.service.as_str() == name).expect("it was made").0
    };
    let (web, db) = (of("web"), of("db"));
    (cluster.host, web, db)
}

fn probed(uid: InstanceUid, health: Health) -> Input {
    Input::Probed { uid, attempt: 1, health, probe: None }
}

#[test]
fn an_unhealthy_dependency_holds_restarts_or_is_ignored() {
    let expected = [
        (OnUnhealthy::Ignore, true, vec![]),
        (OnUnhealthy::Hold, false, vec![]),
        (OnUnhealthy::Restart, false, vec!["stop"]),
    ];
    for (policy, ready, steps) in expected {
        let (mut host, web, db) = dependent(policy);
        assert!(act(&mut host, &later(0), Input::Timer).is_empty());
        assert!(host.observed().instances[&web].ready());
        assert!(act(&mut host, &later(1), probed(db, Health::Unhealthy)).is_empty(), "{policy:?}");
        assert_eq!(host.observed().instances[&web].ready(), ready, "{policy:?}");
        assert_eq!(act(&mut host, &later(2), probed(db, Health::Healthy)), steps, "{policy:?}");
        let starts = act(&mut host, &later(500), Input::Timer);
        assert_eq!(starts.len(), steps.len(), "{policy:?}: {starts:?}");
        act(&mut host, &later(5_000), Input::Timer);
        assert!(host.observed().instances[&web].ready(), "{policy:?}");
    }
}
