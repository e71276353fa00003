//! How the child tells its parent what went wrong: one fixed-size record in a pipe.

use rustix::io::Errno;

/// Why an operation failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) errno: Errno,
    pub(crate) note: Note,
    pub(crate) message: Message,
}

/// What the child knows beyond the error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Note {
    None = 0,
    /// Not a failure: the program is about to be executed.
    Executing = 1,
    /// The program exists, what it names as its interpreter does not.
    NoInterpreter = 2,
    /// The program is a directory.
    IsDirectory = 3,
    /// A path that must be a real directory leads over a symbolic link.
    Symlink = 4,
    /// What is mounted is a directory and its target is not, or the other way round.
    KindMismatch = 5,
    /// A path below a directory leads out of it, over a link or "..".
    LeadsOut = 6,
    /// What would be mounted on is the kernel's: `/proc` or `/sys`, reached over a link.
    Kernel = 7,
    /// What would be mounted on `/proc` or `/sys` is not the kernel's.
    NotKernel = 8,
    /// What would be mounted on is the root file system, reached over a link.
    Root = 9,
}

/// The file system's own words, as fsconfig gives them; may be empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    bytes: [u8; Message::ROOM],
    length: usize,
}

impl Message {
    pub(crate) const ROOM: usize = 96;
    pub(crate) const EMPTY: Self = Self { bytes: [0; Self::ROOM], length: 0 };

    /// Keeps what fits.
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut message = Self::EMPTY;
        for (to, from) in message.bytes.iter_mut().zip(text) {
            *to = *from;
            message.length += 1;
        }
        message
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self { errno, note: Note::None, message: Message::EMPTY }
    }
}

impl Failure {
    pub(crate) fn noted(errno: Errno, note: Note) -> Self {
        Self { errno, note, message: Message::EMPTY }
    }
}

/// A failure and whose it is, as it travels: smaller than PIPE_BUF, so written and read whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) op: usize,
    pub(crate) failure: Failure,
}

impl Record {
    pub(crate) const SIZE: usize = 16 + Message::ROOM;

    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        let head = [
            self.op as u32,
            self.failure.errno.raw_os_error() as u32,
            self.failure.note as u32,
            self.failure.message.length as u32,
        ];
        let mut bytes = [0; Self::SIZE];
        let content = head.iter().flat_map(|word| word.to_ne_bytes()).chain(self.failure.message.bytes);
        for (to, from) in bytes.iter_mut().zip(content) {
            *to = from;
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let (words, text) = bytes.split_at(16);
        let word = |index: usize| {
            words
                .chunks_exact(4)
                .nth(index)
                .map_or(0, |word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
        };
        let message = Message::new(text.get(..word(3) as usize).unwrap_or_default());
        let errno = Errno::from_raw_os_error(word(1) as i32);
        Self { op: word(0) as usize, failure: Failure { errno, note: Note::from_raw(word(2)), message } }
    }
}

impl Note {
    fn from_raw(raw: u32) -> Self {
        let known = [
            Self::Executing,
            Self::NoInterpreter,
            Self::IsDirectory,
            Self::Symlink,
            Self::KindMismatch,
            Self::LeadsOut,
            Self::Kernel,
            Self::NotKernel,
            Self::Root,
        ];
        known.into_iter().find(|note| *note as u32 == raw).unwrap_or(Self::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_pipe() {
        let message = Message::new(b"tmpfs: Bad value for 'size'");
        let failure = Failure { errno: Errno::INVAL, note: Note::KindMismatch, message };
        let back = Record::from_bytes(&Record { op: 17, failure }.to_bytes());
        assert_eq!((back.op, back.failure.errno, back.failure.note), (17, Errno::INVAL, Note::KindMismatch));
        assert_eq!(back.failure.message.as_bytes(), b"tmpfs: Bad value for 'size'");
    }

    #[test]
    fn a_long_message_is_cut() {
        let message = Message::new(&[b'x'; 500]);
        assert_eq!(message.as_bytes().len(), Message::ROOM);
    }
}
