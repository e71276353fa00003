//! History of a stack, and the way back: what is kept, what is told, and what a rollback makes of it.

mod common;

use std::fmt::Write as _;

use common::Cluster;
use expect_test::{Expect, expect};
use hoist_model::{Author, Mount, MountKind, Revision, RevisionVerdict, RunIntent, Stack, WallTime};
use hoist_planner::cluster::intent::{self, UpOptions};
use hoist_planner::cluster::{Asked, Refusal, last_good, rollback};
use hoist_planner::project::{AllWell, Projection};
use hoist_testbed::builder::{ServiceBuilder, id, name, service, stack};

fn web(version: &str) -> ServiceBuilder {
    service("web").port(80, 8080).env("VERSION", version)
}

fn shop(version: &str) -> Stack {
    stack("shop").service(service("db").volume("data", "/data")).service(web(version)).build()
}

/// What the loop does with the verdict of an operation.
fn judged(cluster: &mut Cluster, verdict: RevisionVerdict) {
    let wanted = cluster.wanted.get_mut(&id("shop")).expect("it is up");
    wanted.history.last_entry().expect("it has a history").get_mut().verdict = verdict;
}

fn up(cluster: &mut Cluster, stack: &Stack) {
    cluster.up(stack);
    judged(cluster, RevisionVerdict::Succeeded);
}

fn asked() -> Asked {
    let by = Author { user: "anna".to_owned(), host: "desk".to_owned() };
    Asked { created: WallTime(7), by, command: "rollback".to_owned() }
}

fn back(cluster: &mut Cluster, to: Option<u64>) -> Result<Projection, Refusal> {
    let wanted = &cluster.wanted[&id("shop")];
    let applied = rollback(wanted, &id("shop"), to.map(Revision), None, asked(), &cluster.view)?;
    cluster.wanted.insert(id("shop"), applied.wanted);
    let projection = cluster.settle(&mut AllWell);
    judged(cluster, RevisionVerdict::Succeeded);
    Ok(projection)
}

fn history(cluster: &Cluster) -> String {
    let wanted = &cluster.wanted[&id("shop")];
    let mut text = String::new();
    for (number, entry) in &wanted.history {
        let kept = if wanted.revisions.contains_key(number) { "" } else { " (gone)" };
        let of = entry.of.map(|of| format!(" as {}", of.0)).unwrap_or_default();
        let _ = writeln!(
            text,
            "{}{kept}{of}: {}: {} by {}: {:?}",
            number.0,
            entry.command,
            entry.changes.join("; "),
            entry.by,
            entry.verdict
        );
    }
    text
}

fn shows(cluster: &Cluster, expected: &Expect) {
    expected.assert_eq(&history(cluster));
}

#[test]
fn history_tells_what_each_revision_changed() {
    let mut cluster = Cluster::new();
    up(&mut cluster, &shop("1"));
    up(&mut cluster, &shop("1"));
    let config = |content: &str, sensitive| Mount {
        target: "/etc/app.conf".into(),
        kind: MountKind::Content { content: content.into(), uid: 0, gid: 0, mode: 0o444, sensitive },
        read_only: true,
        options: Vec::new(),
    };
    let with = |content: &str| {
        let web = web("2").with(|web| web.mounts.push(config(content, true)));
        stack("shop").service(web).service(service("worker")).build()
    };
    let options = UpOptions { remove_orphans: true, services: vec![name("web")], ..UpOptions::default() };
    cluster.up_with(&with("one"), &options, &mut AllWell);
    judged(&mut cluster, RevisionVerdict::Failed { why: "web-1: it exited with 1".to_owned() });
    up(&mut cluster, &with("two"));
    shows(
        &cluster,
        &expect![[r#"
            1: up: +db; +web by unknown: Succeeded
            2: up web --remove-orphans: -db; web: environment, secrets by unknown: Failed { why: "web-1: it exited with 1" }
            3: up: web: secrets; +worker by unknown: Succeeded
        "#]],
    );
}

#[test]
fn going_back_replaces_only_what_differs_and_makes_a_new_revision() {
    let mut cluster = Cluster::new();
    up(&mut cluster, &shop("1"));
    up(&mut cluster, &shop("2"));
    let projection = back(&mut cluster, None).unwrap();
    expect![[r#"
        round 1
        web-1 0004: create, because it doesn't exist
        round 2
        web-1 0004: start 1, because not started yet
        round 3
        web-1 0003: stop with SIGTERM, because it is replaced
        round 4
        web-1 0003: remove, because it is no longer wanted
    "#]]
    .assert_eq(&projection.text());
    shows(
        &cluster,
        &expect![[r#"
            1: up: +db; +web by unknown: Succeeded
            2: up: web: environment by unknown: Succeeded
            3 as 1: rollback: web: environment by anna@desk: Succeeded
        "#]],
    );
    let wanted = &cluster.wanted[&id("shop")];
    assert_eq!(wanted.revisions[&Revision(3)].stack, shop("1"));
}

#[test]
fn going_back_again_goes_one_step_further() {
    let mut cluster = Cluster::new();
    for version in ["1", "2", "3"] {
        up(&mut cluster, &shop(version));
    }
    back(&mut cluster, None).unwrap();
    back(&mut cluster, None).unwrap();
    let wanted = &cluster.wanted[&id("shop")];
    assert_eq!(wanted.history[&Revision(5)].of, Some(Revision(1)));
    let refusal = back(&mut cluster, None).unwrap_err();
    expect!["stack shop has no earlier revision that succeeded and differs from the present one"]
        .assert_eq(&refusal.message);
    up(&mut cluster, &shop("4"));
    assert_eq!(last_good(&cluster.wanted[&id("shop")]), Some(Revision(5)));
}

#[test]
fn what_failed_is_left_out_and_told_to_be_rolled_back() {
    let mut cluster = Cluster::new();
    up(&mut cluster, &shop("1"));
    for version in ["2", "3"] {
        cluster.up(&shop(version));
        judged(&mut cluster, RevisionVerdict::Failed { why: format!("{version} is bad") });
    }
    assert_eq!(last_good(&cluster.wanted[&id("shop")]), Some(Revision(1)));
    back(&mut cluster, None).unwrap();
    shows(
        &cluster,
        &expect![[r#"
            1: up: +db; +web by unknown: Succeeded
            2: up: web: environment by unknown: Failed { why: "2 is bad" }
            3: up: web: environment by unknown: RolledBack { to: Revision(1), why: Some("3 is bad") }
            4 as 1: rollback: web: environment by anna@desk: Succeeded
        "#]],
    );
}

#[test]
fn the_last_that_succeeded_is_kept_however_many_failed_since() {
    let mut cluster = Cluster::new();
    up(&mut cluster, &shop("good"));
    for version in 0..30 {
        cluster.up(&shop(&version.to_string()));
        judged(&mut cluster, RevisionVerdict::Failed { why: "bad".to_owned() });
    }
    let wanted = &cluster.wanted[&id("shop")];
    let kept: Vec<u64> = wanted.revisions.keys().map(|number| number.0).collect();
    assert_eq!(kept, [1, 27, 28, 29, 30, 31]);
    assert_eq!(wanted.history.len(), 21);
    back(&mut cluster, None).unwrap();
    assert_eq!(cluster.wanted[&id("shop")].revisions[&Revision(32)].stack, shop("good"));
    let refusal = back(&mut cluster, Some(2)).unwrap_err();
    assert_eq!(refusal.message, "stack shop has no revision 2");
    let refusal = back(&mut cluster, Some(13)).unwrap_err();
    assert_eq!(refusal.message, "revision 13 of stack shop is no longer kept");
    assert!(refusal.hint.unwrap().starts_with("there are 1, 28, 29, 30, 31, 32;"));
}

#[test]
fn services_go_back_to_where_they_stood() {
    let mut cluster = Cluster::new();
    let of = |web: &str, db: &str| {
        let db = service("db").env("VERSION", db);
        stack("shop").service(db).service(self::web(web)).build()
    };
    let some = |service: &str| UpOptions { services: vec![name(service)], ..UpOptions::default() };
    up(&mut cluster, &of("1", "1"));
    cluster.up_with(&of("2", "2"), &some("web"), &mut AllWell);
    judged(&mut cluster, RevisionVerdict::Succeeded);
    let scaled = UpOptions { scale: [(name("web"), 3)].into(), ..UpOptions::default() };
    cluster.up_with(&of("3", "3"), &scaled, &mut AllWell);
    judged(&mut cluster, RevisionVerdict::Succeeded);
    let with_worker = Stack { services: of("4", "4").services, ..of("4", "4") };
    let mut with_worker = with_worker;
    with_worker.services.extend(stack("shop").service(service("worker")).build().services);
    up(&mut cluster, &with_worker);
    back(&mut cluster, Some(2)).unwrap();
    let wanted = &cluster.wanted[&id("shop")];
    assert_eq!(wanted.intents[&name("db")].revision, Revision(1));
    assert_eq!(wanted.intents[&name("web")].revision, Revision(5));
    assert_eq!(wanted.intents[&name("web")].replicas, None);
    assert_eq!(wanted.intents[&name("worker")].run, RunIntent::Absent);
    back(&mut cluster, Some(3)).unwrap();
    assert_eq!(cluster.wanted[&id("shop")].intents[&name("web")].replicas, Some(3));
}

#[test]
fn what_a_person_stopped_stays_stopped() {
    let mut cluster = Cluster::new();
    up(&mut cluster, &shop("1"));
    up(&mut cluster, &shop("2"));
    let wanted = &cluster.wanted[&id("shop")];
    let stopped = intent::stop(wanted, &id("shop"), &[name("db")], &cluster.view).unwrap();
    cluster.wanted.insert(id("shop"), stopped.wanted);
    back(&mut cluster, Some(1)).unwrap();
    let intents = &cluster.wanted[&id("shop")].intents;
    assert!(matches!(intents[&name("db")].run, RunIntent::Stopped { .. }));
    assert_eq!(intents[&name("web")].run, RunIntent::Running);
}

#[test]
fn the_same_again_changes_nothing() {
    let mut cluster = Cluster::new();
    up(&mut cluster, &shop("1"));
    let before = cluster.wanted.clone();
    let projection = back(&mut cluster, Some(1)).unwrap();
    assert_eq!(projection.text(), "");
    assert_eq!(cluster.wanted, before);
}
