//! Connections over TCP.

use std::io::{Read, Write};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::bed::{Bed, can_run};
use crate::load::question;
use crate::stub::{Stub, read_frame, write_frame};
use crate::zones::zone;

#[test]
fn one_connection_takes_many_questions_at_once() {
    if !can_run("one_connection_takes_many_questions_at_once") {
        return;
    }
    let bed = Bed::new(&zone());
    let _stub = Stub::start(&bed.host, "127.0.0.53");
    bed.write_resolv_conf(&["127.0.0.53"]);
    let _server = bed.serve();
    let mut stream = bed.web.tcp("10.1.0.1");
    // More than may be under way on one connection, known names and others in turn, in one write.
    let names = (0..60).map(|id| if id % 2 == 0 { "db.".to_owned() } else { format!("n{id}.example.com.") });
    let mut frames = Vec::new();
    for (id, name) in names.enumerate() {
        let packet = question(u16::try_from(id).unwrap(), &name, RecordType::A);
        frames.extend(u16::try_from(packet.len()).unwrap().to_be_bytes());
        frames.extend(packet);
    }
    stream.write_all(&frames).unwrap();
    let mut ids: Vec<u16> = (0..60)
        .map(|_| {
            let answer = Message::from_vec(&read_frame(&mut stream).unwrap()).unwrap();
            assert_eq!((answer.response_code, answer.answers.len()), (ResponseCode::NoError, 1));
            answer.id
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..60).collect::<Vec<_>>());
}

#[test]
fn an_asker_may_close_its_side_and_still_gets_the_answer() {
    if !can_run("an_asker_may_close_its_side_and_still_gets_the_answer") {
        return;
    }
    let bed = Bed::new(&zone());
    let _stub = Stub::start(&bed.host, "127.0.0.53");
    bed.write_resolv_conf(&["127.0.0.53"]);
    let _server = bed.serve();
    let mut stream = bed.web.tcp("10.1.0.1");
    write_frame(&mut stream, &question(9, "example.com.", RecordType::A));
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(read_frame(&mut stream).is_some());
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "then it is closed");
}

#[test]
fn connections_are_bounded_and_nonsense_ends_one() {
    if !can_run("connections_are_bounded_and_nonsense_ends_one") {
        return;
    }
    let bed = Bed::new(&zone());
    let server = bed.serve();
    let before = server.descriptors();
    let mut open: Vec<_> = (0..40).map(|_| bed.web.tcp("10.1.0.1")).collect();
    let mut served = 0;
    for stream in &mut open {
        // One that was turned away may be reset under our hands.
        let asked = stream.write_all(&[&[0, 20][..], &question(1, "db.", RecordType::A)].concat());
        served += usize::from(asked.is_ok() && read_frame(stream).is_some());
    }
    assert_eq!(served, 16, "one asker's share");
    assert_eq!(server.descriptors(), before + 16);
    drop(open);
    let mut stream = bed.web.tcp("10.1.0.1");
    stream.write_all(&[0xff, 0xff, 0]).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "a question of 65 535 bytes is none");
    assert_eq!(bed.web.dig("@10.1.0.1 db +short +tcp"), "10.9.0.3");
}

#[test]
fn a_connection_that_says_nothing_of_use_is_closed() {
    if !can_run("a_connection_that_says_nothing_of_use_is_closed") {
        return;
    }
    let bed = Bed::new(&zone());
    let _server = bed.serve();
    let mut stream = bed.web.tcp("10.1.0.1");
    let started = std::time::Instant::now();
    stream.write_all(&[0, 20, 1]).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    assert!(started.elapsed().as_secs() >= 9);
}
