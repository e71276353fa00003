//! What an instance can't send, whatever capabilities it has.

use crate::frames::{EVERYBODY, Mac, Tap, arp, ethernet, icmp, ip, link_local, mac, neighbour, packet, udp};
use crate::harness::{Instance, World, eventually, ready};

const GATEWAY: &str = "10.1.1.1";
const LAST: &str = "the last frame";
const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Frames with a text each, by which they are known.
type Frames = Vec<(&'static str, Vec<u8>)>;

/// Sends the frames out of `from`; returns the texts that the neighbour or the gateway got.
fn arrived(world: &World, from: &Instance, neighbour: &Instance, frames: &Frames) -> Vec<String> {
    let sender = from.ns.enter(|| Tap::open("eth0"));
    let others =
        [neighbour.ns.enter(|| Tap::open("eth0")), world.fabric.enter(|| Tap::open("br-a")).unwrap()];
    frames.iter().for_each(|(_, frame)| sender.send(frame));
    sender.send(&packet(mac(&from.v4), &from.v4, "255.255.255.255", UDP, &udp(9, 9, LAST)));
    let texts: Vec<&str> = frames.iter().map(|(text, _)| *text).collect();
    let mut seen: Vec<String> = others.iter().flat_map(|tap| tap.seen_until(&texts, LAST)).collect();
    seen.sort();
    seen.dedup();
    seen
}

/// Everything that pretends to come from somebody else, or that only a router or a server sends.
fn spoofed(own: &Instance, other: &Instance) -> Frames {
    let (mine, theirs) = (mac(&own.v4), mac(&other.v4));
    let (lan, group) = ("255.255.255.255", "ff02::1");
    let text = |name: &'static str, make: &dyn Fn(&str) -> Vec<u8>| (name, make(name));
    let from = |mac: Mac, source: &str, name: &'static str| {
        let to = if source.contains(':') { group } else { lan };
        (name, packet(mac, source, to, UDP, &udp(9, 9, name)))
    };
    let icmp6 = |source: &str, content: Vec<u8>| packet(mine, source, group, ICMPV6, &content);
    let gateway6 = "fd01:1::1";
    vec![
        from(theirs, &own.v4, "neighbour's hardware address"),
        from(mac(GATEWAY), &own.v4, "gateway's hardware address"),
        from([2, 0, 0, 0, 0, 9], &own.v6, "made-up hardware address"),
        from(mine, &other.v4, "neighbour's IPv4 address"),
        from(mine, GATEWAY, "gateway's IPv4 address"),
        from(mine, "192.0.2.7", "outside IPv4 address"),
        from(mine, "127.0.0.1", "loopback IPv4 address"),
        from(mine, "0.0.0.0", "no IPv4 address"),
        from(mine, &other.v6, "neighbour's IPv6 address"),
        from(mine, gateway6, "gateway's IPv6 address"),
        from(mine, "2001:db8:bad::1", "outside IPv6 address"),
        from(mine, "::", "no IPv6 address"),
        from(mine, &link_local(theirs), "neighbour's link-local address"),
        text("ARP for the gateway", &|name| ethernet(EVERYBODY, mine, 0x0806, &arp(2, mine, GATEWAY, name))),
        text("ARP for a neighbour", &|name| {
            ethernet(EVERYBODY, mine, 0x0806, &arp(1, mine, &other.v4, name))
        }),
        text("ARP that leads to a neighbour", &|name| {
            ethernet(EVERYBODY, mine, 0x0806, &arp(2, theirs, &own.v4, name))
        }),
        text("advertised gateway", &|name| icmp6(&own.v6, neighbour(136, gateway6, name))),
        text("advertised neighbour", &|name| icmp6(&own.v6, neighbour(136, &other.v6, name))),
        text("advertised link-local address", &|name| {
            icmp6(&link_local(mine), neighbour(136, &link_local(theirs), name))
        }),
        text("detected duplicate", &|name| icmp6("::", neighbour(135, &other.v6, name))),
        text("router advertisement", &|name| icmp6(&link_local(mine), icmp(134, name))),
        text("redirect", &|name| icmp6(&link_local(mine), icmp(137, name))),
        text("IPv4 redirect", &|name| packet(mine, &own.v4, &other.v4, ICMP, &icmp(5, name))),
        text("DHCP offer", &|name| packet(mine, &own.v4, lan, UDP, &udp(67, 68, name))),
        text("DHCPv6 reply", &|name| packet(mine, &link_local(mine), group, UDP, &udp(547, 546, name))),
        text("advertisement behind options", &|name| behind_options(mine, icmp(134, name))),
        text("priority tag", &|name| tagged(mine, 0x8100, 0, &other.v4, name)),
        text("VLAN tag", &|name| tagged(mine, 0x8100, 5, &own.v4, name)),
        text("service tag", &|name| tagged(mine, 0x88a8, 5, &own.v4, name)),
        text("other protocol", &|name| ethernet(EVERYBODY, mine, 0x88b5, name.as_bytes())),
    ]
}

/// Hop-by-hop and destination options, eight bytes of padding each, before an ICMPv6 message.
fn behind_options(mac: Mac, message: Vec<u8>) -> Vec<u8> {
    let options = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let content = [options(60), options(ICMPV6), message].concat();
    packet(mac, &link_local(mac), "ff02::1", 0, &content)
}

fn tagged(mac: Mac, kind: u16, tag: u16, source: &str, text: &str) -> Vec<u8> {
    let datagram = udp(9, 9, text);
    let (inner, header) = ip(source, "255.255.255.255", UDP, datagram.len());
    let tag = [tag.to_be_bytes(), inner.to_be_bytes()].concat();
    ethernet(EVERYBODY, mac, kind, &[tag, header, datagram].concat())
}

/// What is an instance's own, and what it may send before it has an address.
fn honest(own: &Instance) -> Frames {
    let mine = mac(&own.v4);
    let icmp6 = |source: &str, content: Vec<u8>| packet(mine, source, "ff02::1", ICMPV6, &content);
    let text = |name: &'static str, make: &dyn Fn(&str) -> Vec<u8>| (name, make(name));
    let lan = "255.255.255.255";
    vec![
        text("own IPv4 address", &|name| packet(mine, &own.v4, lan, UDP, &udp(9, 9, name))),
        text("own IPv6 address", &|name| packet(mine, &own.v6, "ff02::1", UDP, &udp(9, 9, name))),
        text("own link-local address", &|name| {
            packet(mine, &link_local(mine), "ff02::fb", UDP, &udp(5353, 5353, name))
        }),
        text("own ARP", &|name| ethernet(EVERYBODY, mine, 0x0806, &arp(1, mine, &own.v4, name))),
        text("ARP probe", &|name| ethernet(EVERYBODY, mine, 0x0806, &arp(1, mine, "0.0.0.0", name))),
        text("own advertisement", &|name| icmp6(&own.v6, neighbour(136, &own.v6, name))),
        text("solicitation", &|name| icmp6(&own.v6, neighbour(135, "fd01:1::1", name))),
        text("own duplicate detection", &|name| icmp6("::", neighbour(135, &own.v6, name))),
        text("router solicitation", &|name| icmp6("::", icmp(133, name))),
        text("listener report", &|name| icmp6("::", icmp(143, name))),
        text("DHCP discovery", &|name| packet(mine, "0.0.0.0", lan, UDP, &udp(68, 67, name))),
        text("IGMP report", &|name| packet(mine, "0.0.0.0", "224.0.0.22", 2, &icmp(0x22, name))),
    ]
}

fn names(frames: &Frames) -> Vec<String> {
    let mut names: Vec<String> = frames.iter().map(|(text, _)| (*text).to_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_instance_sends_only_what_is_its_own() {
    if !ready("an_instance_sends_only_what_is_its_own", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let (own, other) = (world.instance("a"), world.instance("a"));
    assert_eq!(arrived(&world, &own, &other, &spoofed(&own, &other)), [""; 0]);
    assert_eq!(arrived(&world, &own, &other, &honest(&own)), names(&honest(&own)));
    // Somebody empties the rules; the next round makes them again, for ports that were there before it.
    world.in_fabric("nft flush ruleset");
    world.fabric.distrust();
    world.converge();
    assert_eq!(arrived(&world, &own, &other, &spoofed(&own, &other)), [""; 0]);
    assert_eq!(arrived(&world, &own, &other, &honest(&own)), names(&honest(&own)));
}

/// The frames of the test above are ones that arrive when nobody looks at them, but for those that bridges or
/// receivers drop in any case: none.
#[test]
fn a_network_without_the_check_takes_everything() {
    if !ready("a_network_without_the_check_takes_everything", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let before = world.instance("a");
    world.check_sources("a", false);
    let (own, other) = (world.instance("a"), world.instance("a"));
    for sender in [&before, &own] {
        assert_eq!(
            arrived(&world, sender, &other, &spoofed(sender, &other)),
            names(&spoofed(sender, &other))
        );
    }
    // And back, for those that are there.
    world.check_sources("a", true);
    for sender in [&before, &own] {
        assert_eq!(arrived(&world, sender, &other, &spoofed(sender, &other)), [""; 0]);
        assert_eq!(arrived(&world, sender, &other, &honest(sender)), names(&honest(sender)));
    }
}

#[test]
fn declared_ranges_may_be_sent_from_and_no_others() {
    if !ready("declared_ranges_may_be_sent_from_and_no_others", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let other = world.instance("a");
    let router = world.router("a", &["10.8.0.0/22", "fd08::/61"]);
    let mine = mac(&router.v4);
    let from = |source: &str| {
        let to = if source.contains(':') { "ff02::1" } else { "255.255.255.255" };
        packet(mine, source, to, UDP, &udp(9, 9, source))
    };
    let frames = |sources: &[&'static str]| -> Frames {
        sources.iter().map(|source| (*source, from(source))).collect()
    };
    let inside = frames(&["10.8.0.1", "10.8.3.254", "fd08::1", "fd08:0:0:7::2"]);
    let outside = frames(&["10.8.4.1", "10.7.255.255", "fd08:0:0:8::1", "10.1.1.1"]);
    assert_eq!(arrived(&world, &router, &other, &inside), names(&inside));
    assert_eq!(arrived(&world, &router, &other, &outside), [""; 0]);
}

#[test]
fn a_bridge_is_not_taught_by_frames_that_no_rule_sees() {
    if !ready("a_bridge_is_not_taught_by_frames_that_no_rule_sees", &["ip", "bridge"]) {
        return;
    }
    let mut world = World::new();
    let (own, other) = (world.instance("a"), world.instance("a"));
    // To LLDP's group, which a bridge takes itself.
    let frame = ethernet([1, 0x80, 0xc2, 0, 0, 0xe], mac(&other.v4), 0x88cc, b"lldp");
    let behind = |world: &World| {
        let entries = world.in_fabric("bridge fdb show br br-a");
        let theirs = "02:68:0a:01:01:03";
        entries.lines().find(|line| line.starts_with(theirs)).unwrap_or_default().to_owned()
    };
    other.ns.run(&format!("ping -c1 -W2 {GATEWAY}"));
    assert!(behind(&world).contains("i2.0"), "{}", behind(&world));
    own.ns.enter(|| Tap::open("eth0")).send(&frame);
    assert_eq!(arrived(&world, &own, &other, &Vec::new()), [""; 0]);
    assert!(behind(&world).contains("i2.0"), "{}", behind(&world));
    // With the guard out.
    world.in_fabric("ip link set br-a type bridge no_linklocal_learn 0");
    own.ns.enter(|| Tap::open("eth0")).send(&frame);
    eventually("the bridge learns", || behind(&world).contains("i1.0"));
}

/// A router advertisement as the kernel sends it: prefix 2001:db8:bad::/64, and itself as a router.
const ADVERTISE: &str = "python3 -c '
import socket, struct
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
m = struct.pack(\">BBHBBHII\", 134, 0, 0, 64, 0, 1800, 0, 0)
m += struct.pack(\">BBBBIII\", 3, 4, 64, 0xc0, 3600, 3600, 0) + socket.inet_pton(socket.AF_INET6, \"2001:db8:bad::\")
s.sendto(m, (\"ff02::1\", 0, 0, socket.if_nametoindex(\"eth0\")))'";

#[test]
fn a_router_advertisement_changes_nothing_at_a_neighbour() {
    if !ready("a_router_advertisement_changes_nothing_at_a_neighbour", &["ip", "python3"]) {
        return;
    }
    let mut world = World::new();
    let (own, other) = (world.instance("a"), world.instance("a"));
    let state = || {
        let state =
            other.ns.run("ip -6 -o addr show dev eth0; ip -6 route show; ip -6 neigh show nud permanent");
        // The kernel looks for a second whether somebody else has the link-local address.
        state.replace(" tentative", "")
    };
    let accepts = |value: &str| {
        other.ns.run(&format!("echo {value} > /proc/sys/net/ipv6/conf/eth0/accept_ra"));
    };
    assert_eq!(
        other
            .ns
            .run("cd /proc/sys/net/ipv6/conf; cat all/accept_ra default/accept_ra eth0/accept_ra | sort -u"),
        "0\n"
    );
    let before = state();
    let attempt = || {
        own.ns.run(ADVERTISE);
        // What was sent before this has been dealt with.
        assert_eq!(arrived(&world, &own, &other, &Vec::new()), [""; 0]);
        state()
    };
    assert_eq!(attempt(), before);
    // A victim that believes everybody is kept by the check,
    accepts("1");
    assert_eq!(attempt(), before);
    // and without the check, one that believes nobody keeps itself.
    world.check_sources("a", false);
    accepts("0");
    own.ns.run(ADVERTISE);
    assert_eq!(arrived(&world, &own, &other, &Vec::new()), [""; 0]);
    assert_eq!(state(), before);
    // With both guards out it is taken over.
    accepts("1");
    own.ns.run(ADVERTISE);
    eventually("the advertisement is believed", || state().contains("2001:db8:bad:"));
}

#[test]
fn a_changed_address_is_cut_off_and_the_neighbour_goes_on() {
    if !ready("a_changed_address_is_cut_off_and_the_neighbour_goes_on", &["ip", "ping"]) {
        return;
    }
    let mut world = World::new();
    let (own, other) = (world.instance("a"), world.instance("a"));
    other.ns.serve("other", "0.0.0.0:80");
    let ping = format!("ping -c1 -W1 {GATEWAY}");
    own.ns.run(&ping);
    // The neighbour's addresses, both kinds.
    own.ns.run(&format!("ip addr add {}/24 dev eth0 noprefixroute", other.v4));
    assert!(!own.ns.succeeds(&format!("{ping} -I {}", other.v4)));
    assert!(own.ns.succeeds(&format!("{ping} -I {}", own.v4)));
    own.ns.run("ip link set eth0 address 02:68:0a:01:01:03");
    assert!(!own.ns.succeeds(&ping));
    assert_eq!(world.host.ns.ask(&format!("{}:80", other.v4)).unwrap().split(' ').next(), Some("other"));
    let third = world.instance("a");
    assert_eq!(third.ns.ask(&format!("{}:80", other.v4)).unwrap(), format!("other {}", third.v4));
}
