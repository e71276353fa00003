//! Published ports: from outside, from the host, from instances; reservation and conflicts.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use hoist_netfabric::{Protocol, PublishedPort, ReserveError, Splicer, adopt, reserve};

use crate::harness::{World, datagram, eventually, greeting, ready};

fn published(host_ip: Option<&str>, host_port: u16, protocol: Protocol, targets: &[&str]) -> PublishedPort {
    PublishedPort {
        host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        host_port,
        protocol,
        targets: targets.iter().map(|target| target.parse().unwrap()).collect(),
    }
}

#[test]
fn a_published_port_is_reached_from_everywhere_with_the_source_kept() {
    if !ready("a_published_port_is_reached_from_everywhere_with_the_source_kept", &["ip", "curl"]) {
        return;
    }
    let mut world = World::new();
    let (web, other) = (world.instance("a"), world.instance("b"));
    web.ns.serve("web", "0.0.0.0:80");
    web.ns.serve("web", &format!("[{}]:80", web.v6));
    let service = world.service("a", 1, &[&web]);
    let targets = [format!("{}:80", service.v4), format!("[{}]:80", service.v6)];
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let _held: Vec<_> = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
        .map(|address| reserve(address, 8080, Protocol::Tcp).unwrap())
        .into();
    world.publish(published(None, 8080, Protocol::Tcp, &targets));
    let (host, outside) = (&world.host.ns, &world.host.outside);
    assert_eq!(outside.ask("198.51.100.1:8080").unwrap(), "web 198.51.100.2");
    assert_eq!(outside.ask("[2001:db8::1]:8080").unwrap(), "web 2001:db8::2");
    assert_eq!(host.ask("198.51.100.1:8080").unwrap(), "web 198.51.100.1");
    assert_eq!(host.ask("[2001:db8::1]:8080").unwrap(), "web 2001:db8::1");
    // From localhost no source can be kept; it is our link's address.
    assert!(host.ask("127.0.0.1:8080").unwrap().starts_with("web 10.213."));
    assert!(host.ask("127.0.0.2:8080").unwrap().starts_with("web 10.213."));
    // From an instance of another network, and from the very instance behind the port.
    for instance in [&other, &web] {
        assert!(instance.ns.ask("198.51.100.1:8080").unwrap().starts_with("web 10.213."));
        assert!(instance.ns.ask("[2001:db8::1]:8080").unwrap().starts_with("web fd13:"));
    }
    assert!(outside.ask("198.51.100.1:8081").is_err());
}

#[test]
fn a_port_of_one_address_is_reached_there_only() {
    if !ready("a_port_of_one_address_is_reached_there_only", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let web = world.instance("a");
    web.ns.serve("web", "0.0.0.0:80");
    let target = format!("{}:80", web.v4);
    world.publish(published(Some("127.0.0.1"), 8080, Protocol::Tcp, &[&target]));
    world.publish(published(Some("198.51.100.1"), 9090, Protocol::Tcp, &[&target]));
    let (host, outside) = (&world.host.ns, &world.host.outside);
    assert!(host.ask("127.0.0.1:8080").is_ok());
    assert!(host.ask("198.51.100.1:8080").is_err());
    assert!(outside.ask("198.51.100.1:8080").is_err());
    assert!(host.ask("127.0.0.1:9090").is_err());
    assert_eq!(outside.ask("198.51.100.1:9090").unwrap(), "web 198.51.100.2");
    // A neighbour that addresses 127.0.0.1 to this machine is not the machine itself.
    outside.run("ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via 198.51.100.1 src 198.51.100.2");
    outside.run("sysctl -qw net.ipv4.conf.all.route_localnet=1");
    let patience = std::time::Duration::from_millis(500);
    assert!(outside.connect_within("127.0.0.1:8080", patience).is_err());
    // What is published no longer is refused, not forwarded.
    world.spec.ports.clear();
    world.converge();
    assert!(world.host.ns.ask("127.0.0.1:8080").is_err());
}

#[test]
fn a_published_port_without_a_backend_refuses_at_once() {
    if !ready("a_published_port_without_a_backend_refuses_at_once", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let service = world.service("a", 1, &[]);
    world.publish(published(None, 8080, Protocol::Tcp, &[&format!("{}:80", service.v4)]));
    for from in [&world.host.ns, &world.host.outside] {
        let error = from.ask("198.51.100.1:8080").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    assert_eq!(world.host.ns.ask("127.0.0.1:8080").unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn udp_ports_are_published_and_follow_their_target() {
    if !ready("udp_ports_are_published_and_follow_their_target", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let (old, new) = (world.instance("a"), world.instance("a"));
    old.ns.serve_udp("old", "0.0.0.0:53");
    new.ns.serve_udp("new", "0.0.0.0:53");
    let _held = reserve("0.0.0.0".parse().unwrap(), 5353, Protocol::Udp).unwrap();
    let outside = world.host.outside.udp("198.51.100.1:5353");
    let local = world.host.ns.udp("127.0.0.1:5353");
    // Asked before anything is published: the flow must not stay with the host.
    assert!(datagram(&outside).is_err());
    assert!(datagram(&local).is_err());
    world.publish(published(None, 5353, Protocol::Udp, &[&format!("{}:53", old.v4)]));
    assert_eq!(datagram(&outside).unwrap(), "old 198.51.100.2");
    assert!(datagram(&local).unwrap().starts_with("old 10.213."));
    world.spec.ports.clear();
    world.publish(published(None, 5353, Protocol::Udp, &[&format!("{}:53", new.v4)]));
    assert_eq!(datagram(&outside).unwrap(), "new 198.51.100.2");
    assert!(datagram(&local).unwrap().starts_with("new 10.213."));
}

#[test]
fn a_taken_port_is_a_clear_error_both_ways() {
    if !ready("a_taken_port_is_a_clear_error_both_ways", &["ip"]) {
        return;
    }
    let _world = World::new();
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let theirs = TcpListener::bind("127.0.0.1:8080").unwrap();
    let error = reserve(any, 8080, Protocol::Tcp).unwrap_err();
    assert_eq!(error.to_string(), "tcp port 8080 on every IPv4 address is in use by another process");
    drop(theirs);
    let ours = reserve(any, 8080, Protocol::Tcp).unwrap().unwrap();
    assert_eq!(TcpListener::bind("127.0.0.1:8080").unwrap_err().kind(), ErrorKind::AddrInUse);
    assert!(matches!(reserve(any, 8080, Protocol::Tcp), Err(ReserveError::InUse { .. })));
    // A duplicate, as another process holds it, keeps the port, and can be taken back.
    let duplicate = ours.try_clone().unwrap();
    drop(ours);
    assert!(reserve(any, 8080, Protocol::Tcp).is_err());
    assert!(adopt(duplicate.try_clone().unwrap(), any, 8081, Protocol::Tcp).is_err());
    assert!(adopt(duplicate.try_clone().unwrap(), any, 8080, Protocol::Udp).is_err());
    let back = adopt(duplicate, any, 8080, Protocol::Tcp).unwrap();
    drop(back);
    let udp = reserve(any, 8080, Protocol::Udp).unwrap();
    assert!(matches!(reserve(any, 8080, Protocol::Udp), Err(ReserveError::InUse { .. })));
    drop(udp);
    let missing = reserve("203.0.113.9".parse().unwrap(), 80, Protocol::Tcp).unwrap_err();
    assert!(matches!(missing, ReserveError::NoAddress { .. }), "{missing}");
}

#[test]
fn connections_that_ended_lately_do_not_keep_a_port() {
    if !ready("connections_that_ended_lately_do_not_keep_a_port", &["ip", "ss"]) {
        return;
    }
    let world = World::new();
    let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
    let client = std::net::TcpStream::connect("127.0.0.1:8080").unwrap();
    let server = listener.accept().unwrap().0;
    drop((server, listener));
    drop(client);
    eventually("the connection has ended", || world.host.ns.run("ss -Htan").contains("TIME-WAIT"));
    let held = reserve(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080, Protocol::Tcp).unwrap();
    // And nobody gets in beside it, whatever they set: the standard library sets SO_REUSEADDR.
    for address in ["0.0.0.0:8080", "127.0.0.1:8080"] {
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
    drop(held);
}

#[test]
fn ipv6_localhost_is_translated_by_the_kernel() {
    if !ready("ipv6_localhost_is_translated_by_the_kernel", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let web = world.instance("a");
    web.ns.serve("web", &format!("[{}]:80", web.v6));
    web.ns.serve_udp("web", &format!("[{}]:80", web.v6));
    let target = format!("[{}]:80", web.v6);
    let _held: Vec<_> = [Protocol::Tcp, Protocol::Udp]
        .map(|protocol| reserve(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8080, protocol).unwrap())
        .into();
    world.publish(published(None, 8080, Protocol::Tcp, &[&target]));
    world.publish(published(None, 8080, Protocol::Udp, &[&target]));
    world.publish(published(Some("::1"), 9090, Protocol::Tcp, &[&target]));
    let (host, outside) = (&world.host.ns, &world.host.outside);
    // No source can be kept from localhost; it is our link's address.
    for address in ["[::1]:8080", "[::1]:9090"] {
        assert!(host.ask(address).unwrap().starts_with("web fd13:"), "{address}");
    }
    assert!(datagram(&host.udp("[::1]:8080")).unwrap().starts_with("web fd13:"));
    assert!(host.ask("[2001:db8::1]:9090").is_err(), "published on localhost alone");
    // A neighbour that addresses ::1 to this machine is not the machine itself.
    outside.run("ip -6 addr del ::1/128 dev lo; ip -6 route add ::1 via 2001:db8::1 dev ext0");
    let patience = std::time::Duration::from_millis(500);
    assert!(outside.connect_within("[::1]:9090", patience).is_err());
    // What the host sends to itself stays on its loopback.
    host.serve("own", "[::1]:81");
    assert_eq!(host.ask("[::1]:81").unwrap(), "own ::1");
    // Somebody takes the route away: the next look puts it back.
    world.host.ns.run("ip -6 route del local ::1 metric 1 table local");
    world.fabric.distrust();
    world.converge();
    assert!(world.host.ns.ask("[::1]:8080").is_ok());
}

#[test]
fn ipv6_datagrams_are_spliced_to_an_ipv4_target() {
    if !ready("ipv6_datagrams_are_spliced_to_an_ipv4_target", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let web = world.instance("a");
    web.ns.serve_udp("web", "0.0.0.0:53");
    let target: SocketAddr = format!("{}:53", web.v4).parse().unwrap();
    let reservation = reserve(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 5353, Protocol::Udp).unwrap().unwrap();
    world.publish(published(None, 5353, Protocol::Udp, &[&target.to_string()]));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let splicer = runtime.block_on(async { Splicer::start(&reservation, target, Protocol::Udp) }).unwrap();
    // Connected clients take an answer from the address alone that they asked.
    let clients = [world.host.ns.udp("[::1]:5353"), world.host.outside.udp("[2001:db8::1]:5353")];
    for client in clients.iter().cycle().take(6) {
        assert!(datagram(client).unwrap().starts_with("web "));
    }
    drop(splicer);
    assert!(datagram(&clients[0]).is_err());
}

#[test]
fn ipv6_localhost_is_spliced_to_an_ipv4_target() {
    if !ready("ipv6_localhost_is_spliced_to_an_ipv4_target", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let web = world.instance("a");
    web.ns.serve("web", "0.0.0.0:80");
    let target: SocketAddr = format!("{}:80", web.v4).parse().unwrap();
    let reservation = reserve(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8080, Protocol::Tcp).unwrap().unwrap();
    world.publish(published(None, 8080, Protocol::Tcp, &[&target.to_string()]));
    // The runtime's threads are in the host's namespace because this one is.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let splicer = runtime.block_on(async { Splicer::start(&reservation, target, Protocol::Tcp) }).unwrap();
    for (ns, address) in [(&world.host.ns, "[::1]:8080"), (&world.host.outside, "[2001:db8::1]:8080")] {
        let mut stream = ns.connect(address).unwrap();
        assert!(greeting(&mut stream).unwrap().starts_with("web "));
        stream.write_all(b"echo").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "echo");
    }
    drop(splicer);
}
