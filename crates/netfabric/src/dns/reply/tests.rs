use hickory_proto::op::Query as Asked;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::TXT;
use proptest::prelude::*;

use super::*;
use crate::dns::message::tests::{decoded, query, question_packet};
use crate::dns::resolve::{Origin, Withheld};
use crate::dns::zone::Upstream;

fn addresses(count: u8) -> Answer<'static> {
    let addresses = (0..count).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    Answer::Addresses { addresses, rotate: true, origin: Origin::Own }
}

fn first_address(packet: &[u8]) -> IpAddr {
    decoded(packet).answers[0].data.ip_addr().unwrap()
}

#[test]
fn an_answer_is_authoritative_and_repeats_the_question_as_asked() {
    let reply = query("wEb.", RecordType::A, None).reply(&addresses(2), 0, Transport::Udp);
    let message = decoded(&reply);
    assert!(message.authoritative && message.recursion_available && message.recursion_desired);
    assert!(!message.truncation);
    assert_eq!(message.id, 0x1234);
    assert_eq!(message.queries[0].name().to_ascii(), "wEb.");
    assert_eq!(message.answers.len(), 2);
    assert!(message.answers.iter().all(|record| record.ttl == TTL));
}

#[test]
fn rotation_starts_at_the_turn() {
    let query = query("web.", RecordType::A, None);
    let firsts: Vec<IpAddr> =
        (0..4).map(|turn| first_address(&query.reply(&addresses(3), turn, Transport::Udp))).collect();
    assert_eq!(firsts, [0, 1, 2, 0].map(|n| IpAddr::from([10, 0, 0, n])));
}

#[test]
fn what_does_not_fit_is_cut_at_a_record_and_said_so() {
    for (edns, records) in [(None, 30), (Some(600), 35), (Some(100), 30), (Some(65_000), 75)] {
        let reply = query("web.", RecordType::A, edns).reply(&addresses(200), 0, Transport::Udp);
        let message = decoded(&reply);
        assert!(message.truncation, "{edns:?}");
        assert_eq!(message.answers.len(), records, "{edns:?}");
        assert_eq!(message.edns.is_some(), edns.is_some());
    }
    let whole = decoded(&query("web.", RecordType::A, None).reply(&addresses(200), 0, Transport::Tcp));
    assert!(!whole.truncation);
    assert_eq!(whole.answers.len(), 200);
}

#[test]
fn an_empty_answer_is_no_error_and_a_missing_name_is_one_nobody_may_keep() {
    let query = query("web.", RecordType::AAAA, Some(1232));
    let empty = decoded(&query.reply(&addresses(0), 5, Transport::Udp));
    assert_eq!(empty.response_code, ResponseCode::NoError);
    assert!(empty.answers.is_empty() && empty.authoritative);
    let missing = decoded(&query.reply(&Answer::NoSuchName(Withheld::SingleLabel), 0, Transport::Udp));
    assert_eq!(missing.response_code, ResponseCode::NXDomain);
    assert!(missing.authorities.is_empty());
    assert!(missing.edns.is_some());
}

#[test]
fn a_pointer_names_a_host() {
    let query = query("2.0.1.10.in-addr.arpa.", RecordType::PTR, None);
    let message = decoded(&query.reply(&Answer::Pointer("web-1.front"), 0, Transport::Udp));
    assert_eq!(message.answers[0].data.to_string(), "web-1.front.");
}

#[test]
fn another_resolvers_answer_becomes_ours() {
    let asked = query("eXample.com.", RecordType::TXT, None);
    let mut answer = Message::response(0x9999, OpCode::Query);
    answer.add_query(Asked::query(Name::from_ascii("example.com.").unwrap(), RecordType::TXT));
    let text = RData::TXT(TXT::new(vec!["x".repeat(200)]));
    answer.add_answer(Record::from_rdata(Name::from_ascii("example.com.").unwrap(), 60, text));
    let adopted = decoded(&asked.adopt(&answer.to_vec().unwrap(), Transport::Udp));
    assert_eq!((adopted.id, adopted.answers.len()), (0x1234, 1));
    assert_eq!(adopted.queries[0].name().to_ascii(), "eXample.com.");

    let record = answer.answers[0].clone();
    answer.add_answers([record.clone(), record]);
    let cut = decoded(&asked.adopt(&answer.to_vec().unwrap(), Transport::Udp));
    assert!(cut.truncation && cut.answers.is_empty() && !cut.authoritative);
    assert_eq!(cut.id, 0x1234);
    assert_eq!(decoded(&asked.adopt(&answer.to_vec().unwrap(), Transport::Tcp)).answers.len(), 3);
}

fn any_answer() -> impl Strategy<Value = Answer<'static>> {
    prop_oneof![
        any::<u8>().prop_map(addresses),
        any::<u8>().prop_map(|count| Answer::Addresses {
            addresses: (0..count).map(|n| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(n)])).collect(),
            rotate: false,
            origin: Origin::Own,
        }),
        "\\PC{0,300}".prop_map(|name| Answer::Pointer(Box::leak(name.into_boxed_str()))),
        Just(Answer::NoSuchName(Withheld::SingleLabel)),
        Just(Answer::Refused(Withheld::UnknownAsker)),
        Just(Answer::Forward(&Upstream::Host)),
    ]
}

proptest! {
    /// Random bytes rarely get past the header: these are good questions with a few bytes changed.
    #[test]
    fn no_damaged_question_makes_us_panic(
        name in "([a-zA-Z0-9_-]{1,20}\\.){1,5}",
        edns in proptest::option::of(any::<u16>()),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
        answer in any_answer(),
    ) {
        let Ok(_) = Name::from_ascii(&name) else { return Ok(()) };
        let mut packet = question_packet(&name, RecordType::A, edns);
        for (at, byte) in damage {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        if let Some(cut) = cut {
            packet.truncate(cut.index(packet.len()));
        }
        if let Ok(query) = Query::parse(&packet) {
            for transport in [Transport::Udp, Transport::Tcp] {
                let reply = query.reply(&answer, 3, transport);
                prop_assert!(reply.len() <= query.capacity(transport));
                prop_assert_eq!(&reply[..2], &packet[..2]);
                let message = decoded(&reply);
                prop_assert_eq!(message.edns.is_some(), query.edns.is_some());
                if let Answer::Addresses { addresses, .. } = &answer {
                    prop_assert!(message.truncation || message.answers.len() == addresses.len());
                }
            }
            query.essence();
        }
    }
}
