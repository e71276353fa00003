//! Build contexts at the other end of the build stream: the CLI reads them, as the user, when a step asks.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use hoist_image::builder::context::{Entry, Folder, Take};
use hoist_image::builder::exchange::Shelf;
use hoist_image::builder::execute::Kind;
use hoist_wire::build::{Ask, BuildIn, FileEntry, FileKind, FromBuild, Parcel};

/// Bytes of one message.
const PIECE: usize = 256 << 10;

/// Questions under way, and who waits for their answers.
#[derive(Debug)]
pub(super) struct Asks {
    out: super::Out,
    next: AtomicU64,
    waiting: Mutex<Option<HashMap<u64, Sender<BuildIn>>>>,
}

impl Asks {
    pub(super) fn new(out: super::Out) -> Self {
        Self { out, next: AtomicU64::new(0), waiting: Mutex::new(Some(HashMap::new())) }
    }

    /// Hands an answer to whoever asked.
    pub(super) fn answer(&self, answer: BuildIn) {
        let ask = match &answer {
            BuildIn::Listing(listing) => listing.ask,
            BuildIn::Piece(piece) => piece.ask,
            BuildIn::Refusal(refusal) => refusal.ask,
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asker) = waiting.as_mut().and_then(|waiting| waiting.get(&ask)) {
            let _ = asker.send(answer);
        }
    }

    /// The client is gone: nobody waits any longer.
    pub(super) fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// A new question's number, and where its answers will come.
    fn expect(&self) -> io::Result<(u64, Receiver<BuildIn>)> {
        let ask = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = channel();
        let gone = || io::Error::from(io::ErrorKind::ConnectionAborted);
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
            .ok_or_else(gone)?
            .insert(ask, sender);
        Ok((ask, answers))
    }

    fn ask(&self, context: &str, paths: &[PathBuf], read: bool) -> io::Result<(u64, Receiver<BuildIn>)> {
        let (ask, answers) = self.expect()?;
        let gone = || io::Error::from(io::ErrorKind::ConnectionAborted);
        let paths = paths.iter().map(|path| path.as_os_str().as_bytes().to_vec().into()).collect();
        let question = Ask { ask, context: context.to_owned(), paths };
        let question = if read { FromBuild::Read(question) } else { FromBuild::List(question) };
        self.out.blocking_send(Ok(question)).map_err(|_| gone())?;
        Ok((ask, answers))
    }

    /// Sends a file, piece by piece, and waits until it is in place.
    fn put(&self, context: &str, path: &str, content: &mut dyn Read) -> io::Result<()> {
        let (ask, answers) = self.expect()?;
        let answer = loop {
            match self.parcel(ask, context, path, content) {
                Ok(true) => break next(&answers),
                Ok(false) => {}
                Err(error) => break Err(error),
            }
            // A refusal comes before the end.
            if let Ok(early) = answers.try_recv() {
                break answered(early);
            }
        };
        self.forget(ask);
        answer.map(drop)
    }

    fn parcel(&self, ask: u64, context: &str, path: &str, content: &mut dyn Read) -> io::Result<bool> {
        let mut data = Vec::with_capacity(PIECE);
        content.take(PIECE as u64).read_to_end(&mut data)?;
        let last = data.len() < PIECE;
        let (context, path) = (context.to_owned(), path.to_owned());
        let parcel = FromBuild::Put(Parcel { ask, context, path, data: data.into(), last });
        self.out.blocking_send(Ok(parcel)).map_err(|_| io::ErrorKind::ConnectionAborted)?;
        Ok(last)
    }

    fn forget(&self, ask: u64) {
        if let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            waiting.remove(&ask);
        }
    }
}

/// A folder that the client reads.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) name: String,
    pub(super) asks: Arc<Asks>,
}

impl Shelf for Remote {
    fn put(&self, path: &str, content: &mut dyn Read) -> io::Result<()> {
        self.asks.put(&self.name, path, content)
    }
}

impl Folder for Remote {
    fn list(&self, folders: &[PathBuf]) -> io::Result<Vec<Vec<Entry>>> {
        let (ask, answers) = self.asks.ask(&self.name, folders, false)?;
        let answer = next(&answers);
        self.asks.forget(ask);
        match answer? {
            BuildIn::Listing(listing) => Ok(listing
                .folders
                .into_iter()
                .map(|folder| folder.entries.iter().map(entry).collect())
                .collect()),
            BuildIn::Piece(_) | BuildIn::Refusal(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn read(&self, files: &[PathBuf], take: &mut Take<'_>) -> io::Result<()> {
        let (ask, answers) = self.asks.ask(&self.name, files, true)?;
        let mut result = Ok(());
        for number in 0..files.len() {
            let mut pieces = Pieces { answers: &answers, rest: bytes::Bytes::new(), last: false };
            result = take(number, &mut pieces).and_then(|()| pieces.finish());
            if result.is_err() {
                break;
            }
        }
        self.asks.forget(ask);
        result
    }
}

fn next(answers: &Receiver<BuildIn>) -> io::Result<BuildIn> {
    answers.recv().map_err(|_| io::ErrorKind::ConnectionAborted.into()).and_then(answered)
}

fn answered(answer: BuildIn) -> io::Result<BuildIn> {
    match answer {
        BuildIn::Refusal(refusal) if refusal.missing => {
            Err(io::Error::new(io::ErrorKind::NotFound, refusal.text))
        }
        BuildIn::Refusal(refusal) => Err(io::Error::other(refusal.text)),
        answer => Ok(answer),
    }
}

/// One file as it comes.
struct Pieces<'a> {
    answers: &'a Receiver<BuildIn>,
    rest: bytes::Bytes,
    last: bool,
}

impl Pieces<'_> {
    /// Takes what was not read, so that the next file begins at its beginning.
    fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink()).map(drop)
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            if self.last {
                return Ok(0);
            }
            let BuildIn::Piece(piece) = next(self.answers)? else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            (self.rest, self.last) = (piece.data, piece.last);
        }
        let length = self.rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

fn entry(entry: &FileEntry) -> Entry {
    let kind = match FileKind::try_from(entry.kind) {
        Ok(FileKind::Directory) => Kind::Directory,
        Ok(FileKind::Symlink) => Kind::Symlink,
        Ok(FileKind::Fifo) => Kind::Fifo,
        Ok(FileKind::Socket) => Kind::Socket,
        Ok(FileKind::CharDevice) => Kind::CharDevice,
        Ok(FileKind::BlockDevice) => Kind::BlockDevice,
        Ok(FileKind::File) | Err(_) => Kind::File,
    };
    let name = |bytes: &[u8]| std::ffi::OsString::from_vec(bytes.to_vec());
    let link = (kind == Kind::Symlink).then(|| Path::new(&name(&entry.link)).to_owned());
    Entry {
        name: name(&entry.name),
        kind,
        mode: entry.mode & 0o7777,
        size: entry.size,
        mtime: (entry.mtime, entry.mtime_nanoseconds),
        ctime: (entry.ctime, entry.ctime_nanoseconds),
        device: entry.device,
        inode: entry.inode,
        link,
        several: entry.several,
        number: entry.number,
        xattrs: entry.attributes.iter().map(|xattr| (xattr.name.to_vec(), xattr.value.to_vec())).collect(),
    }
}
