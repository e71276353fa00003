//! Connections to a service address that is held: they wait for a backend, or until they are refused.

use std::io;
use std::net::TcpStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hoist_netfabric::{Fabric, Protocol, PublishedPort};

use crate::harness::{Instance, Ns, Service, World, eventually, greeting, ready};

/// A client that connects at once, and says what came of it and when.
struct Waiting {
    who: String,
    client: JoinHandle<(io::Result<String>, Instant)>,
}

impl Waiting {
    fn start(ns: &Ns, address: &str) -> Self {
        let (ns, to) = (ns.clone(), address.to_owned());
        let client = thread::spawn(move || {
            let outcome =
                ns.connect_within(&to, Duration::from_secs(20)).and_then(|mut stream| greeting(&mut stream));
            (outcome, Instant::now())
        });
        Self { who: address.to_owned(), client }
    }

    /// How long after a moment it was served, and what it was told.
    fn served(self, released: Instant) -> (String, Duration) {
        let (outcome, at) = self.client.join().unwrap();
        let told = outcome.unwrap_or_else(|error| panic!("{}: {error}", self.who));
        (told, at.saturating_duration_since(released))
    }
}

fn hold(world: &mut World, held: bool) {
    world.spec.service_addresses.iter_mut().for_each(|service| service.held = held);
    world.converge();
}

/// A service without a backend, published, and held.
fn held_service(world: &mut World) -> Service {
    let service = world.service("a", 1, &[]);
    let targets = [format!("{}:80", service.v4), format!("[{}]:80", service.v6)];
    let targets = targets.map(|target| target.parse().unwrap()).to_vec();
    world.publish(PublishedPort { host_ip: None, host_port: 8080, protocol: Protocol::Tcp, targets });
    hold(world, true);
    service
}

/// Connections that the kernel keeps for an address.
fn waits(world: &World, address: &str) -> bool {
    world.in_fabric("ip neigh show dev held").lines().any(|line| line.starts_with(&format!("{address} ")))
}

fn serve(instance: &Instance, name: &str) {
    instance.ns.serve(name, "0.0.0.0:80");
    instance.ns.serve(name, &format!("[{}]:80", instance.v6));
}

fn everywhere(world: &World, caller: &Instance, service: &Service) -> Vec<Waiting> {
    let (host, outside) = (&world.host.ns, &world.host.outside);
    let (v4, v6) = (format!("{}:80", service.v4), format!("[{}]:80", service.v6));
    let from = [
        (host, "127.0.0.1:8080"),
        (host, "[::1]:8080"),
        (host, "198.51.100.1:8080"),
        (outside, "198.51.100.1:8080"),
        (outside, "[2001:db8::1]:8080"),
        (&caller.ns, v4.as_str()),
        (&caller.ns, v6.as_str()),
    ];
    from.into_iter().map(|(ns, address)| Waiting::start(ns, address)).collect()
}

#[test]
fn connections_wait_for_a_backend_and_keep_their_source() {
    if !ready("connections_wait_for_a_backend_and_keep_their_source", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let (caller, next) = (world.instance("a"), world.instance("a"));
    let service = held_service(&mut world);
    let clients = everywhere(&world, &caller, &service);
    // Longer than a client waits before it sends the first time again, shorter than until the second.
    thread::sleep(Duration::from_millis(1500));
    assert!(waits(&world, &service.v4) && waits(&world, &service.v6));
    serve(&next, "next");
    let released = Instant::now();
    world.service("a", 1, &[&next]);
    let served: Vec<(String, Duration)> = clients.into_iter().map(|client| client.served(released)).collect();
    let told: Vec<&str> = served.iter().map(|(told, _)| told.as_str()).collect();
    assert_eq!(
        told[2..],
        [
            "next 198.51.100.1".to_owned(),
            "next 198.51.100.2".to_owned(),
            "next 2001:db8::2".to_owned(),
            format!("next {}", caller.v4),
            format!("next {}", caller.v6),
        ]
    );
    let longest = served.iter().map(|(_, took)| *took).max().unwrap();
    println!("released after 1.5 s, served within {longest:?}");
    // By itself a client would have come back 1.5 s later.
    assert!(longest < Duration::from_secs(1), "{served:?}");
    // All is as before: new connections, and the next gap.
    assert!(caller.ns.ask(&format!("{}:80", service.v4)).unwrap().starts_with("next "));
    world.service("a", 1, &[]);
    hold(&mut world, true);
    let again = everywhere(&world, &caller, &service);
    eventually("they wait again", || waits(&world, &service.v4) && waits(&world, &service.v6));
    world.service("a", 1, &[&next]);
    let released = Instant::now();
    for client in again {
        assert!(client.served(released).0.starts_with("next "));
    }
}

#[test]
fn connections_that_waited_in_vain_are_refused() {
    if !ready("connections_that_waited_in_vain_are_refused", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let caller = world.instance("a");
    let service = held_service(&mut world);
    let clients = everywhere(&world, &caller, &service);
    eventually("they wait", || waits(&world, &service.v4) && waits(&world, &service.v6));
    thread::sleep(Duration::from_millis(200));
    let released = Instant::now();
    hold(&mut world, false);
    for Waiting { who, client } in clients {
        let (outcome, at) = client.join().unwrap();
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::ConnectionRefused, "{who}");
        assert!(at.saturating_duration_since(released) < Duration::from_secs(2), "{who}");
    }
    let error = caller.ns.ask(&format!("{}:80", service.v4)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn only_new_connections_of_who_may_come_wait() {
    if !ready("only_new_connections_of_who_may_come_wait", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let (caller, stranger, old) = (world.instance("a"), world.instance("b"), world.instance("a"));
    serve(&old, "old");
    let service = world.service("a", 1, &[&old]);
    let address = format!("{}:80", service.v4);
    let mut established = caller.ns.connect(&address).unwrap();
    greeting(&mut established).unwrap();
    world.service("a", 1, &[]);
    hold(&mut world, true);
    // The old one finishes what it has.
    assert!(echoes(&mut established));
    let waiting = Waiting::start(&caller.ns, &address);
    eventually("it waits", || waits(&world, &service.v4));
    // Somebody of another network is refused as ever, and so are datagrams.
    assert!(stranger.ns.connect_within(&address, Duration::from_secs(1)).is_err_and(|error| refused(&error)));
    let datagram = crate::harness::datagram(&caller.ns.udp(&address));
    assert!(datagram.is_err_and(|error| refused(&error)));
    // What an ended instance leaves of connections is told at once that it is over.
    world.fabric.forget_instance(&[old.v4.parse().unwrap(), old.v6.parse().unwrap()]).unwrap();
    assert!(!echoes(&mut established));
    // Another process takes over meanwhile: the kernel has what waits.
    let again = Fabric::open(world.fabric.config().clone()).unwrap();
    world.spec.service_addresses[0].backends = vec![old.v4.parse().unwrap()];
    world.spec.service_addresses[0].held = false;
    let released = Instant::now();
    again.converge(&world.spec).unwrap();
    assert_eq!(waiting.served(released).0, format!("old {}", caller.v4));
}

fn refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

fn echoes(stream: &mut TcpStream) -> bool {
    use io::{Read as _, Write as _};
    let mut buffer = [0; 5];
    let answer = stream.write_all(b"still").and_then(|()| stream.read_exact(&mut buffer));
    answer.is_ok()
}

#[test]
fn a_crowd_is_released_at_once() {
    if !ready("a_crowd_is_released_at_once", &["ip"]) {
        return;
    }
    let mut world = World::new();
    let (caller, next) = (world.instance("a"), world.instance("a"));
    let service = held_service(&mut world);
    let address = format!("{}:80", service.v4);
    let crowd: Vec<Waiting> = (0..200).map(|_| Waiting::start(&caller.ns, &address)).collect();
    let waiting = || caller.ns.run("ss -Htn state syn-sent | wc -l").trim() == "200";
    eventually("all of them wait", waiting);
    serve(&next, "next");
    let released = Instant::now();
    world.service("a", 1, &[&next]);
    let took: Vec<Duration> = crowd.into_iter().map(|client| client.served(released).1).collect();
    println!("200 connections were served within {:?}", took.iter().max().unwrap());
}
