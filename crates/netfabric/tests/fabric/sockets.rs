//! Who listens in a namespace and who is connected, beside what `ss` says.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream, UdpSocket};

use hoist_netfabric::{Protocol, Sockets};

use crate::harness::{Ns, eventually, ready};

fn bed(name: &str) -> Option<Ns> {
    ready(name, &["ip", "ss"]).then(|| {
        let ns = Ns::new();
        ns.run("ip link set lo up");
        ns.run("ip link add there type bridge");
        ns.run("ip address add 198.51.100.7/24 dev there");
        ns.run("ip link set there up");
        ns
    })
}

#[test]
fn listeners_that_others_can_reach_are_found() {
    let Some(ns) = bed("listeners") else { return };
    let mut sockets = Sockets::of(ns.fd()).unwrap();
    assert_eq!(sockets.listeners().unwrap(), BTreeSet::new());
    let held = ns.enter(|| {
        let all = TcpListener::bind("0.0.0.0:8000").unwrap();
        let six = TcpListener::bind("[::]:8001").unwrap();
        let one = TcpListener::bind("198.51.100.7:8002").unwrap();
        let local = [TcpListener::bind("127.0.0.1:8003").unwrap(), TcpListener::bind("[::1]:8004").unwrap()];
        let datagrams = UdpSocket::bind("0.0.0.0:8005").unwrap();
        (all, six, one, local, datagrams)
    });
    let found = sockets.listeners().unwrap();
    let expected =
        [(8000, Protocol::Tcp), (8001, Protocol::Tcp), (8002, Protocol::Tcp), (8005, Protocol::Udp)];
    assert_eq!(found, BTreeSet::from(expected));
    let told = ns.run("ss -Hltun");
    for port in 8000..=8005 {
        assert!(told.contains(&format!(":{port} ")), "{told}");
    }
    drop(held);
    assert_eq!(sockets.listeners().unwrap(), BTreeSet::new());
}

#[test]
fn connections_count_until_all_that_was_sent_has_arrived() {
    let Some(ns) = bed("connections") else { return };
    let mut sockets = Sockets::of(ns.fd()).unwrap();
    let ports = BTreeSet::from([8000]);
    let listener = ns.enter(|| TcpListener::bind("0.0.0.0:8000").unwrap());
    // Nobody has accepted it yet.
    let client = ns.enter(|| TcpStream::connect("198.51.100.7:8000").unwrap());
    assert_eq!(sockets.connections(&ports).unwrap(), 1);
    assert_eq!(sockets.connections(&BTreeSet::from([8001])).unwrap(), 0, "of other ports");
    let from_inside = ns.enter(|| TcpStream::connect("127.0.0.1:8000").unwrap());
    assert_eq!(sockets.connections(&ports).unwrap(), 1, "nobody from outside");
    let (served, _) = listener.accept().unwrap();
    drop(client);
    assert_eq!(sockets.connections(&ports).unwrap(), 1, "the server has not closed it");
    drop((served, from_inside));
    eventually("the connection is over", || sockets.connections(&ports).unwrap() == 0);
}
