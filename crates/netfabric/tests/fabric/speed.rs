//! Not tests of speed, but of what would make everything slow; they print what they took.

use std::time::Instant;

use crate::harness::{Ns, World, ready};

/// Without waiting for the kernel to finish links and addresses, the first packets in a new bridge are
/// lost, and the first connection takes a second. A busy machine may lose some in any case.
#[test]
fn a_new_instance_is_reachable_at_once() {
    if !ready("a_new_instance_is_reachable_at_once", &["ip"]) {
        return;
    }
    let nothing_was_lost = || {
        let mut world = World::new();
        let start = Instant::now();
        let (server, client) = (world.instance("a"), world.instance("a"));
        let attached = start.elapsed();
        server.ns.serve("server", "0.0.0.0:80");
        server.ns.serve("server", &format!("[{}]:80", server.v6));
        for address in [format!("{}:80", server.v4), format!("[{}]:80", server.v6)] {
            client.ns.ask(&address).unwrap();
        }
        println!("two attached in {attached:?}, answered after {:?}", start.elapsed());
        retransmitted(&client.ns) == 0
    };
    // Each on a thread of its own, since a host takes the thread it is made on.
    let attempt = |_| std::thread::scope(|scope| scope.spawn(nothing_was_lost).join().unwrap());
    let clean = (0..6).map(attempt).filter(|clean| *clean).count();
    assert!(clean >= 3, "only {clean} of 6 first connections lost nothing");
}

/// TCP segments sent again in a namespace: `RetransSegs`, proc(5).
fn retransmitted(ns: &Ns) -> u64 {
    let snmp = ns.run("cat /proc/self/net/snmp");
    let mut tcp = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
    let mut fields = names.split(' ').zip(values.split(' '));
    fields.find(|(name, _)| *name == "RetransSegs").unwrap().1.parse().unwrap()
}

#[test]
fn a_hundred_instances_attach_side_by_side() {
    if !ready("a_hundred_instances_attach_side_by_side", &["ip"]) {
        return;
    }
    use hoist_netfabric::{AttachRequest, Attachment, LinkName, NetworkId};
    let mut world = World::new();
    let namespaces: Vec<_> = (0..100).map(|_| Ns::new()).collect();
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
                        sources: Vec::new(),
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
