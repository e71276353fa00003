//! Other content of configs and files: what runs is made anew, told, or left.

mod common;

use common::Cluster;
use expect_test::{Expect, expect};
use hoist_model::{Mount, MountKind, OnChange, Stack};
use hoist_testbed::builder::{service, stack};

fn shop(content: &str, on_change: OnChange) -> Stack {
    let kind = MountKind::Content { content: content.into(), uid: 0, gid: 0, mode: 0o444, sensitive: false };
    let mount = Mount { target: "/conf".into(), kind, read_only: true, options: Vec::new() };
    let web = service("web").port(80, 8080).with(|web| {
        web.mounts.push(mount);
        web.on_change = on_change;
    });
    stack("shop").service(web).build()
}

fn changed(on_change: &OnChange, expected: &Expect) -> Cluster {
    let mut cluster = Cluster::new();
    cluster.up(&shop("one", on_change.clone()));
    let projection = cluster.up(&shop("two", on_change.clone()));
    assert!(projection.quiet, "{}", projection.text());
    expected.assert_eq(&projection.text());
    let again = cluster.up(&shop("two", on_change.clone()));
    assert_eq!(again.text(), "", "once is enough");
    cluster
}

#[test]
fn by_default_another_content_is_another_definition() {
    changed(
        &OnChange::Recreate,
        &expect![[r#"
        round 1
        web-1 0002: create, because it doesn't exist
        round 2
        web-1 0002: start 1, because not started yet
        round 3
        web-1 0001: stop with SIGTERM, because it is replaced
        round 4
        web-1 0001: remove, because it is no longer wanted
    "#]],
    );
}

#[test]
fn what_is_to_be_left_alone_is() {
    changed(&OnChange::None, &expect![""]);
}

#[test]
fn what_is_to_be_told_is_told_once() {
    let cluster = changed(
        &OnChange::Signal("HUP".to_owned()),
        &expect![[r#"
        round 1
        web-1 0001: renew with HUP, because its files have other content
    "#]],
    );
    let instance = cluster.host.observed().instances.values().next().expect("it is there");
    assert!(instance.contents.is_some() && instance.starts == 1);
}
