//! What outlives a release or comes out of a backup: one obligation each, through both real loops.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hoist_model::{Guards, InstanceUid, Outcome, Stack, Verdict};
use hoist_planner::cluster::intent::UpOptions;
use hoist_testbed::builder::{service, stack};
use hoist_testbed::sim::{Ended, Faults, World};

fn world() -> World {
    World::new(7, Faults::NONE, BTreeMap::new())
}

fn shop(mode: &str) -> Stack {
    stack("shop").service(service("web").env("MODE", mode)).service(service("db")).build()
}

fn blog() -> Stack {
    stack("blog").service(service("blog")).build()
}

fn up_with(world: &mut World, stack: &Stack, options: UpOptions) -> Verdict {
    let op = world.up(stack, options);
    match world.until_ended(op) {
        Ended::Verdict(verdict) => verdict,
        other => panic!("no verdict: {other:?}"),
    }
}

fn up(world: &mut World, stack: &Stack) -> Outcome {
    up_with(world, stack, UpOptions::default()).outcome
}

fn alive(world: &World) -> BTreeSet<InstanceUid> {
    world.alive().map(|(uid, _)| uid).collect()
}

/// Several starts and changes, so that the host knows later terms than an old copy of the store.
fn go_on(world: &mut World) {
    for mode in ["b", "c", "d"] {
        world.restart_orchestrator();
        assert_eq!(up(world, &shop(mode)), Outcome::Converged);
    }
}

#[test]
fn a_restored_store_takes_over_and_what_it_wants_is_done() {
    let mut world = world();
    assert_eq!(up(&mut world, &shop("a")), Outcome::Converged);
    let backup = world.backup();
    let wanted = world.orchestrator().stacks().clone();
    go_on(&mut world);
    for incarnation in 1..=2 {
        world.restore_backup(backup.clone());
        world.run_for(Duration::from_secs(30));
        let spec = world.agent().expect("it runs").spec().clone();
        assert_eq!(spec.generation.incarnation, incarnation);
        assert_eq!(world.orchestrator().specs().values().next(), Some(&spec));
        assert_eq!(*world.orchestrator().stacks(), wanted);
        assert_eq!(alive(&world).len(), 2);
    }
    assert_eq!(up(&mut world, &shop("e")), Outcome::Converged);
    assert_eq!(alive(&world).len(), 2);
}

#[test]
fn a_store_of_the_same_term_goes_on_without_a_new_incarnation() {
    let mut world = world();
    assert_eq!(up(&mut world, &shop("a")), Outcome::Converged);
    let backup = world.backup();
    assert_eq!(up(&mut world, &shop("b")), Outcome::Converged);
    world.restore_backup(backup);
    world.run_for(Duration::from_secs(30));
    let spec = world.agent().expect("it runs").spec().clone();
    assert_eq!(spec.generation.incarnation, 0);
    assert_eq!(world.orchestrator().specs().values().next(), Some(&spec));
}

#[test]
fn a_store_that_lacks_what_runs_removes_nothing_until_it_is_told_of_it() {
    let mut world = world();
    let empty = world.backup();
    assert_eq!(up(&mut world, &shop("a")), Outcome::Converged);
    let with_shop = world.backup();
    assert_eq!(up(&mut world, &blog()), Outcome::Converged);
    go_on(&mut world);
    for store in [with_shop, empty] {
        let running = alive(&world);
        world.restore_backup(store);
        world.run_for(Duration::from_secs(30));
        assert_eq!(alive(&world), running, "nothing is touched");
        let Outcome::Failed(failures) = up(&mut world, &shop("d")) else { panic!("shop came up") };
        assert!(failures[0].what.contains("doesn't have what runs there: blog"), "{failures:?}");
        assert_eq!(alive(&world), running, "nothing is touched");
        assert_eq!(up(&mut world, &blog()), Outcome::Converged);
        assert_eq!(up(&mut world, &shop("d")), Outcome::Converged);
        assert_eq!(alive(&world).len(), 3);
    }
}

#[test]
fn instances_with_older_guards_are_named_and_replaced_when_asked() {
    const NOTICE: &str = "db-1, web-1 started before Hoist was upgraded";
    let mut world = world();
    let stack = shop("a");
    up(&mut world, &stack);
    let before = alive(&world);
    world.upgrade(Guards(2));
    world.run_for(Duration::from_secs(5));
    assert!(!world.told(NOTICE));
    up(&mut world, &stack);
    assert!(world.told(NOTICE));
    assert_eq!(alive(&world), before, "a notice changes nothing");
    // Whoever starts anew anyway is guarded anew.
    world.crash("db", hoist_model::Exit::Code(1));
    let refresh = || UpOptions { refresh_guards: true, ..UpOptions::default() };
    up_with(&mut world, &stack, UpOptions::default());
    let restarted = alive(&world);
    assert_eq!(restarted, before);
    up_with(&mut world, &stack, refresh());
    let after = alive(&world);
    assert_eq!(after.intersection(&before).count(), 1, "web was replaced, db was not");
    assert_eq!(up_with(&mut world, &stack, refresh()).changed, 0);
}
