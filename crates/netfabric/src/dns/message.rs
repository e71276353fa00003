//! Questions on the wire: a packet into a [`Query`].
//!
//! Owns what is a usable question and what is told to the others. The packet is kept: what is passed on
//! to other resolvers is sent as it came, so nothing that this build does not know is lost on the way.

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query as Asked, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::reply::bare_error;
use super::resolve::{Kind, Question};

/// What an asker without EDNS takes (RFC 1035, 4.2.1).
const UDP_PAYLOAD_MIN: u16 = 512;

pub(super) const HEADER_LEN: usize = 12;

/// How a question came: it decides how long an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// A question one can answer or pass on.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) question: Question,
    pub(super) recursion_desired: bool,
    pub(super) packet: Vec<u8>,
    /// Where the question section ends in `packet`.
    pub(super) question_end: usize,
    pub(super) asked: Asked,
    pub(super) header: Header,
    pub(super) edns: Option<Edns>,
}

/// What to do with a packet that is no usable question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Not a question at all: an answer to it could start a ping-pong.
    Ignore,
    /// A question that gets this error.
    Reply(Vec<u8>),
}

impl Query {
    pub(super) fn parse(packet: &[u8]) -> Result<Self, Unusable> {
        let mut decoder = BinDecoder::new(packet);
        let header = Header::read(&mut decoder).map_err(|_| Unusable::Ignore)?;
        if header.message_type == MessageType::Response {
            return Err(Unusable::Ignore);
        }
        let refuse = |code| Unusable::Reply(bare_error(&header, code));
        if header.op_code != OpCode::Query {
            return Err(refuse(ResponseCode::NotImp));
        }
        let malformed = || refuse(ResponseCode::FormErr);
        let question_end = question_end(packet).ok_or_else(malformed)?;
        let asked = Asked::read(&mut decoder).map_err(|_| malformed())?;
        let counts = header.counts;
        if (counts.queries, counts.answers, counts.authorities) != (1, 0, 0) || counts.additionals > 4 {
            return Err(malformed());
        }
        let rest = Message::read_records(&mut decoder, counts.additionals.into(), true, header.op_code);
        let (_, edns, _) = rest.map_err(|_| malformed())?;
        let question = Question::new(&text(asked.name()), kind(asked.query_type()));
        let recursion_desired = header.recursion_desired;
        let packet = packet.to_vec();
        let query = Self { question, recursion_desired, packet, question_end, asked, header, edns };
        query.check_scope()
    }

    /// Refuses what is well-formed but no business of ours: other EDNS versions, other classes than
    /// the internet's, whole zones.
    fn check_scope(self) -> Result<Self, Unusable> {
        if self.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
            return Err(Unusable::Reply(self.error(ResponseCode::BADVERS)));
        }
        let internet = matches!(self.asked.query_class(), DNSClass::IN | DNSClass::ANY);
        let transfer = matches!(self.asked.query_type(), RecordType::AXFR | RecordType::IXFR);
        if !internet || transfer {
            return Err(Unusable::Reply(self.error(ResponseCode::Refused)));
        }
        Ok(self)
    }

    pub(super) fn id(&self) -> u16 {
        self.header.id
    }

    /// The size of the largest answer the asker takes.
    pub(super) fn capacity(&self, transport: Transport) -> usize {
        match transport {
            Transport::Tcp => u16::MAX.into(),
            Transport::Udp => self.edns.as_ref().map_or(0, Edns::max_payload).max(UDP_PAYLOAD_MIN).into(),
        }
    }

    /// The question without what may differ between equal ones: the id and the case of the name.
    pub(super) fn essence(&self) -> Vec<u8> {
        let mut essence = self.packet[2..].to_vec();
        essence[HEADER_LEN - 2..self.question_end - 6].make_ascii_lowercase();
        essence
    }
}

/// Where the first question of `packet` ends. Names here are written out: in the first question there
/// is nothing a compression pointer could rightly point to.
pub(super) fn question_end(packet: &[u8]) -> Option<usize> {
    let mut at = HEADER_LEN;
    loop {
        let label = usize::from(*packet.get(at)?);
        at += 1 + label;
        match label {
            0 => break,
            1..=63 => {}
            _ => return None,
        }
    }
    let end = at + 4;
    (end <= packet.len()).then_some(end)
}

fn kind(kind: RecordType) -> Kind {
    match kind {
        RecordType::A => Kind::A,
        RecordType::AAAA => Kind::Aaaa,
        RecordType::ANY => Kind::Any,
        RecordType::PTR => Kind::Ptr,
        RecordType::NS | RecordType::SOA | RecordType::DS | RecordType::DNSKEY => Kind::Delegation,
        _ => Kind::Other,
    }
}

/// A name as text. Bytes that would read as something else (a dot inside a label) are escaped, so two
/// different names never become one text.
fn text(name: &Name) -> String {
    let mut text = String::with_capacity(name.len());
    for (at, label) in name.iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        for &byte in label {
            match byte {
                b'.' | b'\\' => text.extend(['\\', char::from(byte)]),
                0x21..=0x7e => text.push(char::from(byte)),
                _ => text.push_str(&format!("\\{byte:03}")),
            }
        }
    }
    text
}

#[cfg(test)]
pub(super) mod tests;
