//! More instances in one network than a bridge has ports.

use hoist_netfabric::{AttachRequest, Attachment, LinkName, NetworkId};

use crate::harness::{Ns, World, ready};

/// Instances beside one another in one namespace: only the fabric's side matters here.
fn fill(world: &World, ns: &Ns, numbers: std::ops::Range<u32>) {
    let attachment = |number: u32| Attachment {
        network: NetworkId::new("a"),
        ifname: LinkName::new(format!("e{number}")).unwrap(),
        mac: None,
        addresses: vec![std::net::Ipv4Addr::from(0x0a40_0000 + number).into()],
        default_route: true,
        sources: Vec::new(),
    };
    for number in numbers {
        let request = AttachRequest {
            netns: ns.fd(),
            instance: &format!("n{number}"),
            networks: &world.spec.networks,
            attachments: &[attachment(number)],
        };
        world.fabric.attach(&request).unwrap();
    }
}

fn ports(world: &World, bridge: &str) -> usize {
    world.in_fabric(&format!("ip -o link show master {bridge}")).lines().count()
}

#[test]
fn instances_beyond_a_bridges_ports_are_at_a_second_one_and_reach_the_others() {
    if !ready("instances_beyond_a_bridges_ports_are_at_a_second_one_and_reach_the_others", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let mut network = world.spec.networks.remove(&NetworkId::new("a")).unwrap();
    world.converge();
    network.ranges.retain(|range| range.subnet.is_ipv4());
    network.ranges[0].subnet = "10.64.0.0/16".parse().unwrap();
    network.ranges[0].gateway = "10.64.0.1".parse().unwrap();
    world.spec.networks.insert(NetworkId::new("a"), network);
    world.converge();
    let (first, last, crowd, beside) = (Ns::new(), Ns::new(), Ns::new(), Ns::new());
    fill(&world, &first, 2..3);
    fill(&world, &crowd, 3..1100);
    fill(&world, &last, 1100..1101);
    fill(&world, &beside, 1101..1102);
    assert_eq!((ports(&world, "br-a"), ports(&world, "b2-a")), (1023, 1100 - 1023));
    first.serve("first", "10.64.0.2:80");
    last.serve("last", "10.64.4.76:80");
    assert_eq!(last.ask("10.64.0.2:80").unwrap().split(' ').next(), Some("first"));
    assert_eq!(first.ask("10.64.4.76:80").unwrap(), "last 10.64.0.2");
    assert_eq!(world.host.ns.ask("10.64.4.76:80").unwrap().split(' ').next(), Some("last"));
    // All of it is what a look at the kernel finds right, and what it makes again.
    world.fabric.distrust();
    assert_eq!(world.converge().ops, []);
    world.in_fabric("nft flush ruleset; ip route flush dev b2-a; ip neigh flush nud permanent dev b2-a");
    world.fabric.distrust();
    world.converge();
    assert_eq!(first.ask("10.64.4.76:80").unwrap(), "last 10.64.0.2");
    // Its address moves to the first bridge.
    last.run("ip link del e1100");
    crowd.run("ip link del e500");
    let again = Ns::new();
    fill(&world, &again, 1100..1101);
    assert_eq!((ports(&world, "br-a"), ports(&world, "b2-a")), (1023, 1100 - 1024));
    again.serve("again", "10.64.4.76:80");
    assert_eq!(first.ask("10.64.4.76:80").unwrap(), "again 10.64.0.2");
}
