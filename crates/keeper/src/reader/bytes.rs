//! A stream's bytes across its segments, while they are written, rolled over and removed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::segments::{Stream, list, segment_path};

/// Where to start reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest byte that is kept.
    Oldest,
    /// Behind the newest byte: only what comes from now on.
    Newest,
    /// With the given byte of the given segment, or with what is kept after it.
    At {
        /// The number of the segment.
        segment: u64,
        /// The offset of the byte in it.
        offset: u64,
    },
}

/// Reads a stream as plain bytes, such as a terminal's output to pass on.
#[derive(Debug)]
pub struct Bytes {
    dir: PathBuf,
    stream: Stream,
    file: Option<File>,
    segment: u64,
    offset: u64,
}

impl Bytes {
    /// Starts reading. The log need not exist yet.
    ///
    /// # Errors
    ///
    /// When the folder is there but can't be read.
    pub fn open(dir: &Path, stream: Stream, start: Start) -> io::Result<Bytes> {
        let mut bytes = Bytes { dir: dir.to_owned(), stream, file: None, segment: 0, offset: 0 };
        match start {
            Start::Oldest => {}
            Start::At { segment, offset } => (bytes.segment, bytes.offset) = (segment, offset),
            Start::Newest => {
                if let Some(&newest) = list(dir, stream)?.last() {
                    bytes.segment = newest;
                    bytes.offset = std::fs::metadata(segment_path(dir, stream, newest))?.len();
                }
            }
        }
        Ok(bytes)
    }

    /// The segment of the next byte, and its offset in it.
    pub fn position(&self) -> (u64, u64) {
        (self.segment, self.offset)
    }

    /// Reads what there is, all of it from one segment. 0 means: nothing more for now.
    ///
    /// # Errors
    ///
    /// When a segment can't be read. That it has been removed is no error: reading goes on behind it.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.file.is_none() && !self.enter(self.segment)? {
                return Ok(0);
            }
            let read = self.read_here(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            if !self.has_successor()? {
                return Ok(0);
            }
            // The last bytes of this segment came before the next one existed, perhaps after our read.
            let read = self.read_here(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let next = self.segment + 1;
            (self.file, self.segment, self.offset) = (None, next, 0);
        }
    }

    fn read_here(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        let mut read = file.read_at(buffer, self.offset)?;
        if read == 0 && file.metadata()?.len() < self.offset {
            self.offset = 0; // It was cut from outside.
            read = file.read_at(buffer, 0)?;
        }
        self.offset += read as u64;
        Ok(read)
    }

    /// Opens the first segment from `number` on. False when there is none.
    fn enter(&mut self, number: u64) -> io::Result<bool> {
        for found in list(&self.dir, self.stream)?.into_iter().filter(|found| *found >= number) {
            match File::open(segment_path(&self.dir, self.stream, found)) {
                Ok(file) => {
                    if found != self.segment {
                        (self.segment, self.offset) = (found, 0);
                    }
                    self.file = Some(file);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // removed since it was listed
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn has_successor(&self) -> io::Result<bool> {
        if segment_path(&self.dir, self.stream, self.segment + 1).try_exists()? {
            return Ok(true);
        }
        // The next one may be gone as well, when the writer is faster than we are.
        let overtaken = !segment_path(&self.dir, self.stream, self.segment).try_exists()?;
        Ok(overtaken && list(&self.dir, self.stream)?.last().is_some_and(|newest| *newest > self.segment))
    }
}
