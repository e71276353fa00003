//! The index beside a segment: 16 bytes a record, little-endian, the newest last.
//!
//! The first word has the offset in its lower 56 bits and the kind above them; the second is what the kind
//! says. A record is written *before* the bytes it is about: so bytes always have a time, and a kill in
//! between leaves a record without bytes, which the next record at the same offset replaces.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

pub(crate) const RECORD_BYTES: u64 = 16;
const OFFSET_BITS: u32 = 56;

/// One entry of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    /// The bytes from `offset` on came at `wall_ns` (nanoseconds since 1970), up to the next record's.
    Time { offset: u64, wall_ns: i64 },
    /// Before the byte at `offset`, `lost` bytes were thrown away, as the disk had no room for them.
    Gap { offset: u64, lost: u64 },
    /// With the byte at `offset` begins what run number `attempt` of the instance wrote.
    Run { offset: u64, attempt: u64 },
}

impl Record {
    pub(crate) fn encode(self) -> [u8; RECORD_BYTES as usize] {
        let (kind, offset, value) = match self {
            Record::Time { offset, wall_ns } => (0_u64, offset, wall_ns.cast_unsigned()),
            Record::Gap { offset, lost } => (1, offset, lost),
            Record::Run { offset, attempt } => (2, offset, attempt),
        };
        let mut bytes = [0; RECORD_BYTES as usize];
        bytes[..8].copy_from_slice(&(kind << OFFSET_BITS | offset).to_le_bytes());
        bytes[8..].copy_from_slice(&value.to_le_bytes());
        bytes
    }

    /// `None` for a kind that a later version may have added.
    pub(crate) fn decode(bytes: [u8; RECORD_BYTES as usize]) -> Option<Record> {
        let (first, value) = bytes.split_at(8);
        let first = u64::from_le_bytes(first.try_into().ok()?);
        let value = u64::from_le_bytes(value.try_into().ok()?);
        let offset = first & ((1 << OFFSET_BITS) - 1);
        match first >> OFFSET_BITS {
            0 => Some(Record::Time { offset, wall_ns: value.cast_signed() }),
            1 => Some(Record::Gap { offset, lost: value }),
            2 => Some(Record::Run { offset, attempt: value }),
            _ => None,
        }
    }
}

/// Appends records to one index.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    file: File,
    /// Bytes, always whole records.
    size: u64,
}

impl IndexWriter {
    /// Opens or makes the index. A torn last record, left by a kill or a full disk, is cut off.
    pub(crate) fn open(path: &Path) -> io::Result<IndexWriter> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        let size = length - length % RECORD_BYTES;
        if size != length {
            file.set_len(size)?;
        }
        Ok(IndexWriter { file, size })
    }

    /// The time of the newest record, 0 when there is none.
    pub(crate) fn newest_ns(&self) -> i64 {
        let mut end = self.size;
        while let Some(at) = end.checked_sub(RECORD_BYTES) {
            let mut bytes = [0; RECORD_BYTES as usize];
            if self.file.read_exact_at(&mut bytes, at).is_err() {
                return 0;
            }
            if let Some(Record::Time { wall_ns, .. }) = Record::decode(bytes) {
                return wall_ns;
            }
            end = at;
        }
        0
    }

    /// Appends a record, whole or not at all. False when there was no room.
    pub(crate) fn append(&mut self, record: Record) -> bool {
        match self.file.write(&record.encode()) {
            Ok(written) if written as u64 == RECORD_BYTES => {
                self.size += RECORD_BYTES;
                true
            }
            Ok(_) => {
                let _ = self.file.set_len(self.size);
                false
            }
            Err(_) => false,
        }
    }

    /// Forgets all records: the segment was cut from outside, so they speak of bytes that are no more.
    pub(crate) fn clear(&mut self) {
        if self.file.set_len(0).is_ok() {
            self.size = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_round_trip_and_unknown_kinds_are_skipped() {
        for record in [
            Record::Time { offset: 0, wall_ns: -1 },
            Record::Time { offset: 1 << 40, wall_ns: 1_700_000_000_000_000_000 },
            Record::Gap { offset: 7, lost: u64::MAX },
            Record::Run { offset: 9, attempt: 3 },
        ] {
            assert_eq!(Record::decode(record.encode()), Some(record));
        }
        assert_eq!(Record::decode([0xff; 16]), None);
    }

    #[test]
    fn a_torn_record_is_cut_off_when_the_index_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stdout.00000001.idx");
        let record = Record::Time { offset: 3, wall_ns: 4 };
        assert!(IndexWriter::open(&path).unwrap().append(record));
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"torn").unwrap();
        assert!(IndexWriter::open(&path).unwrap().append(record));
        assert_eq!(std::fs::read(&path).unwrap(), [record.encode(), record.encode()].concat());
    }
}
