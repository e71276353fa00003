//! Anonymous volumes go to the next instance of their slot.

mod common;

use common::{Cluster, now};
use expect_test::expect;
use hoist_model::{Mount, MountKind, UpdateOrder};
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::host::Step;
use hoist_planner::host::StepResult;
use hoist_planner::project::{AllWell, Oracle};
use hoist_testbed::builder::{ServiceBuilder, service, stack};

fn anonymous(target: &str) -> Mount {
    Mount { target: target.into(), kind: MountKind::Anonymous, read_only: false, options: Vec::new() }
}

fn db(version: &str) -> ServiceBuilder {
    service("db").port(5432, 5432).env("VERSION", version).with(|service| {
        service.mounts = vec![anonymous("/other"), anonymous("/data")];
    })
}

fn up(cluster: &mut Cluster, service: ServiceBuilder) -> String {
    cluster.up(&stack("shop").service(service).build()).text()
}

#[test]
fn they_are_moved_between_the_end_of_the_old_one_and_the_start_of_the_new_one() {
    let mut cluster = Cluster::new();
    up(&mut cluster, db("1"));
    let text = up(&mut cluster, db("2").with(|service| service.mounts = vec![anonymous("/data")]));
    expect![[r#"
        round 1
        db-1 0002: create, because it doesn't exist
        round 2
        db-1 0001: stop with SIGTERM, because it is replaced
        db-1 0002: waiting for the old shop-db-1 to stop
        round 3
        db-1 0002: carry volumes of 000100000000, because it takes over the anonymous volumes of its slot
        round 4
        db-1 0001: remove, because it is no longer wanted
        db-1 0002: start 1, because not started yet
    "#]]
    .assert_eq(&text);
    assert_eq!(cluster.host.observed().instances.len(), 1, "the old one is removed afterwards");
}

#[test]
fn with_start_first_they_are_shared_until_the_old_one_ends() {
    let mut cluster = Cluster::new();
    let first = |version| db(version).with(|service| service.update_order = UpdateOrder::StartFirst);
    up(&mut cluster, first("1"));
    let text = up(&mut cluster, first("2"));
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is not in {text}"));
    assert!(place("carry volumes") < place("start 1") && place("start 1") < place("stop with"), "{text}");
}

#[test]
fn a_person_can_have_new_ones() {
    let mut cluster = Cluster::new();
    up(&mut cluster, db("1"));
    let renew = UpOptions { renew_volumes: true, ..UpOptions::default() };
    let text = cluster.up_with(&stack("shop").service(db("2")).build(), &renew, &mut AllWell).text();
    assert!(!text.contains("carry"), "{text}");
    assert!(up(&mut cluster, db("3")).contains("carry"), "only that time");
}

/// Nothing can be moved.
struct Stuck;

impl Oracle for Stuck {
    fn step(&mut self, step: &Step) -> StepResult {
        match step {
            Step::CarryVolumes { .. } => Err(hoist_planner::host::StepError {
                what: "the disk is broken".to_owned(),
                hint: None,
                permanent: true,
            }),
            _ => AllWell.step(step),
        }
    }
}

#[test]
fn what_cannot_be_moved_is_not_removed() {
    let mut cluster = Cluster::new();
    up(&mut cluster, db("1"));
    let text =
        cluster.up_with(&stack("shop").service(db("2")).build(), &UpOptions::default(), &mut Stuck).text();
    assert!(!text.contains("remove") && !text.contains("0002: start"), "{text}");
    assert_eq!(cluster.host.observed().instances.len(), 2);
    assert!(cluster.host.report(&now()).failures.iter().any(|failure| failure.permanent));
}
