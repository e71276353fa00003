//! Making, adopting, removing.

use hoist_netfabric::{Fabric, FabricSpec, plan};

use crate::harness::{Host, World, eventually, ready, spec};

#[test]
fn removing_leaves_nothing() {
    if !ready("removing_leaves_nothing", &["ip", "nft"]) {
        return;
    }
    let host = Host::new();
    let before = host.listing();
    let fabric = Fabric::open(host.config("t")).unwrap();
    let path = fabric.config().netns_path.clone();
    fabric.converge(&spec(fabric.config())).unwrap();
    assert_ne!(host.listing(), before);
    fabric.remove().unwrap();
    assert!(!path.exists());
    // The kernel takes a namespace apart after the last reference to it is gone.
    eventually("the namespace is gone", || host.listing() == before);
    assert_eq!(host.listing(), before);
}

#[test]
fn a_second_round_changes_nothing() {
    if !ready("a_second_round_changes_nothing", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let instance = world.instance("a");
    world.service("a", 1, &[&instance]);
    assert_eq!(world.converge().ops, []);
    // Also from the kernel's own words, and in the eyes of a new process.
    world.fabric.distrust();
    assert_eq!(world.converge().to_string(), "");
    let again = Fabric::open(world.fabric.config().clone()).unwrap();
    assert_eq!(again.converge(&world.spec).unwrap().to_string(), "");
}
