//! PAX extended headers (POSIX.1-2017, `pax`, "pax Extended Header"): records `<length> <key>=<value>\n`.

use super::format::{TarError, number};
use super::sparse::SparseRecords;

/// What the records of one extended header say about the next entry.
#[derive(Debug, Default)]
pub(super) struct PaxRecords {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: SparseRecords,
}

impl PaxRecords {
    pub(super) fn parse(mut rest: &[u8]) -> Result<Self, TarError> {
        let mut records = Self::default();
        while !rest.is_empty() {
            let (record, after) = split_record(rest).ok_or(TarError::Pax("a record is malformed"))?;
            let equals =
                record.iter().position(|&b| b == b'=').ok_or(TarError::Pax("a record has no `=`"))?;
            records.apply(&record[..equals], &record[equals + 1..])?;
            rest = after;
        }
        Ok(records)
    }

    fn apply(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            self.xattrs.retain(|(known, _)| known != name);
            self.xattrs.push((name.to_vec(), value.to_vec()));
            return Ok(());
        }
        if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
            return self.sparse.apply(name, value);
        }
        // An empty value takes an earlier record back; the plain header's field counts again.
        match key {
            b"path" => self.path = text(value)?,
            b"linkpath" => self.link = text(value)?,
            b"size" => self.size = number(value)?,
            b"uid" => self.uid = number(value)?,
            b"gid" => self.gid = number(value)?,
            b"mtime" => self.mtime = time(value)?,
            // Times of access and change, names of owners, comments: of no use in a layer.
            _ => {}
        }
        Ok(())
    }
}

/// Splits the first record off: what is between its length and its newline, and what follows.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|&b| b == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
        return None;
    }
    Some((&bytes[space + 1..length - 1], &bytes[length..]))
}

fn text(value: &[u8]) -> Result<Option<Vec<u8>>, TarError> {
    match value {
        [] => Ok(None),
        _ if value.contains(&0) => Err(TarError::Pax("a path has a NUL in it")),
        _ => Ok(Some(value.to_vec())),
    }
}

/// Seconds with a fraction of any length, perhaps negative, as (seconds, nanoseconds ≥ 0).
fn time(value: &[u8]) -> Result<Option<(i64, u32)>, TarError> {
    const BAD: TarError = TarError::Pax("a time is malformed");
    if value.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(value).map_err(|_| BAD)?;
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !(whole.bytes().chain(fraction.bytes())).all(|b| b.is_ascii_digit()) {
        return Err(BAD);
    }
    let seconds: i64 = whole.parse().map_err(|_| BAD)?;
    let nanos =
        (0..9).fold(0, |nanos, i| nanos * 10 + u32::from(fraction.as_bytes().get(i).map_or(0, |b| b - b'0')));
    Ok(Some(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_the_last_one_counts() {
        let records =
            PaxRecords::parse(b"9 path=a\n11 path=bc\n13 uid=70000\n23 mtime=-1.5000000001\n").unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"bc"[..]));
        assert_eq!(records.uid, Some(70000));
        assert_eq!(records.mtime, Some((-2, 500_000_000)));
    }

    #[test]
    fn an_empty_value_takes_a_record_back() {
        let records = PaxRecords::parse(b"9 path=a\n8 path=\n").unwrap();
        assert_eq!(records.path, None);
    }

    #[test]
    fn a_value_may_hold_newlines_and_equal_signs() {
        let records = PaxRecords::parse(b"29 SCHILY.xattr.user.a=\n=\nx\n\n").unwrap();
        assert_eq!(records.xattrs, [(b"user.a".to_vec(), b"\n=\nx\n".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for bytes in [
            &b"5 a=b"[..],
            b"99 path=a\n",
            b"0 path=a\n",
            b"path=a\n",
            b"9 path=a\n7 size\n",
            b"10 size=1x\n",
            b"18446744073709551616 path=a\n",
            b"11 path=a\0b\n",
            b"11 size=-12\n",
            b"11 uid=+123\n",
        ] {
            assert!(PaxRecords::parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
