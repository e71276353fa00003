//! Instances in another one's network namespace follow it from run to run.

mod common;

use std::time::Duration;

use common::{Cluster, now};
use hoist_model::{Exit, InstanceUid, Moment, NetworkMode, RestartPolicy};
use hoist_planner::Now;
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::host::{Effect, HostLoop, Input, Joined, Life, Step, StepOk};
use hoist_planner::project::{AllWell, Fate, Oracle};
use hoist_testbed::builder::{name, service, stack};

fn built() -> hoist_model::Stack {
    let shares = |service: &mut hoist_model::Service| {
        service.network_mode = NetworkMode::Service(name("vpn"));
        service.networks.clear();
    };
    stack("shop")
        .service(service("vpn").restart(RestartPolicy::Always))
        .service(service("app").restart(RestartPolicy::No).with(shares))
        .build()
}

fn uid(host: &HostLoop, service: &str) -> InstanceUid {
    let mut all = host.observed().instances.iter();
    *all.find(|(_, seen)| seen.birth.slot.service == name(service)).expect("it is there").0
}

fn after(seconds: u64) -> Now {
    let Now { moment, wall } = now();
    let since_boot = moment.since_boot + Duration::from_secs(seconds);
    Now { moment: Moment { since_boot, ..moment }, wall }
}

fn steps(effects: &[Effect]) -> Vec<Step> {
    let step = |effect: &Effect| match effect {
        Effect::Perform(step) => Some(step.clone()),
        _ => None,
    };
    effects.iter().filter_map(step).collect()
}

fn done(step: Step, pid: i32) -> Input {
    Input::StepDone { step, result: Ok(StepOk { pid: Some(pid) }) }
}

fn start(uid: InstanceUid, attempt: u32) -> Step {
    Step::StartInstance { uid, attempt }
}

#[test]
fn it_is_started_again_after_each_start_of_the_other_whatever_its_policy() {
    let mut cluster = Cluster::new();
    let mut host = cluster.up_with(&built(), &UpOptions::default(), &mut AllWell).host;
    let (vpn, app) = (uid(&host, "vpn"), uid(&host, "app"));
    assert_eq!(host.observed().instances[&app].joined, Some(Joined { instance: vpn, attempt: 1 }));
    let crash = Input::Exited { uid: vpn, attempt: 1, exit: Exit::Code(1), oom_killed: false };
    assert_eq!(steps(&host.step(&after(1), crash)), [], "it waits for the other to be back");
    assert_eq!(steps(&host.step(&after(3), Input::Timer)), [start(vpn, 2)]);
    let told = steps(&host.step(&after(3), done(start(vpn, 2), 50)));
    assert!(matches!(&told[..], [Step::SignalInstance { uid, .. }] if *uid == app), "{told:?}");
    host.step(&after(3), done(told[0].clone(), 0));
    let ended = Input::Exited { uid: app, attempt: 1, exit: Exit::Signal(15), oom_killed: false };
    assert_eq!(steps(&host.step(&after(4), ended)), [start(app, 2)]);
    assert_eq!(host.network_of(app), Some(50));
    host.step(&after(4), done(start(app, 2), 60));
    assert!(matches!(host.observed().instances[&app].life, Life::Running { pid: 60, .. }));
    assert!(host.report(&after(5)).settled);
}

/// The other never comes to run.
struct Ends;

impl Oracle for Ends {
    fn run(&mut self, slot: &hoist_model::Slot, _attempt: u32) -> Fate {
        if slot.service == name("vpn") { Fate::Ends(Exit::Code(0)) } else { Fate::Runs { healthy: true } }
    }
}

#[test]
fn without_the_other_it_is_said_what_is_missing() {
    let mut stack = built();
    stack.services.get_mut(&name("vpn")).expect("it is there").restart = RestartPolicy::No;
    let host = Cluster::new().up_with(&stack, &UpOptions::default(), &mut Ends).host;
    let what: Vec<&str> = host.plan().failures.iter().map(|failure| failure.what.as_str()).collect();
    assert_eq!(what, ["service vpn, whose network it shares, does not run"]);
}
