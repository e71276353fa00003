//! What all parts of the tar reader share: the block, bounds, numbers in extended headers, and what can be wrong.

use std::io;

pub(super) const BLOCK: usize = 512;
/// Longest extended header or long name, as Go's reader has it.
pub(super) const LONGEST_METADATA: u64 = 1 << 20;

/// Why a stream is not a tar archive that can be used.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    #[error("reading the archive failed")]
    Read(#[source] io::Error),
    #[error("the archive ends in the middle of an entry")]
    Truncated,
    #[error("a header's checksum is wrong: this is not a tar archive, or it is damaged")]
    Checksum,
    #[error("a header's {0} field is malformed")]
    Field(&'static str),
    #[error("an extended header is malformed: {0}")]
    Pax(&'static str),
    #[error("a sparse file is malformed: {0}")]
    Sparse(&'static str),
    #[error("an extended header or long name is {0} bytes long, at most {LONGEST_METADATA} are allowed")]
    MetadataTooLong(u64),
    #[error("entry type {:?} is not supported", char::from(*.0))]
    Type(u8),
    #[error("data follows a lone zero block")]
    LoneZeroBlock,
}

/// A decimal number; `None` for an empty value.
pub(super) fn number(value: &[u8]) -> Result<Option<u64>, TarError> {
    if value.is_empty() {
        return Ok(None);
    }
    let digits = value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    let number = text.and_then(|text| text.parse().ok());
    number.map(Some).ok_or(TarError::Pax("a number is malformed"))
}
