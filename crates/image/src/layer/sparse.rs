//! Sparse files in tar: GNU's old format and its three PAX formats, as one map of data fragments.
//!
//! Source: GNU tar manual, appendix "Storing Sparse Files". Maps are checked before they are used:
//! ascending, not overlapping, inside the file, and together as long as the data that is stored.

use std::io::{self, BufRead, Read};

use tar::{GnuExtSparseHeader, Header};

use super::format::{BLOCK, TarError, number};

/// Fragments one file may have: far above what any real file has, and a bound on memory.
const MOST_FRAGMENTS: usize = 1 << 20;

/// Where the stored data of a sparse file belongs; the rest of `real_size` is holes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SparseMap {
    pub(crate) fragments: Vec<Fragment>,
    pub(crate) real_size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl SparseMap {
    fn push(&mut self, offset: u64, length: u64) -> Result<(), TarError> {
        if self.fragments.len() == MOST_FRAGMENTS {
            return Err(TarError::Sparse("it has too many fragments"));
        }
        self.fragments.push(Fragment { offset, length });
        Ok(())
    }

    /// Checks the map against `stored`, the bytes of data that follow in the archive.
    fn checked(self, stored: u64) -> Result<Self, TarError> {
        let mut end = 0;
        let mut sum = 0u64;
        for fragment in &self.fragments {
            if fragment.offset < end {
                return Err(TarError::Sparse("its fragments overlap or are out of order"));
            }
            end = fragment
                .offset
                .checked_add(fragment.length)
                .ok_or(TarError::Sparse("a fragment is too long"))?;
            sum += fragment.length;
        }
        if end > self.real_size {
            return Err(TarError::Sparse("a fragment lies beyond its end"));
        }
        if sum != stored {
            return Err(TarError::Sparse("its fragments are not as long as the stored data"));
        }
        Ok(self)
    }
}

/// What PAX records under `GNU.sparse.` said.
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    pub(super) name: Option<Vec<u8>>,
    version: (Option<u64>, Option<u64>),
    real_size: Option<u64>,
    pending_offset: Option<u64>,
    map: SparseMap,
}

impl SparseRecords {
    pub(super) fn apply(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        match key {
            b"name" => self.name = Some(value.to_vec()).filter(|name| !name.is_empty() && !name.contains(&0)),
            b"major" => self.version.0 = number(value)?,
            b"minor" => self.version.1 = number(value)?,
            b"size" | b"realsize" => self.real_size = number(value)?,
            b"offset" => self.pending_offset = number(value)?,
            b"numbytes" => {
                let offset = self.pending_offset.take().ok_or(TarError::Sparse("a length has no offset"))?;
                self.map.push(offset, number(value)?.unwrap_or(0))?;
            }
            b"map" => self.read_map(value)?,
            _ => {}
        }
        Ok(())
    }

    fn read_map(&mut self, value: &[u8]) -> Result<(), TarError> {
        const BAD: TarError = TarError::Sparse("its map is malformed");
        self.map.fragments.clear();
        let mut numbers = value.split(|&b| b == b',').map(|text| number(text)?.ok_or(BAD));
        while let Some(offset) = numbers.next() {
            let length = numbers.next().ok_or(BAD)??;
            self.map.push(offset?, length)?;
        }
        Ok(())
    }

    /// The map, if the records made the entry a sparse file. Format 1.0 keeps it in front of the
    /// data, so `stored` becomes less by what is read.
    pub(super) fn into_map(
        self,
        input: &mut impl BufRead,
        stored: &mut u64,
    ) -> Result<Option<SparseMap>, TarError> {
        let Some(real_size) = self.real_size else { return Ok(None) };
        let map = match self.version {
            (Some(1), Some(0) | None) => map_in_front(input, stored)?,
            (None | Some(0), _) => self.map,
            _ => return Err(TarError::Sparse("its format version is unknown")),
        };
        SparseMap { real_size, ..map }.checked(*stored).map(Some)
    }
}

fn map_in_front(input: &mut impl BufRead, stored: &mut u64) -> Result<SparseMap, TarError> {
    let mut lines = Lines { input, left: *stored, read: 0 };
    let count = lines.number()?;
    let mut map = SparseMap::default();
    for _ in 0..count {
        let (offset, length) = (lines.number()?, lines.number()?);
        map.push(offset, length)?;
    }
    let padding = lines.read.next_multiple_of(BLOCK as u64) - lines.read;
    let skipped =
        io::copy(&mut lines.input.by_ref().take(padding), &mut io::sink()).map_err(TarError::Read)?;
    *stored =
        stored.checked_sub(lines.read + padding).filter(|_| skipped == padding).ok_or(TarError::Truncated)?;
    Ok(map)
}

/// Decimal numbers, one a line.
struct Lines<'a, R> {
    input: &'a mut R,
    left: u64,
    read: u64,
}

impl<R: BufRead> Lines<'_, R> {
    fn number(&mut self) -> Result<u64, TarError> {
        let mut line = Vec::with_capacity(20);
        let bound = (self.left - self.read).min(24);
        self.input.by_ref().take(bound).read_until(b'\n', &mut line).map_err(TarError::Read)?;
        self.read += line.len() as u64;
        let bad = TarError::Sparse("its map is malformed");
        match line.split_last() {
            Some((b'\n', digits)) => number(digits)?.ok_or(bad),
            _ => Err(bad),
        }
    }
}

/// The map of GNU's old format: four fragments in the header, 21 in each block that follows it.
pub(super) fn old_gnu_map(
    header: &Header,
    input: &mut impl Read,
    stored: u64,
) -> Result<SparseMap, TarError> {
    let gnu = header.as_gnu().ok_or(TarError::Sparse("it has no GNU header"))?;
    let bad = |_| TarError::Sparse("its map is malformed");
    let mut map = SparseMap { real_size: gnu.real_size().map_err(bad)?, ..SparseMap::default() };
    for fragment in gnu.sparse.iter().filter(|fragment| !fragment.is_empty()) {
        map.push(fragment.offset().map_err(bad)?, fragment.length().map_err(bad)?)?;
    }
    let mut more = gnu.is_extended();
    while more {
        let mut block = GnuExtSparseHeader::new();
        input.read_exact(block.as_mut_bytes()).map_err(|_| TarError::Truncated)?;
        for fragment in block.sparse().iter().filter(|fragment| !fragment.is_empty()) {
            map.push(fragment.offset().map_err(bad)?, fragment.length().map_err(bad)?)?;
        }
        more = block.is_extended();
    }
    map.checked(stored)
}
