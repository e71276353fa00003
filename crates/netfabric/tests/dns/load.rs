//! Many questions, hostile ones, and a server that is killed under them.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::bed::{Bed, PATIENCE, can_run};
use crate::zones::zone;

pub(crate) fn question(id: u16, name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

pub(crate) fn send(socket: &UdpSocket, id: u16, name: &str) {
    socket.send_to(&question(id, name, RecordType::A), ("10.1.0.1", 53)).unwrap();
}

/// The next answer, unless none comes in time.
pub(crate) fn receive(socket: &UdpSocket) -> Option<Message> {
    let mut packet = [0; 1500];
    let length = socket.recv(&mut packet).ok()?;
    Some(Message::from_vec(&packet[..length]).unwrap())
}

pub(crate) fn ask(socket: &UdpSocket, id: u16, name: &str) -> Option<Message> {
    ask_for(socket, id, name, RecordType::A)
}

pub(crate) fn ask_for(socket: &UdpSocket, id: u16, name: &str, kind: RecordType) -> Option<Message> {
    socket.send_to(&question(id, name, kind), ("10.1.0.1", 53)).unwrap();
    loop {
        let answer = receive(socket)?;
        if answer.id == id {
            return Some(answer);
        }
    }
}

#[test]
fn questions_asked_while_no_server_runs_are_answered_by_the_next() {
    if !can_run("questions_asked_while_no_server_runs_are_answered_by_the_next") {
        return;
    }
    let bed = Bed::new(&zone());
    bed.serve().kill();
    let asker = bed.web.udp();
    // More than the kernel's usual buffer holds.
    (0..1000).for_each(|id| send(&asker, id, "db."));
    let mut stream = bed.web.tcp("10.1.0.1");
    crate::stub::write_frame(&mut stream, &question(1, "db.", RecordType::A));
    let answered = std::thread::scope(|scope| {
        // The asker's own buffer is small: its answers are read as they come.
        let reader = scope.spawn(|| (0..1000).map_while(|_| receive(&asker)).count());
        let _server = bed.serve();
        reader.join().unwrap()
    });
    assert_eq!(answered, 1000);
    let _server = bed.serve();
    assert!(crate::stub::read_frame(&mut stream).is_some(), "a connection that waited, too");
}

fn wait_until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn twenty_kills_under_load_lose_no_question() {
    if !can_run("twenty_kills_under_load_lose_no_question") {
        return;
    }
    const KILLS: u64 = 20;
    let bed = Bed::new(&zone());
    let (over, asked, lost) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut last = None;
    std::thread::scope(|scope| {
        // Set when this closure ends, by a panic, too: else the scope would wait for ever.
        let _end = EndOnDrop(&over);
        for _ in 0..4 {
            scope.spawn(|| {
                let socket = bed.web.udp();
                socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
                for id in (0..=u16::MAX).cycle().take_while(|_| !over.load(SeqCst)) {
                    asked.fetch_add(1, SeqCst);
                    match ask(&socket, id, "db.") {
                        Some(answer) => assert_eq!(answer.response_code, ResponseCode::NoError),
                        None => drop(lost.fetch_add(1, SeqCst)),
                    }
                }
            });
        }
        for _ in 0..KILLS {
            let server = bed.serve();
            let goal = asked.load(SeqCst) + 200;
            wait_until(|| asked.load(SeqCst) >= goal);
            server.kill();
        }
        // Outlives the scope: the last questions are still to be answered when it ends.
        last = Some(bed.serve());
    });
    drop(last);
    let (asked, lost) = (asked.into_inner(), lost.into_inner());
    println!("{asked} questions, {KILLS} kills, {lost} lost");
    assert!(asked > 200 * KILLS, "there was a load: {asked}");
    assert_eq!(lost, 0, "of {asked}");
}

#[test]
fn hostile_packets_change_nothing_and_memory_stays_small() {
    if !can_run("hostile_packets_change_nothing_and_memory_stays_small") {
        return;
    }
    let bed = Bed::new(&zone());
    let server = bed.serve();
    let (asker, attacker) = (bed.web.udp(), bed.web.udp());
    ask(&asker, 1, "db.").unwrap();
    let descriptors = server.descriptors();
    let mut runner = TestRunner::deterministic();
    let noise = proptest::collection::vec(proptest::num::u8::ANY, 0..1400);
    let good = question(2, "db.", RecordType::A);
    for round in 0..5000 {
        let mut packet = noise.new_tree(&mut runner).unwrap().current();
        // Every other one is a good question with a bad end, so that more than the header is read.
        if round % 2 == 0 {
            packet.splice(0..0, good.iter().copied());
            packet[11] = u8::from(round % 4 == 0);
        }
        attacker.send_to(&packet, ("10.1.0.1", 53)).unwrap();
        if round % 100 == 0 {
            assert!(ask(&asker, 3, "db.").is_some(), "after {round}");
        }
    }
    assert!((0..20_000_u16).all(|id| ask(&asker, id, "db.").is_some()));
    assert_eq!(server.descriptors(), descriptors);
    let memory = server.anonymous_memory();
    println!("{memory} KiB of anonymous memory");
    assert!(memory < 2048, "{memory} KiB of anonymous memory");
}
