//! Not tests of speed, but of what would make everything slow; they print what they took.

use std::time::{Duration, Instant};

use crate::harness::{World, ready};

#[test]
fn a_new_instance_is_reachable_at_once() {
    if !ready("a_new_instance_is_reachable_at_once", &["ip"]) {
        return;
    }
    let mut world = World::new();
    for round in 0..5 {
        let start = Instant::now();
        let (server, client) = (world.instance("a"), world.instance("a"));
        let attached = start.elapsed();
        server.ns.serve("server", "0.0.0.0:80");
        server.ns.serve("server", &format!("[{}]:80", server.v6));
        for address in [format!("{}:80", server.v4), format!("[{}]:80", server.v6)] {
            let start = Instant::now();
            client.ns.ask(&address).unwrap();
            // A second is what the kernel waits before it asks again for a neighbour, or connects again.
            assert!(start.elapsed() < Duration::from_millis(900), "{address} {:?}", start.elapsed());
        }
        println!("round {round}: two attached in {attached:?}, answered after {:?}", start.elapsed());
    }
}

#[test]
fn a_hundred_instances_attach_side_by_side() {
    if !ready("a_hundred_instances_attach_side_by_side", &["ip"]) {
        return;
    }
    use hoist_netfabric::{AttachRequest, Attachment, LinkName, NetworkId};
    let mut world = World::new();
    let namespaces: Vec<_> = (0..100).map(|_| crate::harness::Ns::new()).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for share in namespaces.chunks(13).enumerate() {
            let world = &world;
            scope.spawn(move || {
                for (index, ns) in share.1.iter().enumerate() {
                    let number = share.0 * 13 + index;
                    let attachments = [Attachment {
                        network: NetworkId::new("a"),
                        ifname: LinkName::new("eth0").unwrap(),
                        mac: None,
                        addresses: vec![
                            format!("10.1.1.{}", number + 10).parse().unwrap(),
                            format!("fd01:1::{:x}", number + 10).parse().unwrap(),
                        ],
                        default_route: true,
                    }];
                    let request = AttachRequest {
                        netns: ns.fd(),
                        instance: &format!("n{number}"),
                        networks: &world.spec.networks,
                        attachments: &attachments,
                    };
                    world.fabric.attach(&request).unwrap();
                }
            });
        }
    });
    println!("100 attached in {:?}", start.elapsed());
    assert_eq!(world.fabric.host_ends().unwrap().len(), 100);
    let start = Instant::now();
    for n in 1..30 {
        world.service("a", n, &[]);
    }
    println!("29 services declared in {:?}", start.elapsed());
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(world.converge().ops, []);
    }
    println!("a round without a change takes {:?}", start.elapsed() / 100);
}
