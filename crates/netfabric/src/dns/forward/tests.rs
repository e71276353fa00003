use std::net::UdpSocket;

use super::*;
use crate::datagram::Path;
use crate::dns::message::Query;
use crate::dns::upstream::Resolvers;

const QUESTION: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";

fn waiter(peer: &str, id: u16) -> Waiter {
    let mut packet = QUESTION.to_vec();
    packet[..2].copy_from_slice(&id.to_be_bytes());
    let path = Path::between(peer.parse().unwrap(), "10.1.0.1".parse().unwrap());
    Waiter { client: Client::Udp { socket: 0, path }, query: Query::parse(&packet).unwrap() }
}

struct Bench {
    poll: Poll,
    forwarder: Forwarder,
    servers: Servers,
    resolver: UdpSocket,
}

impl Bench {
    fn new() -> Self {
        let resolver = UdpSocket::bind("127.0.0.1:0").unwrap();
        resolver.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let servers = Servers::new(Resolvers::List(Vec::new()));
        Self { poll: Poll::new().unwrap(), forwarder: Forwarder::default(), servers, resolver }
    }

    fn ask(&mut self, now: Instant, waiter: Waiter) -> Option<Waiter> {
        let servers = vec![self.resolver.local_addr().unwrap()];
        let ways = servers.into_iter().map(|server| Way { server, inside: false }).collect();
        self.forwarder.ask(&self.poll, now, waiter, Upstream::Host, ways)
    }

    /// What the resolver was asked, and by whom.
    fn asked(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut packet = [0; 512];
        let (length, from) = self.resolver.recv_from(&mut packet).ok()?;
        Some((packet[..length].to_vec(), from))
    }

    fn settled(&mut self, now: Instant) -> Option<Settled> {
        let events = self.poll.wait(Some(Duration::from_secs(5))).unwrap();
        let [(Token::Exchange(serial), _)] = events[..] else { panic!("{events:?}") };
        self.forwarder.ready(&self.poll, now, &mut self.servers, serial)
    }
}

#[test]
fn equal_questions_share_one_exchange_and_each_asker_gets_its_answer() {
    let now = Instant::now();
    let mut bench = Bench::new();
    for (peer, id) in [("10.1.0.2:1000", 1), ("10.1.0.3:1000", 2), ("10.1.0.2:1000", 1)] {
        assert!(bench.ask(now, waiter(peer, id)).is_none());
    }
    let (mut packet, from) = bench.asked().unwrap();
    assert!(bench.asked().is_none(), "asked once");
    packet[2] |= 0x80;
    bench.resolver.send_to(&packet, from).unwrap();
    let settled = bench.settled(now).unwrap();
    let replies: Vec<Vec<u8>> = settled.waiters.iter().map(|w| w.reply(settled.answer.as_deref())).collect();
    assert_eq!(replies.len(), 2, "the repeat is answered once");
    assert_eq!((&replies[0][..2], &replies[1][..2]), (&[0, 1][..], &[0, 2][..]));
    assert!(bench.ask(now, waiter("10.1.0.2:1000", 3)).is_none());
    assert!(bench.asked().is_some(), "what is over is asked anew");
}

#[test]
fn no_asker_takes_all_the_room() {
    let now = Instant::now();
    let mut bench = Bench::new();
    let ids = 0..u16::try_from(WAITING_PER_ASKER).unwrap();
    assert!(ids.into_iter().all(|id| bench.ask(now, waiter("10.1.0.2:1000", id)).is_none()));
    assert!(bench.ask(now, waiter("10.1.0.2:1000", 9999)).is_some());
    assert!(bench.ask(now, waiter("10.1.0.3:1000", 9999)).is_none());
}

#[test]
fn silence_ends_with_a_failure() {
    let now = Instant::now();
    let mut bench = Bench::new();
    bench.ask(now, waiter("10.1.0.2:1000", 1));
    assert_eq!(bench.forwarder.next_deadline(), Some(now + PATIENCE));
    assert!(bench.forwarder.expire(&bench.poll, now, &mut bench.servers).is_empty());
    let late = bench.forwarder.expire(&bench.poll, now + PATIENCE, &mut bench.servers);
    assert_eq!(late.len(), 1);
    let reply = late[0].waiters[0].reply(late[0].answer.as_deref());
    assert_eq!(reply[3] & 0x0f, 2, "SERVFAIL");
    assert_eq!(bench.forwarder.next_deadline(), None);
}

#[test]
fn an_answer_from_anybody_else_is_not_heard() {
    let now = Instant::now();
    let mut bench = Bench::new();
    bench.ask(now, waiter("10.1.0.2:1000", 1));
    let (mut packet, from) = bench.asked().unwrap();
    packet[2] |= 0x80;
    let mut forged = packet.clone();
    forged[3] |= 3;
    // Right in all but where it comes from; and from the right place, before the answer, in all but the id.
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    elsewhere.send_to(&forged, from).unwrap();
    forged[1] ^= 1;
    bench.resolver.send_to(&forged, from).unwrap();
    bench.resolver.send_to(&packet, from).unwrap();
    let settled = std::iter::repeat_with(|| bench.settled(now)).take(3).flatten().next().unwrap();
    assert_eq!(settled.answer.unwrap()[3] & 0x0f, 0, "the resolver's own answer");
}
