//! What people ask for, and the verdict they get: one obligation each, through both real loops.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::{
    Condition, Dependency, Exit, InstanceUid, Outcome, RestartPolicy, ServiceName, Stack, Verdict,
};
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::cluster::{RefusalKind, Request};
use hoist_testbed::builder::{ServiceBuilder, StackBuilder, id, name, service, stack};
use hoist_testbed::sim::{Behaviour, Ended, Faults, World};

fn world() -> World {
    World::new(7, Faults::NONE, BTreeMap::new())
}

fn shop() -> StackBuilder {
    stack("shop")
}

fn up(world: &mut World, stack: &Stack, options: UpOptions) -> Verdict {
    let op = world.up(stack, options);
    verdict(world, op)
}

fn verdict(world: &mut World, op: hoist_planner::cluster::OpId) -> Verdict {
    match world.until_ended(op) {
        Ended::Verdict(verdict) => verdict,
        other => panic!("no verdict: {other:?}"),
    }
}

fn converged(verdict: &Verdict) -> u32 {
    assert_eq!(verdict.outcome, Outcome::Converged);
    verdict.changed
}

fn failures(verdict: &Verdict) -> Vec<String> {
    match &verdict.outcome {
        Outcome::Failed(failures) => failures.iter().map(|failure| failure.what.clone()).collect(),
        other => panic!("not failed: {other:?}"),
    }
}

fn ask(world: &mut World, request: Request) -> Verdict {
    let op = world.ask(request);
    verdict(world, op)
}

fn stop(services: &[&str]) -> Request {
    Request::Stop { stack: id("shop"), services: services.iter().map(|s| name(s)).collect(), timeout: None }
}

fn down(volumes: bool) -> Request {
    Request::Down { stack: id("shop"), services: Vec::new(), volumes, timeout: None }
}

/// The living instances of each service.
fn instances(world: &World) -> BTreeMap<ServiceName, Vec<InstanceUid>> {
    let mut found: BTreeMap<ServiceName, Vec<InstanceUid>> = BTreeMap::new();
    for (uid, run) in world.alive() {
        found.entry(run.slot.service.clone()).or_default().push(uid);
    }
    found
}

fn only(services: &[&str]) -> UpOptions {
    UpOptions { services: services.iter().map(|s| name(s)).collect(), ..UpOptions::default() }
}

fn three(change: impl FnOnce(ServiceBuilder) -> ServiceBuilder) -> Stack {
    shop()
        .service(service("db"))
        .service(change(service("api").needs("db", Condition::ServiceStarted)))
        .service(service("web").needs("api", Condition::ServiceStarted))
        .build()
}

#[test]
fn a_changed_environment_replaces_that_service_alone() {
    let mut world = world();
    up(&mut world, &three(|api| api), UpOptions::default());
    let before = instances(&world);
    let verdict = up(&mut world, &three(|api| api.env("A", "1")), UpOptions::default());
    assert_eq!(converged(&verdict), 1);
    let after = instances(&world);
    assert_eq!((&before[&name("db")], &before[&name("web")]), (&after[&name("db")], &after[&name("web")]));
    assert_ne!(before[&name("api")], after[&name("api")]);
}

#[test]
fn what_recreates_nothing_changes_nothing() {
    let mut world = world();
    up(&mut world, &three(|api| api), UpOptions::default());
    let changed = three(|api| api.restart(RestartPolicy::Always).with(|api| api.attach = false));
    assert_eq!(converged(&up(&mut world, &changed, UpOptions::default())), 0);
}

#[test]
fn up_of_one_service_moves_it_and_its_dependencies() {
    let mut world = world();
    up(&mut world, &three(|api| api), only(&["api"]));
    assert_eq!(instances(&world).keys().cloned().collect::<Vec<_>>(), [name("api"), name("db")]);
    up(&mut world, &three(|api| api), UpOptions { no_deps: true, ..only(&["web"]) });
    assert_eq!(instances(&world).len(), 3);
}

#[test]
fn an_unknown_service_is_refused_and_nothing_is_changed() {
    let mut world = world();
    let op = world.up(&three(|api| api), only(&["apo"]));
    let Ended::Refused(refusal) = world.until_ended(op) else { panic!("not refused") };
    assert_eq!(
        (refusal.kind, refusal.message.as_str()),
        (RefusalKind::NotFound, "stack shop has no service apo")
    );
    assert!(world.orchestrator().stacks().is_empty());
}

#[test]
fn stop_holds_and_up_starts_again() {
    let mut world = world();
    let stack = three(|api| api.restart(RestartPolicy::Always));
    up(&mut world, &stack, UpOptions::default());
    assert_eq!(converged(&ask(&mut world, stop(&["api"]))), 1);
    world.run_for(Duration::from_secs(120));
    assert!(!world.runs("shop", "api"));
    let before = instances(&world);
    assert_eq!(converged(&up(&mut world, &stack, UpOptions::default())), 1);
    assert!(world.runs("shop", "api"));
    assert_eq!(before[&name("web")], instances(&world)[&name("web")], "what runs stays");
}

#[test]
fn restart_travels_along_depends_on_restart() {
    let mut world = world();
    let asking = Dependency { condition: Condition::ServiceStarted, restart: true, required: true };
    let stack = shop()
        .service(service("db"))
        .service(service("api").depends("db", asking))
        .service(service("web").needs("db", Condition::ServiceStarted))
        .build();
    up(&mut world, &stack, UpOptions::default());
    let restart =
        |no_deps| Request::Restart { stack: id("shop"), services: vec![name("db")], no_deps, timeout: None };
    assert_eq!(converged(&ask(&mut world, restart(false))), 2);
    let launches = |world: &World| ["db", "api", "web"].map(|service| world.launches("shop", service));
    assert_eq!(launches(&world), [2, 2, 1]);
    ask(&mut world, restart(true));
    assert_eq!(launches(&world), [3, 2, 1]);
    world.crash("db", Exit::Code(1));
    world.run_for(Duration::from_secs(5));
    assert_eq!(launches(&world), [3, 2, 1], "a crash doesn't travel");
}

#[test]
fn scale_lasts_until_the_next_up() {
    let mut world = world();
    let stack = three(|api| api);
    let scale = UpOptions { scale: BTreeMap::from([(name("api"), 3)]), ..UpOptions::default() };
    up(&mut world, &stack, scale);
    assert_eq!(instances(&world)[&name("api")].len(), 3);
    assert_eq!(converged(&up(&mut world, &stack, UpOptions::default())), 2);
    assert_eq!(instances(&world)[&name("api")].len(), 1);
}

#[test]
fn a_service_that_left_the_file_stays_until_orphans_are_removed() {
    let mut world = world();
    up(&mut world, &three(|api| api), UpOptions::default());
    let smaller = shop().service(service("db")).build();
    assert_eq!(converged(&up(&mut world, &smaller, UpOptions::default())), 0);
    assert_eq!(instances(&world).len(), 3);
    let verdict = up(&mut world, &smaller, UpOptions { remove_orphans: true, ..UpOptions::default() });
    assert_eq!(converged(&verdict), 2, "the verdict comes when they have gone");
    assert_eq!(instances(&world).len(), 1);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.orchestrator().stacks()[&id("shop")].intents.len(), 1);
}

#[test]
fn force_recreate_replaces_the_unchanged_once() {
    let mut world = world();
    let stack = three(|api| api);
    up(&mut world, &stack, UpOptions::default());
    let before = instances(&world);
    up(&mut world, &stack, UpOptions { force_recreate: true, ..only(&["api"]) });
    let after = instances(&world);
    assert_ne!(before[&name("api")], after[&name("api")]);
    assert_eq!(before[&name("db")], after[&name("db")]);
    assert_eq!(converged(&up(&mut world, &stack, UpOptions::default())), 0);
}

#[test]
fn no_start_makes_and_does_not_start() {
    let mut world = world();
    let stack = three(|api| api.restart(RestartPolicy::Always));
    let verdict = up(&mut world, &stack, UpOptions { no_start: true, ..UpOptions::default() });
    assert_eq!(converged(&verdict), 4, "a network and three instances");
    world.reboot();
    world.run_for(Duration::from_secs(10));
    assert_eq!(instances(&world).len(), 0, "what never ran isn't started by a reboot");
    up(&mut world, &stack, UpOptions::default());
    assert_eq!(instances(&world).len(), 3);
}

#[test]
fn down_leaves_volumes_and_down_v_leaves_nothing() {
    let mut world = world();
    let stack = shop().service(service("db").volume("data", "/data")).build();
    up(&mut world, &stack, UpOptions::default());
    assert_eq!(converged(&ask(&mut world, down(false))), 2);
    assert_eq!(world.left(), (0, 0, 1));
    up(&mut world, &stack, UpOptions::default());
    assert_eq!(converged(&ask(&mut world, down(true))), 3);
    assert_eq!(world.left(), (0, 0, 0));
    assert!(world.orchestrator().stacks().is_empty());
    assert_eq!(converged(&ask(&mut world, down(true))), 0, "nothing to remove is no error");
}

#[test]
fn a_prune_takes_the_volumes_that_no_stack_names() {
    let mut world = world();
    let stack = shop().service(service("db").volume("data", "/data")).build();
    up(&mut world, &stack, UpOptions::default());
    world.prune_volumes();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.left().2, 1, "a stack names it");
    ask(&mut world, down(false));
    assert_eq!(world.left(), (0, 0, 1));
    world.prune_volumes();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.left(), (0, 0, 0));
    // What was pruned once is nothing to remove for ever.
    up(&mut world, &stack, UpOptions::default());
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.left().2, 1);
}

#[test]
fn dependents_stop_before_what_they_depend_on() {
    let mut world = world();
    let stack = three(|api| api);
    world.behave("web", Behaviour { stops_after: Some(Duration::from_secs(3)), ..Behaviour::default() });
    up(&mut world, &stack, UpOptions::default());
    world.ask(stop(&[]));
    world.run_for(Duration::from_secs(2));
    assert!(world.runs("shop", "db") && world.runs("shop", "api") && world.runs("shop", "web"));
    world.run_for(Duration::from_secs(3));
    assert_eq!(instances(&world).len(), 0);
}

#[test]
fn what_ignores_its_signal_is_killed_after_its_grace_period_or_the_persons() {
    let deaf = Behaviour { stops_after: None, ..Behaviour::default() };
    for (timeout, after) in
        [(None, 10), (Some(Duration::from_secs(2)), 2), (Some(Duration::from_secs(25)), 25)]
    {
        let mut world = world();
        world.behave("db", deaf.clone());
        up(&mut world, &shop().service(service("db")).build(), UpOptions::default());
        world.ask(Request::Stop { stack: id("shop"), services: Vec::new(), timeout });
        world.run_for(Duration::from_secs(after) - Duration::from_millis(100));
        assert!(world.runs("shop", "db"));
        world.run_for(Duration::from_millis(500));
        assert!(!world.runs("shop", "db"));
    }
}

#[test]
fn a_sick_dependency_fails_up_by_name() {
    let mut world = world();
    world.behave("db", Behaviour::sick());
    let stack = shop()
        .service(service("db").checked())
        .service(service("web").needs("db", Condition::ServiceHealthy))
        .build();
    let verdict = up(&mut world, &stack, UpOptions::default());
    assert_eq!(failures(&verdict), ["dependency failed to start: container shop-db-1 is unhealthy"]);
    // It heals; what was wanted comes about without being asked for again.
    world.behave("db", Behaviour::default());
    world.run_for(Duration::from_secs(5));
    assert!(world.runs("shop", "web"));
}

#[test]
fn a_failed_job_fails_up_by_name_and_the_next_up_runs_it_again() {
    let mut world = world();
    world.behave("job", Behaviour::job(3));
    let stack = shop()
        .service(service("job"))
        .service(service("web").needs("job", Condition::ServiceCompletedSuccessfully))
        .build();
    let verdict = up(&mut world, &stack, UpOptions::default());
    assert_eq!(
        failures(&verdict),
        ["dependency failed to start: container shop-job-1 didn't complete successfully: exited with code 3"]
    );
    world.behave("job", Behaviour::job(0));
    converged(&up(&mut world, &stack, UpOptions::default()));
    assert!(world.runs("shop", "web"));
}

#[test]
fn an_optional_dependency_that_fails_holds_nothing_up() {
    let mut world = world();
    world.behave("job", Behaviour::job(3));
    let optional =
        Dependency { condition: Condition::ServiceCompletedSuccessfully, restart: false, required: false };
    let stack = shop().service(service("job")).service(service("web").depends("job", optional)).build();
    converged(&up(&mut world, &stack, UpOptions::default()));
    assert!(world.runs("shop", "web"));
}

#[test]
fn wait_means_healthy_or_completed() {
    let wait = UpOptions { wait: true, ..UpOptions::default() };
    let stack = shop().service(service("db").checked()).service(service("job")).build();
    for (db, job, expected) in [
        (Behaviour::default(), Behaviour::job(0), Vec::new()),
        (Behaviour::sick(), Behaviour::job(0), vec!["container shop-db-1 is unhealthy"]),
        (Behaviour::default(), Behaviour::job(2), vec!["container shop-job-1 exited with code 2"]),
    ] {
        let mut world = world();
        world.behave("db", db);
        world.behave("job", job);
        let verdict = up(&mut world, &stack, wait.clone());
        if expected.is_empty() {
            converged(&verdict);
        } else {
            assert_eq!(failures(&verdict), expected);
        }
    }
}

#[test]
fn wait_fails_for_what_dies_at_once_each_time_anew() {
    let wait = UpOptions { wait: true, ..UpOptions::default() };
    let brief =
        |code| Behaviour { ends: Some((Duration::from_millis(200), Exit::Code(code))), ..Behaviour::job(0) };
    for (policy, expected) in [
        (RestartPolicy::No, "container shop-job-1 exited with code 4"),
        (RestartPolicy::UnlessStopped, "container shop-job-1 exited with code 4 and is restarting"),
    ] {
        let mut world = world();
        world.behave("job", brief(4));
        let stack = shop().service(service("job").restart(policy)).build();
        for round in 0..3 {
            assert_eq!(failures(&up(&mut world, &stack, wait.clone())), [expected], "{policy:?}, {round}");
        }
        world.behave("job", Behaviour::default());
        world.run_for(Duration::from_secs(5));
        converged(&up(&mut world, &stack, wait.clone()));
    }
}

#[test]
fn wait_takes_no_time_for_what_has_been_up_for_long() {
    let wait = UpOptions { wait: true, ..UpOptions::default() };
    let mut world = world();
    let stack = shop().service(service("web")).build();
    let began = world.clock();
    converged(&up(&mut world, &stack, wait.clone()));
    assert!(world.clock() - began >= Duration::from_secs(1), "it was seen to stay up");
    let began = world.clock();
    converged(&up(&mut world, &stack, wait));
    assert!(world.clock() - began < Duration::from_secs(1));
}

#[test]
fn a_program_that_cannot_be_launched_fails_up_at_once() {
    let mut world = world();
    world.behave("web", Behaviour { broken: true, ..Behaviour::default() });
    let stack = shop().service(service("web")).build();
    assert_eq!(failures(&up(&mut world, &stack, UpOptions::default())), ["no such program"]);
    world.behave("web", Behaviour::default());
    converged(&up(&mut world, &stack, UpOptions::default()));
}

#[test]
fn a_port_that_another_stack_has_is_an_error_that_names_it() {
    let mut world = world();
    up(&mut world, &shop().service(service("web").port(80, 80)).build(), UpOptions::default());
    let other = stack("blog").service(service("front").port(80, 8080)).build();
    let verdict = up(&mut world, &other, UpOptions::default());
    assert_eq!(
        failures(&verdict),
        ["service front wants host port 80/tcp, which service web of stack shop has"]
    );
    assert_eq!(world.orchestrator().stacks().len(), 1, "nothing was changed");
    ask(&mut world, stop(&["web"]));
    converged(&up(&mut world, &other, UpOptions::default()));
}

#[test]
fn an_external_network_is_shared_and_goes_with_its_last_user() {
    let mut world = world();
    let guest = stack("guest")
        .service(service("app").network("lan"))
        .network("lan", |network| {
            network.external = true;
            network.id = "shop_default".parse().unwrap();
        })
        .build();
    let verdict = up(&mut world, &guest, UpOptions::default());
    assert_eq!(failures(&verdict), ["network shop_default is external, but no stack declares it"]);
    up(&mut world, &shop().service(service("web")).build(), UpOptions::default());
    converged(&up(&mut world, &guest, UpOptions::default()));
    converged(&ask(&mut world, down(true)));
    assert!(world.runs("guest", "app"));
    assert_eq!(world.left(), (1, 1, 0));
    let request = Request::Down { stack: id("guest"), services: Vec::new(), volumes: false, timeout: None };
    converged(&ask(&mut world, request));
    // It belongs to a stack that is gone: nobody's verdict waits for its removal.
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.left(), (0, 0, 0));
}

#[test]
fn a_newer_change_supersedes_an_older() {
    let mut world = world();
    world.behave("db", Behaviour::sick());
    let stack = shop()
        .service(service("db").checked())
        .service(service("web").needs("db", Condition::ServiceHealthy))
        .build();
    let first = world.up(&stack, UpOptions::default());
    world.run_for(Duration::from_secs(1));
    let second = world.ask(down(false));
    assert_eq!(verdict(&mut world, second).outcome, Outcome::Converged);
    assert_eq!(verdict(&mut world, first).outcome, Outcome::Superseded);
}

#[test]
fn addresses_stay_with_those_who_stay() {
    let mut world = world();
    up(&mut world, &three(|api| api), UpOptions::default());
    let addresses = |world: &World| {
        let spec = world.agent().unwrap().spec().clone();
        let of = |service: &str| {
            let mut all = spec.instances.values();
            all.find(|i| i.slot.service == name(service)).map(|i| i.addresses.clone()).unwrap()
        };
        (of("db"), of("api"), of("web"))
    };
    let before = addresses(&world);
    up(&mut world, &three(|api| api.env("A", "1")), UpOptions::default());
    let after = addresses(&world);
    assert_eq!((&before.0, &before.2), (&after.0, &after.2));
    assert_ne!(before.1, after.1, "the old one still had it when the new one was planned");
}

#[test]
fn a_port_of_another_program_fails_up_and_is_taken_once_it_is_free() {
    let mut world = world();
    world.foreign_port(80, true);
    let stack = shop().service(service("web").port(80, 80)).build();
    let verdict = up(&mut world, &stack, UpOptions::default());
    assert_eq!(failures(&verdict), ["another program has host port 80"]);
    assert!(!world.runs("shop", "web"), "what can't be reached isn't started");
    world.foreign_port(80, false);
    world.run_for(Duration::from_secs(10));
    assert!(world.runs("shop", "web"), "it is tried again without being asked for");
}

#[test]
fn asking_again_tries_a_refused_port_at_once() {
    let mut world = world();
    world.foreign_port(80, true);
    let stack = shop().service(service("web").port(80, 80)).build();
    failures(&up(&mut world, &stack, UpOptions::default()));
    world.foreign_port(80, false);
    converged(&up(&mut world, &stack, UpOptions::default()));
}

#[test]
fn a_refused_port_is_held_against_nobody_who_goes() {
    let mut world = world();
    world.foreign_port(80, true);
    let stack = shop().service(service("web").port(80, 80)).build();
    failures(&up(&mut world, &stack, UpOptions::default()));
    converged(&ask(&mut world, down(true)));
    assert_eq!(world.left(), (0, 0, 0));
}
