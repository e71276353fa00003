//! Writes tar archives byte by byte, as no sane writer would.

/// The fields of one header, and its content.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) kind: u8,
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) mtime: i64,
    pub(crate) device: (u32, u32),
    pub(crate) magic: &'static [u8; 8],
    /// Declared, when it is not the content's length.
    pub(crate) size: Option<u64>,
    /// Written over the header, before the checksum is made.
    pub(crate) patches: Vec<(usize, Vec<u8>)>,
    pub(crate) sum: Sum,
}

/// How the checksum is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sum {
    Unsigned,
    Signed,
    Wrong,
    /// Seven digits and a space, or no padding with zeros: other writers' habits.
    SevenDigits,
    Spaces,
}

pub(crate) const V7: &[u8; 8] = b"\0\0\0\0\0\0\0\0";
pub(crate) const USTAR: &[u8; 8] = b"ustar\x0000";
pub(crate) const GNU: &[u8; 8] = b"ustar  \0";

pub(crate) fn member(kind: u8, name: impl AsRef<[u8]>) -> Member {
    Member {
        kind,
        name: name.as_ref().to_vec(),
        link: Vec::new(),
        content: Vec::new(),
        mode: if kind == b'5' { 0o755 } else { 0o644 },
        owner: (0, 0),
        mtime: 1_400_000_000,
        device: (0, 0),
        magic: USTAR,
        size: None,
        patches: Vec::new(),
        sum: Sum::Unsigned,
    }
}

pub(crate) fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Member {
    Member { content: content.as_ref().to_vec(), ..member(b'0', name) }
}

pub(crate) fn dir(name: impl AsRef<[u8]>) -> Member {
    member(b'5', name)
}

pub(crate) fn symlink(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Member {
    Member { link: to.as_ref().to_vec(), mode: 0o777, ..member(b'2', name) }
}

pub(crate) fn hard(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Member {
    Member { link: to.as_ref().to_vec(), ..member(b'1', name) }
}

pub(crate) fn device(kind: u8, name: &str, major: u32, minor: u32) -> Member {
    Member { device: (major, minor), ..member(kind, name) }
}

impl Member {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut header = vec![0u8; 512];
        let put = |header: &mut [u8], at: usize, bytes: &[u8], room: usize| {
            let length = bytes.len().min(room);
            header[at..at + length].copy_from_slice(&bytes[..length]);
        };
        put(&mut header, 0, &self.name, 100);
        put(&mut header, 100, format!("{:07o}", self.mode).as_bytes(), 8);
        put(&mut header, 108, &number(self.owner.0 as i64, 8), 8);
        put(&mut header, 116, &number(self.owner.1 as i64, 8), 8);
        put(&mut header, 124, &number(self.size.unwrap_or(self.content.len() as u64) as i64, 12), 12);
        put(&mut header, 136, &number(self.mtime, 12), 12);
        put(&mut header, 156, &[self.kind], 1);
        put(&mut header, 157, &self.link, 100);
        put(&mut header, 257, self.magic, 8);
        if matches!(self.kind, b'3' | b'4') {
            put(&mut header, 329, &number(self.device.0.into(), 8), 8);
            put(&mut header, 337, &number(self.device.1.into(), 8), 8);
        }
        for (at, bytes) in &self.patches {
            put(&mut header, *at, bytes, 512);
        }
        let sum = checksum(self.sum, &header);
        put(&mut header, 148, &sum, 8);
        header.extend_from_slice(&self.content);
        header.resize(header.len().next_multiple_of(512), 0);
        header
    }
}

/// Octal digits where they suffice, else base 256.
fn number(n: i64, width: usize) -> Vec<u8> {
    let octal = format!("{n:0width$o}", width = width - 1);
    if n >= 0 && octal.len() < width { octal.into_bytes() } else { base256(n, width) }
}

pub(crate) fn base256(n: i64, width: usize) -> Vec<u8> {
    let mut bytes = vec![if n < 0 { 0xff } else { 0 }; width];
    let big = n.to_be_bytes();
    let kept = width.min(8);
    bytes[width - kept..].copy_from_slice(&big[8 - kept..]);
    bytes[0] |= 0x80;
    bytes
}

fn checksum(sum: Sum, header: &[u8]) -> Vec<u8> {
    let counted = header.iter().enumerate().map(|(i, &b)| if (148..156).contains(&i) { b' ' } else { b });
    let unsigned: i64 = counted.clone().map(i64::from).sum();
    match sum {
        Sum::Unsigned => format!("{unsigned:06o}\0 ").into_bytes(),
        Sum::Signed => format!("{:06o}\0 ", counted.map(|b| i64::from(b as i8)).sum::<i64>()).into_bytes(),
        Sum::Wrong => format!("{:06o}\0 ", unsigned + 1).into_bytes(),
        Sum::SevenDigits => format!("{unsigned:07o} ").into_bytes(),
        Sum::Spaces => format!("{unsigned:6o}\0 ").into_bytes(),
    }
}

/// The members and the two blocks of zeros that end an archive.
pub(crate) fn archive(members: &[Member]) -> Vec<u8> {
    ended(&[body(members)])
}

pub(crate) fn body(members: &[Member]) -> Vec<u8> {
    members.iter().flat_map(Member::bytes).collect()
}

pub(crate) fn ended(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

/// A PAX extended header.
pub(crate) fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    extended(b'x', records)
}

pub(crate) fn extended(kind: u8, records: &[(&str, &[u8])]) -> Vec<u8> {
    let records: Vec<u8> = records.iter().flat_map(|(key, value)| record(key.as_bytes(), value)).collect();
    raw_extended(kind, &records)
}

pub(crate) fn raw_extended(kind: u8, records: &[u8]) -> Vec<u8> {
    Member { content: records.to_vec(), ..member(kind, "PaxHeaders/x") }.bytes()
}

pub(crate) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..9).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n).unwrap();
    [format!("{length} ").as_bytes(), key, b"=", value, b"\n"].concat()
}

/// GNU's long name (`L`) or long link (`K`).
pub(crate) fn long(kind: u8, name: &[u8]) -> Vec<u8> {
    let content = [name, b"\0"].concat();
    Member { content, magic: GNU, ..member(kind, "././@LongLink") }.bytes()
}
