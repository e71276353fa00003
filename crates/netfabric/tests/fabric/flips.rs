//! Flips under load: whoever asks meanwhile notices nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use hoist_netfabric::{Protocol, PublishedPort, Sockets, reserve};

use crate::harness::{Instance, Service, World, eventually, ready};
use crate::load::{Echo, Load, Server, reached};

/// How many flips; `HOIST_FLIPS` says otherwise.
fn flips(usual: usize) -> usize {
    std::env::var("HOIST_FLIPS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

fn reserved(port: u16, protocol: Protocol) -> Vec<OwnedFd> {
    let addresses = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    addresses.map(|address| reserve(address, port, protocol).unwrap().unwrap()).into()
}

fn serve(instance: &Instance) -> [Server; 2] {
    [Server::start(&instance.ns, "0.0.0.0:80"), Server::start(&instance.ns, &format!("[{}]:80", instance.v6))]
}

/// A published port that leads to a service address, and clients everywhere.
fn publish(world: &mut World, first: &Instance, protocol: Protocol) -> Vec<OwnedFd> {
    let service = world.service("a", 1, &[first]);
    let held = reserved(8080, protocol);
    world.publish(PublishedPort {
        host_ip: None,
        host_port: 8080,
        protocol,
        targets: vec![
            format!("{}:80", service.v4).parse().unwrap(),
            format!("[{}]:80", service.v6).parse().unwrap(),
        ],
    });
    held
}

/// Redeploys as an agent makes them: the new instance takes an address that an old one had, whose flows were ended before.
#[test]
fn redeploys_under_load_lose_no_connection() {
    if !ready("redeploys_under_load_lose_no_connection", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let caller = world.instance("a");
    let mut now = world.instance_at("a", 10);
    let mut serving = serve(&now);
    let _held = publish(&mut world, &now, Protocol::Tcp);
    let service = world.service("a", 1, &[&now]);
    let mut load = Load::new();
    for _ in 0..2 {
        load.connections(&world.host.ns, "127.0.0.1:8080");
    }
    load.connections(&world.host.ns, "[::1]:8080");
    load.connections(&world.host.ns, "198.51.100.1:8080");
    load.connections(&world.host.outside, "198.51.100.1:8080");
    load.connections(&caller.ns, &format!("{}:80", service.v4));
    for round in 0..flips(30) {
        let next = world.instance_at("a", 10 + u32::try_from((round + 1) % 2).unwrap());
        let ready = serve(&next);
        for address in [format!("{}:80", next.v4), format!("[{}]:80", next.v6)] {
            reached(&caller.ns, &address, Protocol::Tcp);
        }
        world.service("a", 1, &[&next]);
        load.go_on(30);
        let old = std::mem::replace(&mut now, next);
        let mut sockets = Sockets::of(old.ns.fd()).unwrap();
        let idle = || sockets.connections(&[80].into()).unwrap() == 0;
        eventually("nobody is connected to the old one", idle);
        drop(std::mem::replace(&mut serving, ready));
        world.remove(old);
    }
    load.end().is_clean();
}

fn echo(instance: &Instance) -> [Echo; 2] {
    [Echo::start(&instance.ns, "0.0.0.0:80"), Echo::start(&instance.ns, &format!("[{}]:80", instance.v6))]
}

/// Sockets everywhere that keep their port, so that each belongs to a flow from the first flip to the last.
fn sockets_everywhere(world: &World, service: &Service, inside: &[&Instance]) -> Load {
    let mut load = Load::new();
    for address in ["127.0.0.1:8080", "[::1]:8080", "198.51.100.1:8080"] {
        load.datagrams(&world.host.ns, address);
    }
    for address in ["198.51.100.1:8080", "[2001:db8::1]:8080"] {
        load.datagrams(&world.host.outside, address);
    }
    for instance in inside {
        load.datagrams(&instance.ns, &format!("{}:80", service.v4));
        load.datagrams(&instance.ns, &format!("[{}]:80", service.v6));
    }
    load
}

/// Sockets are connected: they take answers from the address alone that they asked.
#[test]
fn flips_under_load_lose_no_datagram() {
    if !ready("flips_under_load_lose_no_datagram", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let (caller, one, two) = (world.instance("a"), world.instance("a"), world.instance("a"));
    let _echoes = [echo(&one), echo(&two)];
    let _held = publish(&mut world, &one, Protocol::Udp);
    let service = world.service("a", 1, &[&one]);
    // One of those that answer asks, too.
    let load = sockets_everywhere(&world, &service, &[&caller, &one]);
    for round in 0..flips(100) {
        let backends: &[_] = match round % 3 {
            0 => &[&two],
            1 => &[&one, &two],
            _ => &[&one],
        };
        world.service("a", 1, backends);
        load.go_on(9);
    }
    load.end().is_clean();
}

#[test]
fn redeploys_under_load_lose_no_datagram() {
    if !ready("redeploys_under_load_lose_no_datagram", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let caller = world.instance("a");
    let mut now = world.instance_at("a", 10);
    let mut answering = echo(&now);
    let _held = publish(&mut world, &now, Protocol::Udp);
    let service = world.service("a", 1, &[&now]);
    let load = sockets_everywhere(&world, &service, &[&caller]);
    for round in 0..flips(30) {
        let next = world.instance_at("a", 10 + u32::try_from((round + 1) % 2).unwrap());
        let ready = echo(&next);
        for address in [format!("{}:80", next.v4), format!("[{}]:80", next.v6)] {
            reached(&caller.ns, &address, Protocol::Udp);
        }
        world.service("a", 1, &[&next]);
        // What was on its way to the old one is answered by it.
        load.go_on(21);
        let old = std::mem::replace(&mut now, next);
        drop(std::mem::replace(&mut answering, ready));
        world.remove(old);
    }
    load.end().is_clean();
}
