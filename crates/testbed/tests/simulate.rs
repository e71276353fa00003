//! Hundreds of seeds through the real loops: whatever goes wrong on the way, the end is what was asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::{Condition, Outcome, RestartPolicy, Stack};
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::cluster::{Request, UpRequest};
use hoist_testbed::builder::{name, service, stack};
use hoist_testbed::sim::{Behaviour, Ended, Faults, World};

/// Every kind of dependency, replicas, a volume, a port.
fn shop(version: &str) -> Stack {
    stack("shop")
        .service(service("db").checked().volume("data", "/data").restart(RestartPolicy::Always))
        .service(service("migrate").needs("db", Condition::ServiceHealthy).env("VERSION", version))
        .service(
            service("api")
                .needs("migrate", Condition::ServiceCompletedSuccessfully)
                .needs("db", Condition::ServiceHealthy)
                .replicas(3)
                .env("VERSION", version)
                .restart(RestartPolicy::UnlessStopped),
        )
        .service(
            service("web")
                .needs("api", Condition::ServiceStarted)
                .port(8080, 80)
                .restart(RestartPolicy::OnFailure { max: None }),
        )
        .build()
}

fn behaviours() -> BTreeMap<hoist_model::ServiceName, Behaviour> {
    BTreeMap::from([(name("migrate"), Behaviour::job(0))])
}

fn up(stack: &Stack) -> Request {
    Request::Up(UpRequest {
        stack: stack.clone(),
        options: UpOptions::default(),
        project_dir: "/srv".into(),
        files: vec!["/srv/stack.yaml".into()],
        expected: None,
        by: hoist_model::Author::default(),
    })
}

fn down() -> Request {
    let stack = hoist_testbed::builder::id("shop");
    Request::Down { stack, services: Vec::new(), volumes: true, timeout: None }
}

fn seeds() -> std::ops::Range<u64> {
    match std::env::var("HOIST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..300,
    }
}

#[test]
fn whatever_goes_wrong_a_stack_comes_up_changes_and_goes() {
    for seed in seeds() {
        let mut world = World::new(seed, Faults::MANY, behaviours());
        for version in ["1", "2"] {
            let stack = shop(version);
            let verdict = world.insist(|| up(&stack));
            if let Outcome::Failed(failures) = &verdict.outcome {
                // Five failures in a row happen, and a job whose end nobody saw: a person would ask again.
                let expected = ["a simulated failure", "an unknown status"];
                let known = failures.iter().all(|f| expected.iter().any(|end| f.what.ends_with(end)));
                assert!(known, "seed {seed}: {failures:?}");
            }
        }
        world.calm();
        world.run_for(Duration::from_secs(5));
        let stack = shop("2");
        let verdict = world.insist(|| up(&stack));
        if verdict.outcome != Outcome::Converged {
            world.fail(&format!("{verdict:?}"));
        }
        world.run_for(Duration::from_secs(200));
        for service in ["db", "api", "web"] {
            if !world.runs("shop", service) {
                world.fail(&format!("{service} doesn't run"));
            }
        }
        assert_eq!(world.insist(down).outcome, Outcome::Converged, "seed {seed}");
        if world.left() != (0, 0, 0) {
            world.fail(&format!("something is left: {:?}", world.left()));
        }
    }
}

/// The simulated host fails the test when something is launched beside a run of the same instance.
#[test]
fn nothing_starts_beside_what_runs_and_nothing_runs_unseen() {
    for seed in seeds() {
        let mut world = World::new(seed, Faults::RESTLESS, BTreeMap::new());
        let always = |name: &str| service(name).restart(RestartPolicy::Always);
        let stack = stack("shop").service(always("a").replicas(3)).service(always("b")).build();
        world.insist(|| up(&stack));
        world.run_for(Duration::from_secs(120));
        world.calm();
        world.run_for(Duration::from_secs(120));
        for service in ["a", "b"] {
            let expected = if service == "a" { 3 } else { 1 };
            let runs = world.alive().filter(|(_, run)| run.slot.service == name(service)).count();
            if runs != expected {
                world.fail(&format!("{runs} of {service} run"));
            }
        }
        assert_eq!(world.insist(down).outcome, Outcome::Converged, "seed {seed}");
        if world.left() != (0, 0, 0) || world.alive().count() > 0 {
            world.fail(&format!("something is left: {:?}", world.left()));
        }
    }
}

#[test]
fn a_second_up_changes_nothing() {
    for seed in seeds().take(50) {
        let mut world = World::new(seed, Faults::NONE, BTreeMap::new());
        let stack = stack("shop")
            .service(service("db").checked())
            .service(service("web").needs("db", Condition::ServiceHealthy).replicas(2))
            .build();
        let op = world.up(&stack, UpOptions::default());
        let Ended::Verdict(first) = world.until_ended(op) else { panic!("no verdict") };
        assert_eq!((first.outcome, first.changed), (Outcome::Converged, 4), "a network and three instances");
        let before = world.agent().unwrap().spec().clone();
        let op = world.up(&stack, UpOptions::default());
        let Ended::Verdict(second) = world.until_ended(op) else { panic!("no verdict") };
        assert_eq!((second.outcome, second.changed), (Outcome::Converged, 0));
        assert_eq!(*world.agent().unwrap().spec(), before);
    }
}
