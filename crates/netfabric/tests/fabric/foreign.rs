//! Firewalls of others on the same host.

use hoist_netfabric::{Notice, Protocol, PublishedPort};

use crate::harness::{World, ready};

/// Docker's way of closing the forward chain.
const CLOSE: &str = "iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -s 192.0.2.0/24 -j ACCEPT; \
                     ip6tables-nft -P FORWARD DROP";

fn world_with_web() -> World {
    let mut world = World::new();
    let web = world.instance("a");
    web.ns.serve("web", "0.0.0.0:80");
    world.host.outside.serve("outside", "198.51.100.2:80");
    let targets = vec![format!("{}:80", web.v4).parse().unwrap()];
    world.publish(PublishedPort { host_ip: None, host_port: 8080, protocol: Protocol::Tcp, targets });
    world
}

#[test]
fn a_closed_forward_chain_lets_ours_through_and_nothing_else() {
    if !ready("a_closed_forward_chain_lets_ours_through_and_nothing_else", &["ip", "iptables-nft", "nft"]) {
        return;
    }
    let mut world = world_with_web();
    let client = world.instance("a");
    let before = world.host.ns.run(&format!("{CLOSE}; nft list chain ip filter FORWARD"));
    assert!(
        world
            .host
            .outside
            .connect_within("198.51.100.1:8080", std::time::Duration::from_millis(300))
            .is_err()
    );
    world.fabric.distrust();
    let converged = world.converge();
    let allowed: Vec<&Notice> =
        converged.notices.iter().filter(|notice| matches!(notice, Notice::ForwardAllowed { .. })).collect();
    assert_eq!(allowed.len(), 2, "{converged:?}");
    assert_eq!(world.host.outside.ask("198.51.100.1:8080").unwrap(), "web 198.51.100.2");
    assert_eq!(client.ns.ask("198.51.100.2:80").unwrap(), "outside 198.51.100.1");
    // The other program still understands its own chain.
    let listed = world.host.ns.run("iptables-nft -S FORWARD");
    assert!(listed.contains("-A FORWARD -i hoist-t -m comment --comment hoist-t -j ACCEPT"), "{listed}");
    assert!(listed.contains("-A FORWARD -o hoist-t -m comment --comment hoist-t -j ACCEPT"), "{listed}");
    // What is not published stays out, since our own chain is asked as well.
    world.host.outside.run("ip route add 10.1.0.0/16 via 198.51.100.1");
    assert!(world.host.outside.connect_within("10.1.1.2:80", std::time::Duration::from_millis(300)).is_err());
    world.fabric.distrust();
    assert_eq!(world.converge().to_string(), "");
    let World { host, fabric, .. } = world;
    std::sync::Arc::into_inner(fabric).unwrap().remove().unwrap();
    assert_eq!(host.ns.run("nft list chain ip filter FORWARD"), before);
}

#[test]
fn a_chain_that_ends_in_a_refusal_is_as_good_as_closed() {
    if !ready("a_chain_that_ends_in_a_refusal_is_as_good_as_closed", &["ip", "nft"]) {
        return;
    }
    let mut world = world_with_web();
    world.host.ns.run(
        "nft 'table inet firewalld { chain filter_FORWARD { type filter hook forward priority filter + 10; \
         policy accept; ct state established accept; log prefix \"no \"; reject with icmpx admin-prohibited; }; \
         chain other { type filter hook forward priority filter + 20; policy accept; ip saddr 192.0.2.1 drop; }; }'",
    );
    assert!(world.host.outside.ask("198.51.100.1:8080").is_err());
    world.fabric.distrust();
    let converged = world.converge();
    assert_eq!(converged.to_string(), "host: let hoist-t pass inet firewalld filter_FORWARD\n");
    assert!(world.host.outside.ask("198.51.100.1:8080").is_ok());
}

#[test]
fn closed_legacy_tables_are_told_with_the_command_that_helps() {
    if !ready("closed_legacy_tables_are_told_with_the_command_that_helps", &["ip", "iptables-legacy"]) {
        return;
    }
    let mut world = world_with_web();
    assert!(world.host.ns.succeeds("test ! -s /proc/thread-self/net/ip_tables_names"));
    if !world.host.ns.succeeds("iptables-legacy -P FORWARD DROP && ip6tables-legacy -P FORWARD DROP") {
        crate::harness::skipped("closed_legacy_tables_are_told", "the kernel has no legacy iptables");
        return;
    }
    world.fabric.distrust();
    let notices = world.converge().notices;
    assert_eq!(notices.len(), 2, "{notices:?}");
    for notice in notices {
        let Notice::ForwardBlocked { command, .. } = notice else { panic!("{notice}") };
        world.host.ns.run(&command);
    }
    world.fabric.distrust();
    assert_eq!(world.converge().notices, []);
    assert!(world.host.outside.ask("198.51.100.1:8080").is_ok());
}

#[test]
fn switching_forwarding_on_is_told() {
    if !ready("switching_forwarding_on_is_told", &["ip"]) {
        return;
    }
    let mut world = World::new();
    world.host.ns.run("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
    world.fabric.distrust();
    let converged = world.converge();
    assert_eq!(
        converged.to_string(),
        "host: set net/ipv4/ip_forward to 1\nhost: set net/ipv6/conf/all/forwarding to 1\n"
    );
    assert_eq!(converged.notices.len(), 2);
    // A host whose own way out comes from advertisements would lose it.
    world.host.ns.run("sysctl -qw net.ipv6.conf.all.forwarding=0; ip -6 route add default via 2001:db8::2 proto ra metric 10");
    world.fabric.distrust();
    let converged = world.converge();
    assert_eq!(converged.to_string(), "");
    assert!(matches!(converged.notices[..], [Notice::ForwardingOff { .. }]), "{converged:?}");
}
