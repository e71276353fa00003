//! Making, adopting, removing, and dying at any instant in between.

use std::fs;

use hoist_netfabric::{
    Fabric, FabricSpec, Observed, Op, Protocol, PublishedPort, ServiceAddress, plan, remove,
};

use crate::harness::{Host, World, eventually, ready, spec};

/// A spec with something of everything.
fn full(fabric: &Fabric) -> FabricSpec {
    let mut spec = spec(fabric.config());
    let (id, network) = spec.networks.first_key_value().unwrap();
    let addresses = network.ranges.iter().map(|range| range.services.unwrap().network()).collect::<Vec<_>>();
    let backends = ["10.1.1.2", "10.1.1.3", "fd01:1::2"].map(|address| address.parse().unwrap()).to_vec();
    let targets = addresses.iter().map(|address| (*address, 80).into()).collect::<Vec<_>>();
    spec.service_addresses.push(ServiceAddress { network: id.clone(), addresses, backends, held: false });
    for (host_port, protocol) in [(8080, Protocol::Tcp), (5353, Protocol::Udp)] {
        spec.ports.push(PublishedPort { host_ip: None, host_port, protocol, targets: targets.clone() });
    }
    spec
}

/// Another spec, whose way from the first removes, changes and adds.
fn changed(fabric: &Fabric) -> FabricSpec {
    let mut spec = full(fabric);
    let last = spec.networks.pop_last().unwrap();
    let mut renamed = last.1;
    renamed.bridge = hoist_netfabric::LinkName::new("br-other").unwrap();
    spec.networks.insert(hoist_netfabric::NetworkId::new("other"), renamed);
    spec.networks.first_entry().unwrap().get_mut().mtu = 1400;
    spec.service_addresses[0].backends.remove(0);
    spec.ports[1].targets[0].set_port(53);
    spec.ports.remove(0);
    spec
}

fn plan_of(fabric: &Fabric, spec: &FabricSpec) -> (Vec<Op>, Observed) {
    let observed = fabric.observe().unwrap();
    (plan(fabric.config(), spec, &observed), observed)
}

#[test]
fn removing_leaves_nothing() {
    if !ready("removing_leaves_nothing", &["ip", "nft"]) {
        return;
    }
    let host = Host::new();
    let before = host.listing();
    let fabric = Fabric::open(host.config("t")).unwrap();
    let config = fabric.config().clone();
    fabric.converge(&full(&fabric)).unwrap();
    assert_ne!(host.listing(), before);
    fabric.remove().unwrap();
    assert!(!config.netns_path.exists());
    // The kernel takes a namespace apart after the last reference to it is gone.
    eventually("the namespace is gone", || host.listing() == before);
    // What isn't there is no error.
    remove(&config).unwrap();
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

#[test]
fn what_is_foreseen_is_what_comes() {
    if !ready("what_is_foreseen_is_what_comes", &["ip"]) {
        return;
    }
    let host = Host::new();
    let fabric = Fabric::open(host.config("t")).unwrap();
    for spec in [full(&fabric), changed(&fabric), FabricSpec::default(), full(&fabric)] {
        let (ops, mut observed) = plan_of(&fabric, &spec);
        fabric.apply(&ops, &mut observed).unwrap();
        assert_eq!(plan(fabric.config(), &spec, &observed), []);
        assert_eq!(fabric.observe().unwrap(), observed);
    }
}

#[test]
fn a_death_after_any_operation_is_made_good() {
    if !ready("a_death_after_any_operation_is_made_good", &["ip"]) {
        return;
    }
    let mut steps = 0;
    for first in [true, false] {
        for count in 0.. {
            let host = Host::alone();
            let fabric = Fabric::open(host.config("t")).unwrap();
            let (before, after) = if first {
                (FabricSpec::default(), full(&fabric))
            } else {
                (full(&fabric), changed(&fabric))
            };
            if !first {
                fabric.converge(&before).unwrap();
            }
            let (ops, mut observed) = plan_of(&fabric, &after);
            if count > ops.len() {
                break;
            }
            fabric.apply(&ops[..count], &mut observed).unwrap();
            drop(fabric);
            let again = Fabric::open(host.config("t")).unwrap();
            again.converge(&after).unwrap();
            let reached = again.observe().unwrap();
            assert_eq!(plan(again.config(), &after, &reached), [], "after {count} of {ops:#?}");
            steps += 1;
            if count == ops.len() {
                assert_eq!(reached, observed);
            }
        }
    }
    assert!(steps > 60, "{steps}");
}

#[test]
fn half_made_things_are_completed_or_replaced() {
    if !ready("half_made_things_are_completed_or_replaced", &["ip", "nft"]) {
        return;
    }
    let host = Host::new();
    let config = host.config("t");
    // A file without a namespace, as a reboot leaves it, and a link that leads elsewhere.
    fs::create_dir_all(config.netns_path.parent().unwrap()).unwrap();
    fs::write(&config.netns_path, "").unwrap();
    host.ns.run("ip link add hoist-t type veth peer name uplink; nft add table ip hoist-t");
    let fabric = Fabric::open(config.clone()).unwrap();
    let spec = full(&fabric);
    let converged = fabric.converge(&spec).unwrap().to_string();
    assert!(converged.contains("host: remove link hoist-t\n"), "{converged}");
    // Somebody flushes the host's rules, takes the link down, changes the routes.
    let flushed = "nft flush ruleset; ip link set hoist-t down; ip addr add 10.99.0.1/24 dev hoist-t";
    host.ns.run(flushed);
    fabric.distrust();
    fabric.converge(&spec).unwrap();
    assert_eq!(plan_of(&fabric, &spec).0, []);
    // The namespace is lost, but somebody still holds it open.
    rustix::mount::unmount(&config.netns_path, rustix::mount::UnmountFlags::DETACH).unwrap();
    let again = Fabric::open(config).unwrap();
    again.converge(&spec).unwrap();
    assert_eq!(plan_of(&again, &spec).0, []);
    drop(fabric);
    host.ns.run("ping -c1 -W2 10.213.56.2");
}

#[test]
fn two_fabrics_live_side_by_side() {
    if !ready("two_fabrics_live_side_by_side", &["ip", "nft"]) {
        return;
    }
    let mut world = World::new();
    let web = world.instance("a");
    web.ns.serve("web", "0.0.0.0:80");
    world.publish(PublishedPort {
        host_ip: None,
        host_port: 8080,
        protocol: Protocol::Tcp,
        targets: vec![format!("{}:80", web.v4).parse().unwrap()],
    });
    let before = world.host.ns.run("nft list ruleset; ip route");
    let other = Fabric::open(world.host.config("u")).unwrap();
    other.converge(&FabricSpec::default()).unwrap();
    assert!(world.host.outside.ask("198.51.100.1:8080").is_ok());
    other.remove().unwrap();
    assert_eq!(world.host.ns.run("nft list ruleset; ip route"), before);
    assert!(world.host.outside.ask("198.51.100.1:8080").is_ok());
}
