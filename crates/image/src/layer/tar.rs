//! Entries of a tar stream: ustar, GNU and PAX, one after the other, from a reader that can't seek.
//!
//! Owns parsing only; nothing here touches a file system. Metadata is bounded, so a hostile archive
//! can't fill memory. Where implementations differ, this one does as Go's `archive/tar`, which
//! Docker and containerd read with: entries without content have none, whatever their size field says,
//! and an extended header's `size` counts for the entry alone, never for a long-name header before it.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use tar::{EntryType, Header};

use super::format::{BLOCK, LONGEST_METADATA, TarError};
use super::pax::PaxRecords;
use super::sparse::{SparseMap, old_gnu_map};

/// Where a header has its entry's kind.
const KIND: usize = 156;

/// What an entry makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    CharDevice,
    BlockDevice,
}

/// One entry's metadata; the content is read from the [`TarReader`] itself.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// As the archive spells it: not to be trusted.
    pub(crate) path: Vec<u8>,
    /// Target of a symbolic or hard link, as the archive spells it.
    pub(crate) link: Vec<u8>,
    /// Permission bits with set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970, perhaps negative, and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: Option<SparseMap>,
    /// Bytes of content in the archive.
    pub(crate) stored: u64,
}

/// Reads entries in turn; as a reader, it gives the content of the entry that `next` was called for.
#[derive(Debug)]
pub(crate) struct TarReader<R> {
    input: R,
    content: u64,
    padding: u64,
}

/// What headers before an entry said about it.
#[derive(Default)]
struct Ahead {
    pax: PaxRecords,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: BufRead> TarReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, content: 0, padding: 0 }
    }

    /// The next entry, or `None` at the end. What was not read of the one before is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip(self.content)?;
        // Some writers end an archive right after the last file's content.
        self.skip(self.padding).or_else(|error| match error {
            TarError::Truncated => Ok(()),
            other => Err(other),
        })?;
        (self.content, self.padding) = (0, 0);
        let mut ahead = Ahead::default();
        while let Some(header) = self.header()? {
            match header.entry_type() {
                EntryType::XHeader => ahead.pax = PaxRecords::parse(&self.metadata(&header)?)?,
                EntryType::GNULongName => ahead.long_name = Some(until_nul(self.metadata(&header)?)),
                EntryType::GNULongLink => ahead.long_link = Some(until_nul(self.metadata(&header)?)),
                EntryType::XGlobalHeader => drop(self.metadata(&header)?),
                _ => return self.entry(&header, ahead).map(Some),
            }
        }
        Ok(None)
    }

    /// Reads to the end of the input, past the archive's own end: digests cover all of it.
    pub(crate) fn drain(mut self) -> Result<R, TarError> {
        io::copy(&mut self.input, &mut io::sink()).map_err(TarError::Read)?;
        Ok(self.input)
    }

    /// Hands the rest of the content to `sink`, piece by piece, without copying it.
    pub(crate) fn for_each_chunk<E: From<TarError>>(
        &mut self,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.content > 0 {
            let buffer = self.input.fill_buf().map_err(TarError::Read)?;
            let length = buffer.len().min(usize::try_from(self.content).unwrap_or(usize::MAX));
            if length == 0 {
                return Err(TarError::Truncated.into());
            }
            sink(&buffer[..length])?;
            self.input.consume(length);
            self.content -= length as u64;
        }
        Ok(())
    }

    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let Some(header) = self.block()? else { return Ok(None) };
        if is_zero(&header) {
            return match self.block()? {
                Some(second) if !is_zero(&second) => Err(TarError::LoneZeroBlock),
                _ => Ok(None),
            };
        }
        check_sum(header.as_bytes())?;
        Ok(Some(header))
    }

    /// One block, or `None` at the very end of the input.
    fn block(&mut self) -> Result<Option<Header>, TarError> {
        let mut header = Header::new_old();
        let bytes = header.as_mut_bytes();
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut bytes[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(TarError::Truncated),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Read(error)),
            }
        }
        Ok(Some(header))
    }

    fn metadata(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        let size = size_of(header)?;
        if size > LONGEST_METADATA {
            return Err(TarError::MetadataTooLong(size));
        }
        let mut bytes = vec![0; size as usize];
        self.input.read_exact(&mut bytes).map_err(|_| TarError::Truncated)?;
        self.skip(size.next_multiple_of(BLOCK as u64) - size)?;
        Ok(bytes)
    }

    fn entry(&mut self, header: &Header, ahead: Ahead) -> Result<Entry, TarError> {
        let Ahead { mut pax, long_name, long_link } = ahead;
        let path = pax.sparse.name.take().or(pax.path).or(long_name);
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = pax.link.or(long_link).or_else(|| header.link_name_bytes().map(Cow::into_owned));
        let kind = kind_of(header, &path)?;
        let size = pax.size.map_or_else(|| size_of(header), Ok)?;
        self.content = if kind == Kind::File { size } else { 0 };
        let padded = self.content.checked_next_multiple_of(BLOCK as u64).ok_or(TarError::Field("size"))?;
        self.padding = padded - self.content;
        let sparse = match kind {
            Kind::File if header.entry_type() == EntryType::GNUSparse => {
                Some(old_gnu_map(header, &mut self.input, self.content)?)
            }
            Kind::File => pax.sparse.into_map(&mut self.input, &mut self.content)?,
            _ => None,
        };
        Ok(Entry {
            kind,
            path,
            link: link.unwrap_or_default(),
            mode: header_number(&header.as_old().mode, "mode")? as u32 & 0o7777,
            uid: id(pax.uid, &header.as_old().uid, "uid")?,
            gid: id(pax.gid, &header.as_old().gid, "gid")?,
            mtime: match pax.mtime {
                Some(time) => time,
                None => (header_number(&header.as_old().mtime, "mtime")?, 0),
            },
            device: device_of(header, kind)?,
            xattrs: pax.xattrs,
            sparse,
            stored: self.content,
        })
    }

    fn skip(&mut self, bytes: u64) -> Result<(), TarError> {
        let skipped =
            io::copy(&mut self.input.by_ref().take(bytes), &mut io::sink()).map_err(TarError::Read)?;
        if skipped == bytes { Ok(()) } else { Err(TarError::Truncated) }
    }
}

impl<R: BufRead> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.by_ref().take(self.content).read(buffer)?;
        if n == 0 && self.content > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.content -= n as u64;
        Ok(n)
    }
}

fn kind_of(header: &Header, path: &[u8]) -> Result<Kind, TarError> {
    Ok(match header.entry_type() {
        // Before POSIX there was no kind, and a directory was a file whose name ends with a slash.
        EntryType::Regular if header.as_bytes()[KIND] == 0 && path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Link => Kind::HardLink,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Char => Kind::CharDevice,
        EntryType::Block => Kind::BlockDevice,
        EntryType::Directory => Kind::Directory,
        EntryType::Fifo => Kind::Fifo,
        other => return Err(TarError::Type(other.as_byte())),
    })
}

fn device_of(header: &Header, kind: Kind) -> Result<(u32, u32), TarError> {
    // Before POSIX there were no such fields either.
    let has_fields = header.as_bytes()[257..].starts_with(b"ustar");
    if !has_fields || !matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
        return Ok((0, 0));
    }
    let bytes = header.as_bytes();
    let number = |range: std::ops::Range<usize>| {
        let number = header_number(&bytes[range], "device")?;
        u32::try_from(number).map_err(|_| TarError::Field("device"))
    };
    Ok((number(329..337)?, number(337..345)?))
}

fn size_of(header: &Header) -> Result<u64, TarError> {
    u64::try_from(header_number(&header.as_old().size, "size")?).map_err(|_| TarError::Field("size"))
}

fn id(pax: Option<u64>, field: &[u8], name: &'static str) -> Result<u32, TarError> {
    let id = match pax {
        Some(id) => id,
        None => u64::try_from(header_number(field, name)?).map_err(|_| TarError::Field(name))?,
    };
    // The highest id means "leave as it is" to chown(2), so no file can have it.
    u32::try_from(id).ok().filter(|&id| id != u32::MAX).ok_or(TarError::Field(name))
}

/// A numeric field: octal digits among spaces and NULs, or GNU's base 256 with the top bit set.
fn header_number(field: &[u8], name: &'static str) -> Result<i64, TarError> {
    let bad = || TarError::Field(name);
    if field[0] & 0x80 != 0 {
        let negative = field[0] & 0x40 != 0;
        let first = if negative { field[0] } else { field[0] & 0x7f };
        let start = if negative { -1i128 } else { 0 };
        let number =
            field[1..].iter().fold((start << 8) | i128::from(first), |n, &b| (n << 8) | i128::from(b));
        return i64::try_from(number).map_err(|_| bad());
    }
    let text = std::str::from_utf8(field).map_err(|_| bad())?;
    match text.trim_matches([' ', '\0']) {
        "" => Ok(0),
        digits if digits.starts_with(['+', '-']) => Err(bad()),
        digits => i64::from_str_radix(digits, 8).map_err(|_| bad()),
    }
}

/// The checksum counts its own field as spaces; some old writers added signed bytes.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), TarError> {
    let stored = header_number(&block[148..156], "checksum").map_err(|_| TarError::Checksum)?;
    let counted = || block.iter().enumerate().map(|(i, &b)| if (148..156).contains(&i) { b' ' } else { b });
    let unsigned: i64 = counted().map(i64::from).sum();
    let signed: i64 = counted().map(|b| i64::from(b as i8)).sum();
    if stored == unsigned || stored == signed { Ok(()) } else { Err(TarError::Checksum) }
}

fn is_zero(header: &Header) -> bool {
    header.as_bytes().iter().all(|&b| b == 0)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len()));
    bytes
}
