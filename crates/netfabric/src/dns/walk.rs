//! A message record by record, without making sense of what is in them. Pure.
//!
//! Owns the bounds of names: compression pointers lead backwards only, so that no name is endless, and no name is longer
//! than 255 bytes (RFC 1035, 3.1 and 4.1.4).

use hickory_proto::rr::RecordType;

use super::message::HEADER_LEN;

const LONGEST_NAME: usize = 255;
/// Type, class, time to live and length of a record (RFC 1035, 4.1.3).
const RECORD_LEN: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// A name in lower case, its labels from the last to the first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(Vec<Vec<u8>>);

impl Name {
    pub(super) fn is_at_or_below(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    pub(super) section: Section,
    pub(super) owner: Name,
    pub(super) kind: RecordType,
    /// What a CNAME says that its owner is an alias of.
    pub(super) alias: Option<Name>,
}

/// A message with one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    pub(super) name: Name,
    pub(super) kind: RecordType,
    pub(super) records: Vec<Walk>,
    /// Where the last record ends: what follows is no part of the message.
    pub(super) end: usize,
}

/// None where the message is not what its header says, or a name in front of a record can't be read.
pub(super) fn walk(message: &[u8]) -> Option<Walked> {
    let count = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let (asked, name_end) = name(message, HEADER_LEN)?;
    let kind = RecordType::from(count(name_end)?);
    let mut walked = Walked { name: asked, kind, records: Vec::new(), end: name_end + 4 };
    for (section, at) in [(Section::Answer, 6), (Section::Authority, 8), (Section::Additional, 10)] {
        for _ in 0..count(at)? {
            let (record, end) = record(message, walked.end, section)?;
            walked.records.push(record);
            walked.end = end;
        }
    }
    (walked.end <= message.len()).then_some(walked)
}

fn record(message: &[u8], at: usize, section: Section) -> Option<(Walk, usize)> {
    let (owner, fixed) = name(message, at)?;
    let fields = message.get(fixed..fixed + RECORD_LEN)?;
    let kind = RecordType::from(u16::from_be_bytes([fields[0], fields[1]]));
    let length = usize::from(u16::from_be_bytes([fields[8], fields[9]]));
    let (data, end) = (fixed + RECORD_LEN, fixed + RECORD_LEN + length);
    message.get(data..end)?;
    let alias = match kind {
        RecordType::CNAME => {
            let (alias, alias_end) = name(message, data)?;
            (alias_end == end).then_some(())?;
            Some(alias)
        }
        _ => None,
    };
    Some((Walk { section, owner, kind, alias }, end))
}

/// The name at `at`, and where what comes after it begins.
fn name(message: &[u8], at: usize) -> Option<(Name, usize)> {
    let (mut labels, mut length, mut at, mut lowest, mut end) = (Vec::new(), 1, at, at, None);
    loop {
        let first = *message.get(at)?;
        match first {
            0 => break,
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(first))?;
                length += 1 + label.len();
                labels.push(label.to_ascii_lowercase());
                at += 1 + label.len();
            }
            0xc0.. => {
                let to = usize::from(u16::from_be_bytes([first & 0x3f, *message.get(at + 1)?]));
                end.get_or_insert(at + 2);
                if to >= lowest {
                    return None;
                }
                (at, lowest) = (to, to);
            }
            _ => return None,
        }
        if length > LONGEST_NAME {
            return None;
        }
    }
    labels.reverse();
    Some((Name(labels), end.unwrap_or(at + 1)))
}
