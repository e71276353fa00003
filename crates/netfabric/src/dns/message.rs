//! Messages on the wire: a packet into a [`Query`], an answer into a packet.
//!
//! Owns what is a usable question, the size an answer may have, and what is cut when it is larger.
//! What is passed on to other resolvers stays bytes: it is sent as it came, so nothing that this
//! build does not know can be lost on the way.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query as Asked, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};

use super::resolve::{Answer, Kind, Question};

/// How long an answer may be kept, in seconds. Instances come and go, and one that goes is drained
/// for longer than this, so nobody is led to an address that is gone. Not zero, because some
/// resolvers take zero for an error, and because one second already spares us a busy client's bursts.
const TTL: u32 = 1;

/// The largest answer sent over UDP, whatever the asker could take: what passes every link unbroken,
/// tunnels included (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;

/// What an asker without EDNS takes (RFC 1035, 4.2.1).
const UDP_PAYLOAD_MIN: u16 = 512;

const HEADER_LEN: usize = 12;
const OPT_LEN: u16 = 11;

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
    question_end: usize,
    asked: Asked,
    header: Header,
    edns: Option<Edns>,
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

    /// The packet that says `answer`; `turn` is where a rotated list starts. Forwarded questions are
    /// not answered here.
    pub(super) fn reply(&self, answer: &Answer<'_>, turn: usize, transport: Transport) -> Vec<u8> {
        let records = match answer {
            Answer::Addresses { addresses, rotate, .. } => {
                let start = if *rotate { turn % addresses.len().max(1) } else { 0 };
                addresses.iter().cycle().skip(start).take(addresses.len()).map(|a| address(*a)).collect()
            }
            Answer::Pointer(name) => match Name::from_ascii(name) {
                Ok(name) => vec![RData::PTR(PTR(absolute(name)))],
                Err(_) => return self.error(ResponseCode::ServFail),
            },
            Answer::NoSuchName(_) => return self.error(ResponseCode::NXDomain),
            Answer::Refused(_) => return self.error(ResponseCode::Refused),
            Answer::Forward(_) => return self.error(ResponseCode::ServFail),
        };
        let limit = self.capacity(transport);
        let limit = if transport == Transport::Udp { limit.min(UDP_PAYLOAD.into()) } else { limit };
        let owner = self.asked.name();
        let records = records.into_iter().map(|data| Record::from_rdata(owner.clone(), TTL, data));
        fitted(self.skeleton(ResponseCode::NoError), records.collect(), limit)
    }

    /// The question without what may differ between equal ones: the id and the case of the name.
    pub(super) fn essence(&self) -> Vec<u8> {
        let mut essence = self.packet[2..].to_vec();
        essence[HEADER_LEN - 2..self.question_end - 6].make_ascii_lowercase();
        essence
    }

    /// Another resolver's answer as an answer to this question: under its id, with the name as the
    /// asker wrote it, and cut when the asker can't take it whole.
    pub(super) fn adopt(&self, answer: &[u8], transport: Transport) -> Vec<u8> {
        let mut adopted = answer.to_vec();
        if answer.len() > self.capacity(transport) {
            let mut message = self.skeleton(ResponseCode::NoError);
            message.metadata.authoritative = false;
            message.metadata.truncation = true;
            return encoded(&message, u16::MAX);
        }
        adopted[..2].copy_from_slice(&self.header.id.to_be_bytes());
        if adopted[4..6] == [0, 1] {
            adopted[HEADER_LEN..self.question_end]
                .copy_from_slice(&self.packet[HEADER_LEN..self.question_end]);
        }
        adopted
    }

    pub(super) fn server_failure(&self) -> Vec<u8> {
        self.error(ResponseCode::ServFail)
    }

    pub(super) fn refused(&self) -> Vec<u8> {
        self.error(ResponseCode::Refused)
    }

    fn error(&self, code: ResponseCode) -> Vec<u8> {
        encoded(&self.skeleton(code), u16::MAX)
    }

    /// An answer without records. Negative answers carry no SOA on purpose: without one they are not
    /// cached (RFC 2308, 5), and a service that starts a moment later is found at once.
    fn skeleton(&self, code: ResponseCode) -> Message {
        let mut message = Message::error_msg(self.header.id, OpCode::Query, code);
        message.metadata.recursion_desired = self.header.recursion_desired;
        message.metadata.checking_disabled = self.header.checking_disabled;
        message.metadata.recursion_available = true;
        message.metadata.authoritative = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        message.add_query(self.asked.clone());
        if let Some(asked) = &self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_PAYLOAD).set_dnssec_ok(asked.flags().dnssec_ok);
            message.set_edns(edns);
        }
        message
    }
}

/// Encodes as many of `records` as fit into `limit` bytes, and says so when some do not (TC). The
/// others still count: a resolver that can't ask again over TCP uses what it got.
fn fitted(mut message: Message, records: Vec<Record>, limit: usize) -> Vec<u8> {
    let limit = u16::try_from(limit).unwrap_or(u16::MAX);
    let edns = message.edns.take();
    message.insert_answers(records);
    // The encoder stops at the limit and counts what it wrote; EDNS comes after the answers, so its
    // place is kept free.
    let reserved = if edns.is_some() { OPT_LEN } else { 0 };
    let trial = encoded(&message, limit - reserved);
    if let Ok(header) = Header::read(&mut BinDecoder::new(&trial)) {
        message.metadata.truncation = header.truncation;
        message.answers.truncate(header.counts.answers.into());
    }
    message.edns = edns;
    encoded(&message, limit)
}

fn encoded(message: &Message, limit: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit);
    match message.emit(&mut encoder) {
        Ok(()) => bytes,
        // Every part was decoded from a packet or checked before: nothing can fail to encode.
        Err(_) => Vec::new(),
    }
}

/// The header alone, as an error: for packets whose question can't be repeated.
fn bare_error(header: &Header, code: ResponseCode) -> Vec<u8> {
    let mut message = Message::error_msg(header.id, header.op_code, code);
    message.metadata.recursion_desired = header.recursion_desired;
    encoded(&message, u16::MAX)
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

fn address(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

fn absolute(mut name: Name) -> Name {
    name.set_fqdn(true);
    name
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
mod tests;
