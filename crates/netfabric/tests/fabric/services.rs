//! Service addresses: spreading, flips, hairpins, refusal.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};

use crate::harness::{World, datagram, eventually, greeting, ready, skipped};

#[test]
fn a_service_address_spreads_load_and_keeps_the_source() {
    if !ready("a_service_address_spreads_load_and_keeps_the_source", &["ip", "ping"]) {
        return;
    }
    let mut world = World::new();
    let client = world.instance("a");
    let (one, two) = (world.instance("a"), world.instance("a"));
    for (name, backend) in [("one", &one), ("two", &two)] {
        backend.ns.serve(name, "0.0.0.0:80");
        backend.ns.serve(name, &format!("[{}]:80", backend.v6));
    }
    let service = world.service("a", 1, &[&one, &two]);
    for (address, source) in
        [(format!("{}:80", service.v4), &client.v4), (format!("[{}]:80", service.v6), &client.v6)]
    {
        let mut answers: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..64 {
            *answers.entry(client.ns.ask(&address).unwrap()).or_default() += 1;
        }
        let backends: Vec<String> = ["one", "two"].map(|name| format!("{name} {source}")).to_vec();
        assert_eq!(answers.keys().cloned().collect::<Vec<_>>(), backends);
        // At random: fewer than 15 of 64 for one of two comes once in hundred thousand runs.
        assert!(answers.values().all(|count| *count >= 15), "{answers:?}");
    }
    client.ns.run(&format!("ping -c2 -i0.1 -W2 {} && ping -c2 -i0.1 -W2 {}", service.v4, service.v6));
}

#[test]
fn an_instance_reaches_itself_through_its_service_address() {
    if !ready("an_instance_reaches_itself_through_its_service_address", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let only = world.instance("a");
    only.ns.serve("only", "0.0.0.0:80");
    only.ns.serve("only", &format!("[{}]:80", only.v6));
    only.ns.serve_udp("only", "0.0.0.0:53");
    let service = world.service("a", 1, &[&only]);
    assert!(only.ns.ask(&format!("{}:80", service.v4)).unwrap().starts_with("only "));
    assert!(only.ns.ask(&format!("[{}]:80", service.v6)).unwrap().starts_with("only "));
    assert!(datagram(&only.ns.udp(&format!("{}:53", service.v4))).unwrap().starts_with("only "));
}

#[test]
fn without_a_backend_a_service_refuses_at_once() {
    if !ready("without_a_backend_a_service_refuses_at_once", &["ip", "ping"]) {
        return;
    }
    let mut world = World::new();
    let client = world.instance("a");
    let service = world.service("a", 1, &[]);
    for address in [format!("{}:80", service.v4), format!("[{}]:80", service.v6)] {
        // Refused, and not given up after a while.
        let error = client.ns.ask(&address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{address}");
        // The host's own processes too.
        assert_eq!(world.host.ns.ask(&address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    let error = datagram(&client.ns.udp(&format!("{}:53", service.v4))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let output = client.ns.output(&format!("ping -c1 -W2 {}", service.v4));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Unreachable"), "{output:?}");
}

#[test]
fn a_flip_moves_new_connections_and_keeps_established_ones() {
    if !ready("a_flip_moves_new_connections_and_keeps_established_ones", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let client = world.instance("a");
    let (old, new) = (world.instance("a"), world.instance("a"));
    old.ns.serve("old", "0.0.0.0:80");
    new.ns.serve("new", "0.0.0.0:80");
    let service = world.service("a", 1, &[&old]);
    let address = format!("{}:80", service.v4);
    let mut established = client.ns.connect(&address).unwrap();
    assert!(greeting(&mut established).unwrap().starts_with("old "));
    world.service("a", 1, &[&new]);
    for _ in 0..10 {
        assert!(client.ns.ask(&address).unwrap().starts_with("new "));
    }
    let mut buffer = [0; 5];
    established.write_all(b"still").unwrap();
    established.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"still");
    // The old instance is gone: what it still had is told so with the next packet, which may be an acknowledgement that
    // was still due.
    world.fabric.forget_instance(&[old.v4.parse().unwrap()]).unwrap();
    let answer = established.write_all(b"gone?").and_then(|()| established.read(&mut buffer));
    assert!(answer.is_err());
}

#[test]
fn a_flip_moves_udp_clients_that_keep_their_port() {
    if !ready("a_flip_moves_udp_clients_that_keep_their_port", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let client = world.instance("a");
    let (old, new) = (world.instance("a"), world.instance("a"));
    for (name, backend) in [("old", &old), ("new", &new)] {
        backend.ns.serve_udp(name, "0.0.0.0:53");
        backend.ns.serve_udp(name, &format!("[{}]:53", backend.v6));
    }
    let service = world.service("a", 1, &[&old]);
    let socket4 = client.ns.udp(&format!("{}:53", service.v4));
    let socket6 = client.ns.udp(&format!("[{}]:53", service.v6));
    assert_eq!(datagram(&socket4).unwrap(), format!("old {}", client.v4));
    assert_eq!(datagram(&socket6).unwrap(), format!("old {}", client.v6));
    world.service("a", 1, &[&new]);
    assert_eq!(datagram(&socket4).unwrap(), format!("new {}", client.v4));
    assert_eq!(datagram(&socket6).unwrap(), format!("new {}", client.v6));
    world.service("a", 1, &[]);
    assert_eq!(datagram(&socket4).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    world.service("a", 1, &[&old]);
    eventually("the backend is back", || datagram(&socket4).is_ok_and(|answer| answer.starts_with("old ")));
}

#[test]
fn flips_under_load_lose_nothing() {
    if !ready("flips_under_load_lose_nothing", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let client = world.instance("a");
    let (one, two) = (world.instance("a"), world.instance("a"));
    one.ns.serve("one", "0.0.0.0:80");
    two.ns.serve("two", "0.0.0.0:80");
    let service = world.service("a", 1, &[&one]);
    let address = format!("{}:80", service.v4);
    let ns = client.ns.clone();
    let load = std::thread::spawn(move || (0..400).filter(|_| ns.ask(&address).is_err()).count());
    for round in 0..40 {
        let backends: &[_] = match round % 3 {
            0 => &[&two],
            1 => &[&one, &two],
            _ => &[&one],
        };
        world.service("a", 1, backends);
    }
    assert_eq!(load.join().unwrap(), 0);
}

#[test]
fn service_addresses_do_not_depend_on_br_netfilter() {
    let test = "service_addresses_do_not_depend_on_br_netfilter";
    if !ready(test, &["ip"]) {
        return;
    }
    if !std::path::Path::new("/proc/sys/net/bridge").exists() {
        skipped(test, "the kernel has no br_netfilter, so every other test shows it");
        return;
    }
    let mut world = World::new();
    let (client, backend) = (world.instance("a"), world.instance("a"));
    backend.ns.serve("backend", "0.0.0.0:80");
    backend.ns.serve("backend", &format!("[{}]:80", backend.v6));
    let service = world.service("a", 1, &[&backend]);
    let v4 = format!("{}:80", service.v4);
    let v6 = format!("[{}]:80", service.v6);
    // Somebody switches it on; neighbours don't notice.
    for key in ["iptables", "ip6tables"] {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{key}");
        world.fabric.enter(move || std::fs::write(path, "1")).unwrap().unwrap();
    }
    assert_eq!(client.ns.ask(&v4).unwrap(), format!("backend {}", client.v4));
    assert_eq!(client.ns.ask(&v6).unwrap(), format!("backend {}", client.v6));
    // It is off again with the next look: what comes back to its own port would be lost.
    world.fabric.distrust();
    assert_eq!(world.converge().ops.len(), 2);
    assert!(backend.ns.ask(&v4).unwrap().starts_with("backend "));
    assert!(backend.ns.ask(&v6).unwrap().starts_with("backend "));
}

/// A client that takes the same port again is led where the rules say, not where its last connection went.
#[test]
fn flows_that_have_ended_are_soon_forgotten() {
    if !ready("flows_that_have_ended_are_soon_forgotten", &["ip", "conntrack"]) {
        return;
    }
    let mut world = World::new();
    let (client, one) = (world.instance("a"), world.instance("a"));
    one.ns.serve("one", "0.0.0.0:80");
    let service = world.service("a", 1, &[&one]);
    assert!(client.ns.ask(&format!("{}:80", service.v4)).unwrap().starts_with("one "));
    eventually("the flow is forgotten", || {
        !world.in_fabric("conntrack -L -p tcp 2>/dev/null; true").contains("dport=80 ")
    });
}
