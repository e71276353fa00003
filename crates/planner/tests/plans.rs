//! Plans as text: what happens, in which order, and why.

mod common;

use common::Cluster;
use expect_test::expect;
use hoist_model::{Condition, Exit, RestartPolicy, RunIntent, Slot};
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::project::{AllWell, Fate, Oracle};
use hoist_testbed::builder::{id, name, service, stack};

struct Job;

impl Oracle for Job {
    fn run(&mut self, slot: &Slot, _attempt: u32) -> Fate {
        if slot.service == name("migrate") { Fate::Ends(Exit::Code(0)) } else { Fate::Runs { healthy: true } }
    }
}

fn shop(version: &str) -> hoist_model::Stack {
    stack("shop")
        .service(service("db").checked().volume("data", "/data"))
        .service(service("migrate").needs("db", Condition::ServiceHealthy).env("VERSION", version))
        .service(
            service("web")
                .needs("migrate", Condition::ServiceCompletedSuccessfully)
                .replicas(2)
                .port(80, 80)
                .restart(RestartPolicy::Always),
        )
        .build()
}

#[test]
fn a_stack_comes_up_in_the_order_of_its_gates() {
    let mut cluster = Cluster::new();
    let projection = cluster.up_with(&shop("1"), &UpOptions::default(), &mut Job);
    expect![[r#"
        round 1
        network shop_default: create, because the spec has it
        volume shop_data: create, because the spec has it
        db-1 0001: waiting for network shop_default
        migrate-1 0002: waiting for network shop_default
        web-1 0003: waiting for network shop_default
        web-2 0004: waiting for network shop_default
        round 2
        db-1 0001: create, because it doesn't exist
        migrate-1 0002: create, because it doesn't exist
        web-1 0003: create, because it doesn't exist
        web-2 0004: create, because it doesn't exist
        round 3
        db-1 0001: start 1, because not started yet
        migrate-1 0002: waiting for db to be healthy
        web-1 0003: waiting for migrate to be completed successfully
        web-2 0004: waiting for migrate to be completed successfully
        round 4
        migrate-1 0002: start 1, because not started yet
        web-1 0003: waiting for migrate to be completed successfully
        web-2 0004: waiting for migrate to be completed successfully
        round 5
        web-1 0003: start 1, because not started yet
        web-2 0004: start 1, because not started yet
    "#]]
    .assert_eq(&projection.text());
}

#[test]
fn a_changed_job_is_replaced_and_runs_before_anything_else() {
    let mut cluster = Cluster::new();
    cluster.up_with(&shop("1"), &UpOptions::default(), &mut Job);
    let projection = cluster.up_with(&shop("2"), &UpOptions::default(), &mut Job);
    expect![[r#"
        round 1
        migrate-1 0002: remove, because it is no longer wanted
        migrate-1 0005: create, because it doesn't exist
        round 2
        migrate-1 0005: start 1, because not started yet
    "#]]
    .assert_eq(&projection.text());
}

#[test]
fn a_job_that_others_wait_for_runs_again_only_when_it_changed_failed_or_is_named() {
    let mut cluster = Cluster::new();
    cluster.up_with(&shop("1"), &UpOptions::default(), &mut Job);
    let again = cluster.up_with(&shop("1"), &UpOptions::default(), &mut Job);
    expect![""].assert_eq(&again.text());
    let wanted = &cluster.wanted[&id("shop")];
    let stopped = hoist_planner::cluster::intent::stop(wanted, &id("shop"), &[], &cluster.view).unwrap();
    cluster.wanted.insert(id("shop"), stopped.wanted);
    cluster.settle(&mut Job);
    let started = cluster.up_with(&shop("1"), &UpOptions::default(), &mut Job).text();
    assert!(
        started.contains("db-1 0001: start 2") && !started.contains("migrate-1 0002: start"),
        "{started}"
    );
    let named = UpOptions { services: vec![name("migrate")], ..UpOptions::default() };
    let named = cluster.up_with(&shop("1"), &named, &mut Job).text();
    assert!(named.contains("migrate-1 0002: start 2"), "{named}");
}

#[test]
fn everything_goes_in_reverse_order() {
    let mut cluster = Cluster::new();
    cluster.up_with(&shop("1"), &UpOptions::default(), &mut Job);
    let wanted = cluster.wanted.get_mut(&id("shop")).unwrap();
    wanted.intents.values_mut().for_each(|intent| intent.run = RunIntent::Absent);
    wanted.removal = Some(hoist_model::Removal { volumes: true });
    let projection = cluster.settle(&mut AllWell);
    expect![[r#"
        round 1
        web-1 0003: stop with SIGTERM, because it is no longer wanted
        web-2 0004: stop with SIGTERM, because it is no longer wanted
        db-1 0001: waiting for web to stop first
        round 2
        db-1 0001: stop with SIGTERM, because it is no longer wanted
        migrate-1 0002: remove, because it is no longer wanted
        web-1 0003: remove, because it is no longer wanted
        web-2 0004: remove, because it is no longer wanted
        round 3
        db-1 0001: remove, because it is no longer wanted
        round 4
        network shop_default: remove, because nothing uses it
        volume shop_data: remove, because a person asked for it
    "#]]
    .assert_eq(&projection.text());
}

#[test]
fn a_restart_stops_dependents_first_and_starts_them_last() {
    let mut cluster = Cluster::new();
    cluster.up_with(&shop("1"), &UpOptions::default(), &mut Job);
    let wanted = cluster.wanted.get_mut(&id("shop")).unwrap();
    wanted.intents.values_mut().for_each(|intent| intent.restart_nonce += 1);
    let projection = cluster.settle(&mut Job);
    expect![[r#"
        round 1
        web-1 0003: stop with SIGTERM, because a person asked for a restart
        web-2 0004: stop with SIGTERM, because a person asked for a restart
        db-1 0001: waiting for web to stop first
        migrate-1 0002: waiting for db to be healthy
        round 2
        db-1 0001: stop with SIGTERM, because a person asked for a restart
        migrate-1 0002: waiting for db to be healthy
        web-1 0003: waiting for migrate to be completed successfully
        web-2 0004: waiting for migrate to be completed successfully
        round 3
        db-1 0001: start 2, because a person asked for a restart
        migrate-1 0002: waiting for db to be healthy
        web-1 0003: waiting for migrate to be completed successfully
        web-2 0004: waiting for migrate to be completed successfully
        round 4
        migrate-1 0002: start 2, because a person asked for a restart
        web-1 0003: waiting for migrate to be completed successfully
        web-2 0004: waiting for migrate to be completed successfully
        round 5
        web-1 0003: start 2, because a person asked for a restart
        web-2 0004: start 2, because a person asked for a restart
    "#]]
    .assert_eq(&projection.text());
}

#[test]
fn what_waits_says_for_what() {
    struct Sick;
    impl Oracle for Sick {
        fn run(&mut self, _slot: &Slot, _attempt: u32) -> Fate {
            Fate::Runs { healthy: false }
        }
    }
    let mut cluster = Cluster::new();
    let projection = cluster.up_with(&shop("1"), &UpOptions::default(), &mut Sick);
    let input = hoist_planner::host::HostInput {
        spec: projection.host.spec(),
        endpoints: projection.host.endpoints(),
        observed: projection.host.observed(),
        now: &projection.end.moment,
    };
    expect![[r#"
        migrate-1 0002: waiting for db to be healthy
        web-1 0003: waiting for migrate to be completed successfully
        web-2 0004: waiting for migrate to be completed successfully
        migrate-1: dependency failed to start: container shop-db-1 is unhealthy
    "#]]
    .assert_eq(&projection.host.plan().text(&input));
}
