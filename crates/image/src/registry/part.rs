//! A part of a file as the body of a request.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::RegistryError;
use crate::digest::Digest;
use crate::progress::{Event, Progress};

/// Progress is told about once in so many bytes.
const TELL_EVERY: u64 = 256 << 10;

/// A part of a file, told about as it goes.
pub(super) struct Part<'a> {
    file: &'a File,
    blob: Digest,
    start: u64,
    length: u64,
    read: u64,
    told: u64,
    progress: &'a dyn Progress,
}

impl<'a> Part<'a> {
    pub(super) fn new(
        file: &'a File,
        blob: Digest,
        start: u64,
        length: u64,
        progress: &'a dyn Progress,
    ) -> Self {
        Self { file, blob, start, length, read: 0, told: 0, progress }
    }
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_cancelled() {
            return Err(io::Error::other(RegistryError::Cancelled));
        }
        let left = usize::try_from(self.length - self.read).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let n = self.file.read(&mut buffer[..wanted])?;
        self.read += n as u64;
        if self.read - self.told >= TELL_EVERY {
            self.told = self.read;
            self.progress.event(Event::Sent { blob: self.blob, bytes: self.start + self.read });
        }
        Ok(n)
    }
}

/// Its beginning is the part's; nothing else is asked for.
impl Seek for Part<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.file.seek(SeekFrom::Start(self.start + at))?;
        (self.read, self.told) = (at, at);
        Ok(at)
    }
}
