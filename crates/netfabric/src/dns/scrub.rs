//! What of another resolver's answer is passed on. Answers come from outside and may be forged or poisoned.
//!
//! An answer is taken only as a whole, and of it only what was asked for: records of the name, of the names that its
//! aliases lead to, and what says that there are none. Anything else, such as addresses of other names in the additional
//! section, could find its way into an instance's cache (RFC 2181, 5.4.1; RFC 5452, 6). An answer with nothing to take
//! out is passed on byte by byte. Pure.

use std::collections::BTreeSet;

use hickory_proto::op::Message;
use hickory_proto::rr::{Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable, BinEncoder};

use super::message::HEADER_LEN;
use super::message::question_end;
use super::walk::{Name, Section, Walked, walk};

/// Longer chains of aliases than anybody has.
const MOST_ALIASES: usize = 32;

/// What is to be done with what came from a server that was asked `packet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It answers something else, or was sent by somebody else: the answer may still come.
    Foreign,
    /// The server's own answer, and it can't be used.
    Unusable,
    Usable(Vec<u8>),
}

pub(super) fn judge(packet: &[u8], answer: Vec<u8>) -> Judged {
    if !belongs(packet, &answer) {
        return Judged::Foreign;
    }
    if answer[4..6] == [0, 0] {
        // An error without the question: nothing of it but the header counts.
        let mut bare = answer[..HEADER_LEN].to_vec();
        bare[4..].fill(0);
        return Judged::Usable(bare);
    }
    match scrubbed(answer) {
        Some(clean) => Judged::Usable(clean),
        None => Judged::Unusable,
    }
}

/// Whether `answer` answers `packet`: its id, its question. A server that could not read the question
/// may leave it out of its error.
fn belongs(packet: &[u8], answer: &[u8]) -> bool {
    let Some(end) = question_end(packet) else { return false };
    let is_response = |flags: u8| flags & 0x80 != 0 && flags & 0x78 == packet[2] & 0x78;
    if answer.len() < HEADER_LEN || answer[..2] != packet[..2] || !is_response(answer[2]) {
        return false;
    }
    match answer[4..6] {
        [0, 0] => answer[3] & 0x0f != 0,
        [0, 1] => {
            let name_end = end - 4;
            answer.len() >= end
                && answer[HEADER_LEN..name_end].eq_ignore_ascii_case(&packet[HEADER_LEN..name_end])
                && answer[name_end..end] == packet[name_end..end]
        }
        _ => false,
    }
}

/// The answer without what was not asked for. None: it can't be read.
fn scrubbed(mut answer: Vec<u8>) -> Option<Vec<u8>> {
    let walked = walk(&answer)?;
    let keep = kept(&walked);
    if keep.iter().all(|kept| *kept) {
        answer.truncate(walked.end);
        return Some(answer);
    }
    let mut message = Message::from_bytes(&answer[..walked.end]).ok()?;
    let mut keep = keep.into_iter();
    // In the order in which they were walked. EDNS is apart in a message, and stays.
    let additional: Vec<bool> = {
        let mut retain = |records: &mut Vec<Record>| records.retain(|_| keep.next().unwrap_or(false));
        retain(&mut message.answers);
        retain(&mut message.authorities);
        keep.collect()
    };
    debug_assert!(additional.len() >= message.additionals.len());
    message.additionals.clear();
    let mut bytes = Vec::with_capacity(answer.len());
    message.emit(&mut BinEncoder::new(&mut bytes)).ok()?;
    Some(bytes)
}

/// Of each record, whether it is passed on.
fn kept(walked: &Walked) -> Vec<bool> {
    let names = chain(walked);
    let above = |name: &Name| names.iter().any(|known| known.is_at_or_below(name));
    let kept = |record: &super::walk::Walk| match record.section {
        Section::Answer => match record.kind {
            RecordType::DNAME => above(&record.owner),
            RecordType::CNAME | RecordType::RRSIG => names.contains(&record.owner) || above(&record.owner),
            kind => names.contains(&record.owner) && (kind == walked.kind || walked.kind == RecordType::ANY),
        },
        Section::Authority => match record.kind {
            RecordType::SOA | RecordType::NS | RecordType::DS => above(&record.owner),
            // Proofs that a name or a type is not there have names of their own (RFC 4034, 4; RFC 5155, 3).
            RecordType::NSEC | RecordType::NSEC3 | RecordType::RRSIG => true,
            _ => false,
        },
        Section::Additional => record.kind == RecordType::OPT,
    };
    walked.records.iter().map(kept).collect()
}

/// The name that was asked for, and those that its aliases lead to.
fn chain(walked: &Walked) -> BTreeSet<Name> {
    let mut names = BTreeSet::from([walked.name.clone()]);
    for _ in 0..MOST_ALIASES {
        let before = names.len();
        let aliases = walked.records.iter().filter(|record| record.section == Section::Answer);
        let next: Vec<Name> = aliases
            .filter(|record| names.contains(&record.owner))
            .filter_map(|record| record.alias.clone())
            .collect();
        names.extend(next);
        if names.len() == before {
            break;
        }
    }
    names
}

#[cfg(test)]
mod tests;
