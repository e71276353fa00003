//! Answers that nobody should take, and those that everybody should: each by name.

use std::str::FromStr;

use hickory_proto::op::{Edns, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, NS, NULL, SOA, TXT};
use hickory_proto::rr::{Name, RData};

use super::*;

const QUESTION: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";
const ASKED: &str = "www.example.com.";

fn name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), 60, data)
}

fn address(owner: &str, last: u8) -> Record {
    record(owner, RData::A(A([192, 0, 2, last].into())))
}

fn alias(owner: &str, to: &str) -> Record {
    record(owner, RData::CNAME(CNAME(name(to))))
}

/// A DNAME, which the library has no form for.
fn domain_alias(owner: &str, to: &[u8]) -> Record {
    record(owner, RData::Unknown { code: RecordType::from(39), rdata: NULL::with(to.to_vec()) })
}

/// An answer with these records in its three sections.
fn message(answers: &[Record], authorities: &[Record], additionals: &[Record]) -> Message {
    let mut message = Message::response(0x1234, OpCode::Query);
    message.add_query(Query::query(name(ASKED), RecordType::A));
    message.insert_answers(answers.to_vec());
    message.authorities = authorities.to_vec();
    message.additionals = additionals.to_vec();
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_bytes().unwrap()
}

/// What is passed on of an answer: owners and types of all records.
fn passed(answer: Vec<u8>) -> Option<String> {
    let Judged::Usable(clean) = judge(QUESTION, answer) else { return None };
    let message = Message::from_bytes(&clean).unwrap();
    let sections = [&message.answers, &message.authorities, &message.additionals];
    let shown = |records: &Vec<Record>| {
        records.iter().map(|r| format!("{} {}", r.name, r.record_type())).collect::<Vec<_>>().join(", ")
    };
    Some(sections.map(shown).join(" | "))
}

#[test]
fn what_was_asked_for_is_passed_on_byte_by_byte() {
    let soa = SOA::new(name("ns.example.com."), name("root.example.com."), 1, 2, 3, 4, 5);
    let mut signed = message(&[address(ASKED, 1)], &[], &[]);
    signed.set_edns(Edns::new());
    let mut failure = message(&[], &[], &[]);
    failure.metadata.response_code = ResponseCode::ServFail;
    let through_dname = [
        domain_alias("example.com.", b"\x07example\x03net\0"),
        alias(ASKED, "www.example.net."),
        address("www.example.net.", 1),
    ];
    for (case, message) in [
        ("an address", message(&[address(ASKED, 1), address(ASKED, 2)], &[], &[])),
        ("in another case", message(&[address("WWW.Example.com.", 1)], &[], &[])),
        ("with EDNS", signed),
        ("an alias and what it leads to", message(&[alias(ASKED, "a.net."), address("a.net.", 1)], &[], &[])),
        ("aliases in the wrong order", message(&[address("a.net.", 1), alias(ASKED, "a.net.")], &[], &[])),
        ("an alias of a whole domain", message(&through_dname, &[], &[])),
        ("aliases that go round", message(&[alias(ASKED, "a.net."), alias("a.net.", ASKED)], &[], &[])),
        ("that there is nothing", message(&[], &[record("example.com.", RData::SOA(soa))], &[])),
        ("a referral", message(&[], &[record("com.", RData::NS(NS(name("ns.com."))))], &[])),
        ("a failure", failure),
    ] {
        let sent = bytes(&message);
        assert_eq!(judge(QUESTION, sent.clone()), Judged::Usable(sent), "{case}");
    }
}

#[test]
fn what_was_not_asked_for_is_taken_out() {
    let txt = |owner| record(owner, RData::TXT(TXT::new(vec!["x".to_owned()])));
    let ns = |owner| record(owner, RData::NS(NS(name("ns.evil.net."))));
    for (case, message, expected) in [
        (
            "an address of another name beside the answer",
            message(&[address(ASKED, 1), address("bank.example.", 66)], &[], &[]),
            "www.example.com. A |  | ",
        ),
        (
            "an address of a name below the one asked for",
            message(&[address(ASKED, 1), address("x.www.example.com.", 66)], &[], &[]),
            "www.example.com. A |  | ",
        ),
        (
            "an alias of another name",
            message(&[address(ASKED, 1), alias("bank.example.", "evil.net.")], &[], &[]),
            "www.example.com. A |  | ",
        ),
        (
            "addresses behind an alias that nothing leads to",
            message(&[alias(ASKED, "a.net."), address("b.net.", 66)], &[], &[]),
            "www.example.com. CNAME |  | ",
        ),
        (
            "records of another type",
            message(&[address(ASKED, 1), txt(ASKED)], &[], &[]),
            "www.example.com. A |  | ",
        ),
        (
            "another domain's name servers",
            message(&[address(ASKED, 1)], &[ns("bank.example."), ns("example.com.")], &[]),
            "www.example.com. A | example.com. NS | ",
        ),
        (
            "addresses among the authorities",
            message(&[address(ASKED, 1)], &[address("bank.example.", 66)], &[]),
            "www.example.com. A |  | ",
        ),
        (
            "addresses of name servers",
            message(&[address(ASKED, 1)], &[ns("example.com.")], &[address("ns.evil.net.", 66)]),
            "www.example.com. A | example.com. NS | ",
        ),
        (
            "only what was not asked for",
            message(&[address("bank.example.", 66)], &[], &[address("bank.example.", 66)]),
            " |  | ",
        ),
        (
            "a domain alias of elsewhere",
            message(&[address(ASKED, 1), domain_alias("example.", b"\x04evil\x03net\0")], &[], &[]),
            "www.example.com. A |  | ",
        ),
    ] {
        assert_eq!(passed(bytes(&message)).as_deref(), Some(expected), "{case}");
    }
    // Compressed names stay right when records before them go.
    let mail = record(ASKED, RData::MX(MX::new(1, name("mail.example.com."))));
    let mixed = message(&[address("bank.example.", 66), mail, address(ASKED, 1)], &[], &[]);
    assert_eq!(passed(bytes(&mixed)).as_deref(), Some("www.example.com. A |  | "));
}

#[test]
fn what_answers_something_else_is_waited_past() {
    let base = bytes(&message(&[address(ASKED, 1)], &[], &[]));
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = base.clone();
        change(&mut packet);
        judge(QUESTION, packet)
    };
    assert!(matches!(changed(&|p| p[13] = b'W'), Judged::Usable(_)), "another case");
    for (case, change) in [
        ("another id", (&|p: &mut Vec<u8>| p[0] = 0) as &dyn Fn(&mut Vec<u8>)),
        ("a question", &|p| p[2] &= 0x7f),
        ("of another operation", &|p| p[2] |= 0x28),
        ("another name", &|p| p[13] = b'x'),
        ("another type", &|p| p[30] = 28),
        ("a type that differs by the case bit", &|p| p[30] = 0x21),
        ("another class", &|p| p[32] = 3),
        ("two questions", &|p| p[5] = 2),
        ("half of it", &|p| p.truncate(20)),
        ("a question that is announced only", &|p| p.truncate(12)),
        ("no question, no error", &|p| p[5] = 0),
        ("nothing", &Vec::clear),
    ] {
        assert_eq!(changed(change), Judged::Foreign, "{case}");
    }
}

#[test]
fn an_error_without_the_question_is_a_bare_error() {
    let mut refusal = message(&[address("bank.example.", 66)], &[], &[]);
    refusal.metadata.response_code = ResponseCode::FormErr;
    refusal.queries.clear();
    let Judged::Usable(bare) = judge(QUESTION, bytes(&refusal)) else { panic!("it is an error") };
    assert_eq!((bare.len(), &bare[4..]), (HEADER_LEN, &[0; 8][..]));
}

#[test]
fn what_cannot_be_read_is_unusable() {
    let base = bytes(&message(&[address(ASKED, 1)], &[], &[]));
    let owner = QUESTION.len();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = base.clone();
        change(&mut packet);
        judge(QUESTION, packet)
    };
    assert_eq!(base[owner] & 0xc0, 0xc0, "the owner is a pointer");
    for (case, change) in [
        ("more records announced than there are", (&|p: &mut Vec<u8>| p[7] = 200) as &dyn Fn(&mut Vec<u8>)),
        ("a record cut off", &|p| p.truncate(p.len() - 1)),
        ("a name that points at itself", &|p| p[owner..owner + 2].copy_from_slice(&[0xc0, 33])),
        ("a name that points ahead", &|p| p[owner..owner + 2].copy_from_slice(&[0xc0, 40])),
        ("a label of a kind that there is not", &|p| p[owner] = 0x80),
        ("data longer than the message", &|p| p[owner + 10..owner + 12].fill(0xff)),
    ] {
        assert_eq!(changed(change), Judged::Unusable, "{case}");
    }
    // A name of 128 labels through pointers that each lead a little further back.
    let mut long = QUESTION.to_vec();
    (long[2], long[7]) = (0x81, 2);
    let label = |to: usize| [&[63][..], &[b'a'; 63], &[0xc0, u8::try_from(to).unwrap()]].concat();
    let mut at = 12;
    for _ in 0..2 {
        let next = long.len();
        long.extend(label(at));
        long.extend(b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x01\x02\x03\x04");
        at = next;
    }
    assert!(matches!(judge(QUESTION, long.clone()), Judged::Usable(_)), "long, and short enough");
    long[7] = 3;
    let again = [&[63][..], &[b'b'; 63], &[63], &[b'c'; 63], &[0xc0, u8::try_from(at).unwrap()]].concat();
    long.extend(again);
    long.extend(b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x01\x02\x03\x04");
    assert_eq!(judge(QUESTION, long), Judged::Unusable, "longer than a name may be");
}

#[test]
fn what_follows_the_message_is_cut_off() {
    let sent = bytes(&message(&[address(ASKED, 1)], &[], &[]));
    let padded = [&sent[..], b"GET / HTTP/1.0"].concat();
    assert_eq!(judge(QUESTION, padded), Judged::Usable(sent));
}
