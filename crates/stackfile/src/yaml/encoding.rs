//! Bytes of a file to text: UTF-8, or UTF-16 behind its mark; and the characters that YAML has no place for.

use super::MAX_TEXT;
use super::malformed::{Malformed, Result};
use crate::diagnostic::{Diagnostic, Report};
use crate::source::{Span, clamp};

/// The text of a stack file that came without a file: UTF-8, or UTF-16 behind its mark.
///
/// # Errors
/// What is wrong with it, in words.
pub fn to_text(bytes: Vec<u8>) -> std::result::Result<String, String> {
    let mut report = Report::default();
    decode("it", bytes, &mut report).ok_or_else(|| {
        report.into_findings().into_iter().next().map_or_else(String::new, |found| found.message)
    })
}

/// Decodes a stack file's bytes, refusing what is too large, or neither UTF-8 nor UTF-16 with its mark. The mark at
/// the start is dropped.
pub fn decode(name: &str, bytes: Vec<u8>, report: &mut Report) -> Option<String> {
    let order: fn([u8; 2]) -> u16 = match bytes.get(..2) {
        Some([0xFF, 0xFE]) => u16::from_le_bytes,
        Some([0xFE, 0xFF]) => u16::from_be_bytes,
        _ => return decode_utf8(name, bytes, report),
    };
    if !is_small(name, bytes.len(), report) {
        return None;
    }
    let (units, left) = bytes[2..].as_chunks::<2>();
    let text: std::result::Result<String, _> =
        char::decode_utf16(units.iter().map(|unit| order(*unit))).collect();
    match text {
        Ok(text) if left.is_empty() => Some(text),
        _ => {
            let message = format!("{name} begins with the mark of UTF-16 and is not UTF-16");
            report.push(Diagnostic::error("invalid-utf16", message).help("save it as UTF-8"));
            None
        }
    }
}

/// Decodes a file's bytes, refusing what is no UTF-8 or too large. A byte-order mark is dropped.
pub(crate) fn decode_utf8(name: &str, bytes: Vec<u8>, report: &mut Report) -> Option<String> {
    if !is_small(name, bytes.len(), report) {
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let at = clamp(error.utf8_error().valid_up_to());
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let file = report.sources.add(name, text);
            let message = format!("{name} is not UTF-8: invalid byte at offset {at}");
            report.error("invalid-utf8", Span { file, start: at, end: at + 1 }, message);
            None
        }
    }
}

fn is_small(name: &str, length: usize, report: &mut Report) -> bool {
    let is_small = length <= MAX_TEXT;
    if !is_small {
        let message = format!("{name} is larger than {} MiB", MAX_TEXT >> 20);
        report.push(Diagnostic::error("file-too-large", message));
    }
    is_small
}

/// Control characters are no part of YAML, nor are two that Unicode reserves.
pub(super) fn check_characters(text: &str) -> Result<()> {
    let may_be_bad =
        |byte: &u8| matches!(byte, 0..0x20 | 0x7F | 0xC2 | 0xEF) && !matches!(byte, b'\n' | b'\t');
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(found) = bytes[from..].iter().position(may_be_bad) {
        let at = from + found;
        let length = match &bytes[at..] {
            [b'\r', ..] | [0xC2, 0x85 | 0xA0.., ..] => 0,
            [0xEF, 0xBF, 0xBE | 0xBF, ..] => 3,
            [0xEF, ..] => 0,
            [0xC2, ..] => 2,
            _ => 1,
        };
        if length > 0 {
            let code = text[at..].chars().next().map_or(0, u32::from);
            return Err(Malformed::new(
                format!("the character U+{code:04X} can't be here"),
                (at, at + length),
            )
            .help("in double quotes it is written as an escape, for instance `\\u0007`"));
        }
        from = at + 1;
    }
    Ok(())
}
