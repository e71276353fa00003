//! What a request would do, as `hoist plan` tells it, and that the loops then do that.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::{Cluster, now};
use expect_test::expect;
use hoist_model::{Condition, ImageState, Preview, ServiceName, Stack};
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::cluster::{Request, Restored, UpRequest};
use hoist_planner::preview::{ImageFound, PreviewInput, preview};
use hoist_testbed::builder::{self, id, name, service, stack};

fn known(cluster: &Cluster) -> Restored {
    Restored {
        stacks: cluster.wanted.clone(),
        specs: cluster.specs.clone(),
        endpoints: cluster.endpoints.clone(),
        record: cluster.record.clone(),
        pool: cluster.pool.clone(),
        ..Restored::default()
    }
}

fn foresee(cluster: &Cluster, request: Request) -> Preview {
    let images: BTreeMap<ServiceName, ImageFound> = match &request {
        Request::Up(up) => up
            .stack
            .services
            .iter()
            .map(|(name, service)| {
                let image = builder::image(&service.image);
                (name.clone(), ImageFound { image, remote: None, state: ImageState::Known })
            })
            .collect(),
        _ => BTreeMap::new(),
    };
    let known = known(cluster);
    let input = PreviewInput { known: &known, view: &cluster.view, request, images: &images, now: &now() };
    preview(&input).expect("it can be asked")
}

fn up(stack: &Stack, options: UpOptions) -> Request {
    Request::Up(UpRequest {
        stack: stack.clone(),
        options,
        project_dir: "/srv".into(),
        files: vec!["/srv/stack.yaml".into()],
        expected: None,
        by: hoist_model::Author::default(),
    })
}

fn text(preview: &Preview) -> String {
    let mut text = format!("changes: {}, revision {:?}\n", preview.changes, preview.revision.map(|r| r.0));
    for (name, one) in &preview.services {
        let slots: Vec<String> =
            one.slots.iter().map(|slot| format!("{} {}", slot.action.word(), slot.index)).collect();
        let _ = write!(text, "{name}: {}", slots.join(", "));
        let _ = write!(text, "; {:?}", one.downtime.class);
        let reason = one.reason.iter().map(|reason| format!("; {reason}"));
        let order = one.order.iter().map(|order| format!("; {order:?} {}", one.stop_first.join(", ")));
        let waits = one.waits.iter().map(|wait| format!("; waits for {wait}"));
        text.extend(reason.chain(order).chain(waits));
        text.push('\n');
        for one in &one.differences {
            let _ = writeln!(text, "  {}: {:?} => {:?}", one.path, one.was, one.is);
        }
    }
    for change in preview.networks.iter().chain(&preview.volumes) {
        let _ = writeln!(text, "{} {}", change.action.word(), change.name);
    }
    for what in &preview.destroys {
        let _ = writeln!(text, "destroys {what}");
    }
    for step in &preview.steps {
        let old = if step.old { " (old)" } else { "" };
        let _ = writeln!(text, "{} {}{old}: {}", step.round, step.subject, step.action);
    }
    text
}

fn shop(version: &str) -> Stack {
    stack("shop")
        .service(service("db").checked().volume("data", "/data").env("VERSION", version))
        .service(service("web").needs("db", Condition::ServiceHealthy).port(80, 80).env("VERSION", version))
        .build()
}

#[test]
fn a_first_up_creates_everything() {
    let told = foresee(&Cluster::new(), up(&shop("1"), UpOptions::default()));
    expect![[r#"
        changes: true, revision Some(1)
        db: create 1; None; waits for network shop_default
        web: create 1; None; waits for db to be healthy; waits for network shop_default
        create shop_default
        create shop_data
        1 network shop_default: create
        1 volume shop_data: create
        2 db-1: create
        2 web-1: create
        3 db-1: start 1
        4 web-1: start 1
    "#]]
    .assert_eq(&text(&told));
}

#[test]
fn an_unchanged_stack_has_nothing_to_do() {
    let mut cluster = Cluster::new();
    cluster.up(&shop("1"));
    let told = foresee(&cluster, up(&shop("1"), UpOptions::default()));
    expect![[r#"
        changes: false, revision None
        db: keep 1; None
        web: keep 1; None
    "#]]
    .assert_eq(&text(&told));
}

#[test]
fn a_change_tells_its_fields_order_and_gap() {
    let mut cluster = Cluster::new();
    cluster.up(&shop("1"));
    let told = foresee(&cluster, up(&shop("2"), UpOptions::default()));
    expect![[r#"
        changes: true, revision Some(2)
        db: replace 1; None; changed: environment; StopFirst old and new would both have volume shop_data to write to, nobody connects to it; waits for the old shop-db-1 to stop
          services.db.environment.VERSION: Some("1") => Some("2")
        web: replace 1; None; changed: environment; StartFirst ; waits for db to be healthy
          services.web.environment.VERSION: Some("1") => Some("2")
        1 db-1: create
        1 web-1: create
        2 db-1 (old): stop with SIGTERM
        3 db-1 (old): remove
        3 db-1: start 1
        4 web-1: start 1
        5 web-1 (old): stop with SIGTERM
        6 web-1 (old): remove
    "#]].assert_eq(&text(&told));
}

#[test]
fn a_scale_of_less_removes_and_one_of_more_creates() {
    let mut cluster = Cluster::new();
    let web = |count| stack("shop").service(service("web").port(80, 80).replicas(count)).build();
    cluster.up(&web(2));
    let options = UpOptions { scale: [(name("web"), 1)].into(), ..UpOptions::default() };
    let told = foresee(&cluster, up(&web(2), options));
    expect![[r#"
        changes: true, revision None
        web: keep 1, remove 2; None
        1 web-2: stop with SIGTERM
        2 web-2: remove
    "#]]
    .assert_eq(&text(&told));
}

#[test]
fn what_went_wrong_is_told_without_a_plan() {
    let mut cluster = Cluster::new();
    cluster.up(&shop("1"));
    let other = stack("other").service(service("web").port(80, 80)).build();
    let told = foresee(&cluster, up(&other, UpOptions::default()));
    assert_eq!(told.failures.len(), 1, "the port is taken: {told:?}");
    assert!(told.steps.is_empty() && told.services.is_empty(), "{told:?}");
}

#[test]
fn down_with_volumes_destroys_them() {
    let mut cluster = Cluster::new();
    cluster.up(&shop("1"));
    let request = Request::Down { stack: id("shop"), services: Vec::new(), volumes: true, timeout: None };
    let told = foresee(&cluster, request);
    expect![[r#"
        changes: true, revision None
        db: remove 1; None; waits for web to stop first
        web: remove 1; None
        remove shop_default
        remove shop_data
        destroys volume shop_data
        1 web-1: stop with SIGTERM
        2 db-1: stop with SIGTERM
        2 web-1: remove
        3 db-1: remove
        4 network shop_default: remove
        4 volume shop_data: remove
    "#]]
    .assert_eq(&text(&told));
}

#[test]
fn inputs_tell_what_has_changed_since() {
    let mut cluster = Cluster::new();
    cluster.up(&shop("1"));
    let before = foresee(&cluster, up(&shop("2"), UpOptions::default()));
    let same = foresee(&cluster, up(&shop("2"), UpOptions::default()));
    assert_eq!(before.digest, same.digest);
    let options = UpOptions { force_recreate: true, ..UpOptions::default() };
    let other = foresee(&cluster, up(&shop("2"), options));
    let differ: Vec<&String> = before
        .inputs
        .iter()
        .filter(|(key, one)| other.inputs.get(*key) != Some(*one))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(differ, ["options"]);
}
