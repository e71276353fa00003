//! Compression of layers and archives, recognised by its first bytes, whatever the media type says.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

/// One read of a decoder, and one piece of file content: large, so that few calls are needed.
const BUFFER: usize = 256 << 10;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    /// Recognises a stream by its first bytes (at least six, unless it is shorter).
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame, which zstd:chunked puts first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }
}

/// A buffered reader of what `input` holds after decompression.
pub(crate) fn decoder<'a>(input: impl Read + Send + 'a) -> io::Result<Box<dyn BufRead + Send + 'a>> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let (start, length) = first_bytes(&mut input)?;
    let compression = Compression::of(&start[..length]);
    let input = io::Cursor::new(start).take(length as u64).chain(input);
    Ok(match compression {
        Compression::None => Box::new(BufReader::with_capacity(BUFFER, input)),
        Compression::Gzip => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(input))),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        }
        Compression::Bzip2 => {
            Box::new(BufReader::with_capacity(BUFFER, bzip2::bufread::MultiBzDecoder::new(input)))
        }
        Compression::Xz => Box::new(BufReader::with_capacity(BUFFER, XzReader::new(input, true))),
    })
}

/// The first six bytes, or fewer at the end: one read of a pipe may give less than that.
fn first_bytes(input: &mut impl Read) -> io::Result<([u8; 6], usize)> {
    let mut start = [0; 6];
    let mut length = 0;
    while length < start.len() {
        match input.read(&mut start[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((start, length))
}
