//! Answers on the wire: a decision, or another resolver's answer, into a packet.
//!
//! Owns how large an answer may be, what is cut when it is larger, and how long it may be kept.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Header, Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};

use super::message::{HEADER_LEN, Query, Transport};
use super::resolve::Answer;

/// How long an answer may be kept, in seconds. Instances come and go, and one that goes is drained
/// for longer than this, so nobody is led to an address that is gone. Not zero, because some
/// resolvers take zero for an error, and because one second already spares us a busy client's bursts.
const TTL: u32 = 1;

/// The largest answer sent over UDP, whatever the asker could take: what passes every link unbroken,
/// tunnels included (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;

/// An OPT record without options.
const OPT_LEN: u16 = 11;

impl Query {
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

    pub(super) fn error(&self, code: ResponseCode) -> Vec<u8> {
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
pub(super) fn bare_error(header: &Header, code: ResponseCode) -> Vec<u8> {
    let mut message = Message::error_msg(header.id, header.op_code, code);
    message.metadata.recursion_desired = header.recursion_desired;
    encoded(&message, u16::MAX)
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

#[cfg(test)]
mod tests;
