//! Who reaches whom by address.

use std::io::ErrorKind;

use crate::harness::{World, ready};

#[test]
fn neighbours_reach_each_other_and_see_the_real_source() {
    if !ready("neighbours_reach_each_other_and_see_the_real_source", &["ip", "ping"]) {
        return;
    }
    let mut world = World::new();
    let (first, second) = (world.instance("a"), world.instance("a"));
    second.ns.serve("second", "0.0.0.0:80");
    second.ns.serve("second", &format!("[{}]:80", second.v6));
    assert_eq!(first.ns.ask(&format!("{}:80", second.v4)).unwrap(), format!("second {}", first.v4));
    assert_eq!(first.ns.ask(&format!("[{}]:80", second.v6)).unwrap(), format!("second {}", first.v6));
    first.ns.run(&format!("ping -c1 -W2 {} && ping -c1 -W2 {}", second.v4, second.v6));
    assert!(first.ns.run("ip -4 addr show eth0").contains(&format!("{}/24", first.v4)));
}

#[test]
fn networks_are_cut_off_from_each_other_at_once() {
    if !ready("networks_are_cut_off_from_each_other_at_once", &["ip", "ping"]) {
        return;
    }
    let mut world = World::new();
    let (here, there) = (world.instance("a"), world.instance("b"));
    let service = world.service("b", 1, &[&there]);
    there.ns.serve("there", "0.0.0.0:80");
    there.ns.serve("there", &format!("[{}]:80", there.v6));
    for address in [
        format!("{}:80", there.v4),
        format!("[{}]:80", there.v6),
        format!("{}:80", service.v4),
        format!("[{}]:80", service.v6),
    ] {
        // Told so, and not left waiting.
        let error = here.ns.ask(&address).unwrap_err();
        assert_ne!(error.kind(), ErrorKind::TimedOut, "{address}");
    }
    assert!(!here.ns.succeeds(&format!("ping -c1 -W1 {}", there.v4)));
    assert!(there.ns.ask(&format!("{}:80", service.v4)).is_ok());
}

#[test]
fn instances_go_out_under_the_hosts_address_and_internal_ones_do_not() {
    if !ready("instances_go_out_under_the_hosts_address_and_internal_ones_do_not", &["ip", "ping"]) {
        return;
    }
    let mut world = World::new();
    let (open, inner) = (world.instance("a"), world.instance("inner"));
    let outside = world.host.outside.clone();
    outside.serve("outside", "198.51.100.2:80");
    outside.serve("outside", "[2001:db8::2]:80");
    assert_eq!(open.ns.ask("198.51.100.2:80").unwrap(), "outside 198.51.100.1");
    assert_eq!(open.ns.ask("[2001:db8::2]:80").unwrap(), "outside 2001:db8::1");
    assert!(inner.ns.ask("198.51.100.2:80").is_err());
    assert!(inner.ns.ask("[2001:db8::2]:80").is_err());
    // Even with a route of its own.
    inner.ns.run("ip route add default via 10.1.3.1");
    assert!(inner.ns.ask("198.51.100.2:80").is_err());
}

#[test]
fn the_host_reaches_instances_and_the_outside_does_not() {
    if !ready("the_host_reaches_instances_and_the_outside_does_not", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let instance = world.instance("a");
    let service = world.service("a", 1, &[&instance]);
    instance.ns.serve("instance", "0.0.0.0:80");
    for address in [&instance.v4, &service.v4] {
        assert!(world.host.ns.ask(&format!("{address}:80")).is_ok(), "{address}");
    }
    world.host.outside.run("ip route add 10.0.0.0/8 via 198.51.100.1");
    for address in [&instance.v4, &service.v4] {
        let patience = std::time::Duration::from_millis(500);
        assert!(world.host.outside.connect_within(&format!("{address}:80"), patience).is_err(), "{address}");
    }
}

#[test]
fn without_icc_only_the_way_out_is_left() {
    if !ready("without_icc_only_the_way_out_is_left", &["ip"]) {
        return;
    }
    let mut world = World::new();
    for network in world.spec.networks.values_mut() {
        network.icc = false;
    }
    world.converge();
    let (first, second) = (world.instance("a"), world.instance("a"));
    second.ns.serve("second", "0.0.0.0:80");
    world.host.outside.serve("outside", "198.51.100.2:80");
    assert!(first.ns.ask("198.51.100.2:80").is_ok());
    assert!(first.ns.ask(&format!("{}:80", second.v4)).is_err());
    // Nor directly, past the fabric.
    first.ns.run("ip route replace 10.1.1.0/24 dev eth0");
    let patience = std::time::Duration::from_millis(500);
    assert!(first.ns.connect_within(&format!("{}:80", second.v4), patience).is_err());
}

#[test]
fn an_instance_in_two_networks_uses_each_for_its_own_services() {
    if !ready("an_instance_in_two_networks_uses_each_for_its_own_services", &["ip"]) {
        return;
    }
    use hoist_netfabric::{AttachRequest, Attachment, LinkName, NetworkId};
    let mut world = World::new();
    let (in_a, in_b) = (world.instance("a"), world.instance("b"));
    let (service_a, service_b) = (world.service("a", 1, &[&in_a]), world.service("b", 1, &[&in_b]));
    in_a.ns.serve("in_a", "0.0.0.0:80");
    in_b.ns.serve("in_b", "0.0.0.0:80");
    let both = crate::harness::Ns::new();
    let attachment = |network: &str, ifname: &str, address: &str, default_route| Attachment {
        network: NetworkId::new(network),
        ifname: LinkName::new(ifname).unwrap(),
        mac: None,
        addresses: vec![address.parse().unwrap()],
        default_route,
        sources: Vec::new(),
    };
    let attachments =
        [attachment("a", "eth0", "10.1.1.100", true), attachment("b", "eth1", "10.1.2.100", false)];
    let networks = &world.spec.networks;
    let request = AttachRequest { netns: both.fd(), instance: "both", networks, attachments: &attachments };
    world.fabric.attach(&request).unwrap();
    assert_eq!(both.ask(&format!("{}:80", service_a.v4)).unwrap(), "in_a 10.1.1.100");
    assert_eq!(both.ask(&format!("{}:80", service_b.v4)).unwrap(), "in_b 10.1.2.100");
    let ends: Vec<String> = world.fabric.host_ends().unwrap().iter().map(ToString::to_string).collect();
    assert!(ends.contains(&"both.0".to_owned()) && ends.contains(&"both.1".to_owned()), "{ends:?}");
    // Again, as after an interrupted attempt.
    world.fabric.attach(&request).unwrap();
    assert_eq!(both.ask(&format!("{}:80", service_b.v4)).unwrap(), "in_b 10.1.2.100");
    for end in world.fabric.host_ends().unwrap().iter().filter(|end| end.instance() == "both") {
        world.fabric.detach(end).unwrap();
        world.fabric.detach(end).unwrap();
    }
    assert!(!both.succeeds("ip link show eth0"));
}
