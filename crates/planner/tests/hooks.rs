//! Hooks: when they run, what waits for them, and what their failures mean.

mod common;

use common::{Cluster, now};
use expect_test::expect;
use hoist_model::{Condition, Dependency, Exit, Hook, HookMoment, Phase};
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::host::{Instance, Step, StepError, StepResult};
use hoist_planner::project::{AllWell, Fate, Oracle};
use hoist_testbed::builder::{ServiceBuilder, service, stack};

fn hook() -> Hook {
    Hook { command: vec!["true".to_owned()], ..Hook::default() }
}

fn web(version: &str) -> ServiceBuilder {
    service("web").port(80, 8080).env("VERSION", version).with(|service| {
        service.hooks.post_start = vec![hook(), hook()];
        service.hooks.pre_stop = vec![hook()];
    })
}

/// Hooks of one moment fail.
struct Failing {
    moment: HookMoment,
    permanent: bool,
}

impl Oracle for Failing {
    fn step(&mut self, step: &Step) -> StepResult {
        match step {
            Step::RunHook { moment, .. } if *moment == self.moment => {
                Err(StepError { what: "it exits with 3".to_owned(), hint: None, permanent: self.permanent })
            }
            _ => AllWell.step(step),
        }
    }
}

#[test]
fn what_depends_on_it_waits_for_its_hooks_and_pre_stop_comes_before_the_signal() {
    let with = |version: &str| {
        stack("shop")
            .service(web(version))
            .service(service("job").needs("web", Condition::ServiceStarted))
            .build()
    };
    let mut cluster = Cluster::new();
    let first = cluster.up(&with("1")).text();
    let second = cluster.up(&with("2")).text();
    expect![[r#"
        round 1
        network shop_default: create, because the spec has it
        job-1 0001: waiting for network shop_default
        web-1 0002: waiting for network shop_default
        round 2
        job-1 0001: create, because it doesn't exist
        web-1 0002: create, because it doesn't exist
        round 3
        web-1 0002: start 1, because not started yet
        job-1 0001: waiting for web to be started
        round 4
        web-1 0002: run post_start hook 1, because it has started
        job-1 0001: waiting for web to be started
        round 5
        web-1 0002: run post_start hook 2, because it has started
        job-1 0001: waiting for web to be started
        round 6
        job-1 0001: start 1, because not started yet
    "#]]
    .assert_eq(&first);
    expect![[r#"
        round 1
        web-1 0003: create, because it doesn't exist
        round 2
        web-1 0003: start 1, because not started yet
        round 3
        web-1 0003: run post_start hook 1, because it has started
        round 4
        web-1 0003: run post_start hook 2, because it has started
        round 5
        web-1 0002: run pre_stop hook 1, because it is about to end
        round 6
        web-1 0002: stop with SIGTERM, because it is replaced
        round 7
        web-1 0002: remove, because it is no longer wanted
    "#]]
    .assert_eq(&second);
}

#[test]
fn a_failed_post_start_is_a_failure_that_a_person_sees_to() {
    let mut cluster = Cluster::new();
    let shop = |version| stack("shop").service(web(version)).build();
    let mut failing = Failing { moment: HookMoment::PostStart, permanent: true };
    cluster.up_with(&shop("1"), &UpOptions::default(), &mut failing);
    let report = cluster.host.report(&now());
    let [failure] = &report.failures[..] else { panic!("{:?}", report.failures) };
    assert!(failure.permanent && failure.what == "it exits with 3", "{failure:?}");
    let seen = report.instances.values().next().expect("it runs");
    assert!(seen.hooks_pending && seen.phase == Phase::Running);
    assert_eq!(seen.unready.as_deref(), Some("its post_start hooks to pass"));
    let again = cluster.up(&shop("1"));
    assert!(cluster.host.report(&now()).failures.is_empty(), "{}", again.text());
    assert!(cluster.host.observed().instances.values().all(Instance::is_hooked));
}

#[test]
fn a_failed_pre_stop_holds_up_no_end() {
    for permanent in [true, false] {
        let mut cluster = Cluster::new();
        cluster.up(&stack("shop").service(web("1")).build());
        let mut failing = Failing { moment: HookMoment::PreStop, permanent };
        let projection =
            cluster.up_with(&stack("shop").service(web("2")).build(), &UpOptions::default(), &mut failing);
        assert!(projection.quiet, "{}", projection.text());
        assert_eq!(cluster.host.observed().instances.len(), 1, "{}", projection.text());
    }
}

/// A `pre_start` step, and how often it ran.
struct Counted(u32);

impl Oracle for Counted {
    fn run(&mut self, slot: &hoist_model::Slot, _attempt: u32) -> Fate {
        if slot.service.as_str() != "step" {
            return Fate::Runs { healthy: true };
        }
        self.0 += 1;
        Fate::Ends(Exit::Code(0))
    }
}

#[test]
fn a_step_before_the_start_runs_again_only_when_it_is_another() {
    let with = |version: &str, step: &str| {
        let completed =
            Dependency { condition: Condition::ServiceCompletedSuccessfully, ..Dependency::default() };
        let of = hoist_testbed::builder::name("web");
        let step = service("step").env("STEP", step).with(|service| service.step_of = Some(of));
        stack("shop").service(web(version).depends("step", completed)).service(step).build()
    };
    let mut cluster = Cluster::new();
    let mut counted = Counted(0);
    let mut ran = |cluster: &mut Cluster, version, step| {
        counted.0 = 0;
        cluster.up_with(&with(version, step), &UpOptions::default(), &mut counted);
        // The oracle is asked about a run when it starts, and when it is probed or watched.
        counted.0.min(1)
    };
    assert_eq!(ran(&mut cluster, "1", "a"), 1);
    assert_eq!(ran(&mut cluster, "1", "a"), 0, "it is done");
    assert_eq!(ran(&mut cluster, "2", "a"), 0, "it is done for the next version too");
    assert_eq!(ran(&mut cluster, "2", "b"), 1, "it is another");
    let warned = {
        let alone = stack("shop").service(web("2")).build();
        cluster.up(&alone);
        cluster.host.observed().instances.len()
    };
    assert_eq!(warned, 1, "a step that left the file goes with it");
}
