//! Looks at what is in a pipe without taking it out: `tee(2)` into a pipe of our own.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};

/// As much as is looked at in one go: the default capacity of a pipe.
const BYTES: usize = 64 << 10;

/// A pipe and a buffer for looking, one for the whole keeper.
#[derive(Debug)]
pub(crate) struct Peek {
    read: OwnedFd,
    write: OwnedFd,
    buffer: Vec<u8>,
}

impl Peek {
    pub(crate) fn new() -> io::Result<Peek> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Peek { read, write, buffer: Vec::new() })
    }

    /// How many bytes there are in `pipe` up to and including the first line end; all of them when there
    /// is none. `Errno::AGAIN` when it is empty.
    pub(crate) fn line(&mut self, pipe: BorrowedFd<'_>) -> Result<usize, Errno> {
        let seen = tee(pipe, &self.write, BYTES, SpliceFlags::NONBLOCK)?;
        self.buffer.resize(seen, 0);
        let mut filled = 0;
        while filled < seen {
            match rustix::io::read(&self.read, &mut self.buffer[filled..])? {
                0 => break,
                more => filled += more,
            }
        }
        let line = self.buffer.iter().position(|byte| *byte == b'\n').map_or(seen, |at| at + 1);
        // Rarely needed, so its memory isn't kept.
        self.buffer = Vec::new();
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_line_is_measured_and_stays_in_the_pipe() {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let mut peek = Peek::new().unwrap();
        assert_eq!(peek.line(read.as_fd()), Err(Errno::AGAIN));
        rustix::io::write(&write, b"ab").unwrap();
        assert_eq!(peek.line(read.as_fd()), Ok(2));
        rustix::io::write(&write, b"c\nd").unwrap();
        assert_eq!(peek.line(read.as_fd()), Ok(4));
        let mut all = [0; 8];
        assert_eq!(rustix::io::read(&read, &mut all), Ok(5));
        assert_eq!(&all[..5], b"abc\nd");
    }
}
