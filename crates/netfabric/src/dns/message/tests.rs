use hickory_proto::op::{Edns, Message};
use proptest::prelude::*;

use super::*;

pub(in crate::dns) fn question_packet(name: &str, kind: RecordType, edns: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Asked::query(Name::from_ascii(name).unwrap(), kind));
    if let Some(payload) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

pub(in crate::dns) fn query(name: &str, kind: RecordType, edns: Option<u16>) -> Query {
    Query::parse(&question_packet(name, kind, edns)).unwrap()
}

pub(in crate::dns) fn decoded(packet: &[u8]) -> Message {
    Message::from_vec(packet).unwrap()
}

#[test]
fn the_name_is_compared_in_one_form() {
    assert_eq!(query("WEB.Front.", RecordType::A, None).question, Question::new("web.front", Kind::A));
    assert_eq!(query(".", RecordType::NS, None).question, Question::new("", Kind::Delegation));
}

#[test]
fn a_dot_inside_a_label_is_not_a_dot_between_labels() {
    let mut packet = question_packet("aXb.", RecordType::A, None);
    packet[14] = b'.';
    assert_eq!(Query::parse(&packet).unwrap().question.name(), "a\\.b");
}

#[test]
fn what_is_not_a_usable_question_gets_an_error_or_nothing() {
    let good = question_packet("web.", RecordType::A, Some(1232));
    let code = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = good.clone();
        change(&mut packet);
        match Query::parse(&packet).unwrap_err() {
            Unusable::Ignore => None,
            Unusable::Reply(reply) => Some(u16::from(decoded(&reply).response_code)),
        }
    };
    // Compared as numbers: BADVERS shares its own with BADSIG.
    let some = |code: ResponseCode| Some(u16::from(code));
    assert_eq!(code(&|p| p.truncate(11)), None, "no header");
    assert_eq!(code(&|p| p[2] |= 0x80), None, "an answer");
    assert_eq!(code(&|p| p[2] |= 0x28), some(ResponseCode::NotImp), "an update");
    assert_eq!(code(&|p| p[5] = 0), some(ResponseCode::FormErr), "no question");
    assert_eq!(code(&|p| p[5] = 2), some(ResponseCode::FormErr), "two questions");
    assert_eq!(code(&|p| p[4] = 0xff), some(ResponseCode::FormErr), "65 281 questions");
    assert_eq!(code(&|p| p[12] = 0xc0), some(ResponseCode::FormErr), "a pointer in the question");
    assert_eq!(code(&|p| p.truncate(18)), some(ResponseCode::FormErr), "half a question");
    assert_eq!(code(&|p| p.truncate(25)), some(ResponseCode::FormErr), "half an OPT record");
    assert_eq!(code(&|p| p[20] = 3), some(ResponseCode::Refused), "class CHAOS");
    assert_eq!(code(&|p| p[18] = 252), some(ResponseCode::Refused), "a zone transfer");
    assert_eq!(code(&|p| p[27] = 1), some(ResponseCode::BADVERS), "EDNS version 1");
}

#[test]
fn equal_questions_have_one_essence() {
    let essence = |name, kind, edns| query(name, kind, edns).essence();
    let one = essence("example.com.", RecordType::A, None);
    assert_eq!(one, essence("eXAMPle.com.", RecordType::A, None));
    assert_ne!(one, essence("example.com.", RecordType::AAAA, None));
    assert_ne!(one, essence("example.com.", RecordType::A, Some(1232)));
    // HTTPS (65) and type 97 differ by the bit that makes a letter small.
    assert_ne!(essence("a.b.", RecordType::HTTPS, None), essence("a.b.", RecordType::Unknown(97), None));
}

proptest! {
    #[test]
    fn no_packet_makes_us_panic_and_every_error_can_be_read(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
        match Query::parse(&packet) {
            Err(Unusable::Reply(reply)) => prop_assert_eq!(decoded(&reply).id.to_be_bytes(), [packet[0], packet[1]]),
            Err(Unusable::Ignore) => {}
            Ok(query) => prop_assert!(!query.server_failure().is_empty()),
        }
    }
}
