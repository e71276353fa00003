//! The files of an archive, kept in a session, hashed on the way.

use std::collections::HashMap;
use std::io::{self, Read, Write as _};

use super::loaded::LoadError;
use crate::layer::{Kind, TarReader, decoder};
use crate::progress::{Event, Progress};
use crate::store::{Session, Spooled};

/// More links than this from one name to a file are a loop.
const MOST_LINKS: usize = 8;
/// Progress is told about once in so many bytes.
const TELL_EVERY: u64 = 1 << 20;

/// An archive's files by name, without a leading `./`.
#[derive(Debug, Default)]
pub(super) struct Spool {
    files: HashMap<String, Spooled>,
    links: HashMap<String, String>,
}

impl Spool {
    /// Reads the whole archive, which may be compressed itself.
    pub(super) fn read(
        session: &Session<'_>,
        input: impl Read + Send,
        progress: &dyn Progress,
    ) -> Result<Self, LoadError> {
        let input = Told { inner: input, bytes: 0, told: 0, progress };
        let mut archive = TarReader::new(decoder(input).map_err(LoadError::Read)?);
        let mut spool = Self::default();
        while let Some(entry) = archive.next()? {
            let name = clean(&String::from_utf8_lossy(&entry.path));
            match entry.kind {
                Kind::File => {
                    let mut writer = session.blob_writer()?;
                    archive.for_each_chunk(|chunk| writer.write_all(chunk).map_err(LoadError::Spool))?;
                    spool.files.insert(name, writer.finish());
                }
                // `docker save` of old linked a layer that several images share.
                Kind::Symlink => {
                    let target = relative(&name, &String::from_utf8_lossy(&entry.link));
                    spool.links.insert(name, target);
                }
                Kind::HardLink => {
                    spool.links.insert(name, clean(&String::from_utf8_lossy(&entry.link)));
                }
                Kind::Directory | Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => {}
            }
        }
        Ok(spool)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Spooled> {
        let mut name = name.to_owned();
        for _ in 0..MOST_LINKS {
            name = clean(&name);
            match self.links.get(&name) {
                Some(target) => name.clone_from(target),
                None => return self.files.get(&name),
            }
        }
        None
    }

    pub(super) fn document(&self, name: &str) -> Result<Option<Vec<u8>>, LoadError> {
        self.get(name).map(Spooled::document).transpose().map_err(LoadError::from)
    }
}

/// The name without `.` parts, and without what would lead above the archive's root.
fn clean(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn relative(name: &str, target: &str) -> String {
    let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
    clean(&format!("{directory}/{target}"))
}

/// Tells how much has been read.
struct Told<'p, R> {
    inner: R,
    bytes: u64,
    told: u64,
    progress: &'p dyn Progress,
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes += n as u64;
        if self.bytes - self.told >= TELL_EVERY || n == 0 {
            self.told = self.bytes;
            self.progress.event(Event::Read { bytes: self.bytes });
        }
        Ok(n)
    }
}
