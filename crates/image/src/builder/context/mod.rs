//! Build contexts: folders of whoever asks for the build, read name by name as steps need them.
//!
//! Owns what of a folder counts (`.dockerignore`) and what is known of its files' content. How a folder is reached is
//! [`Folder`]'s matter: here, or at the other end of a connection.

mod local;
mod memory;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use local::Local;
pub(super) use memory::Memory;

use super::Ignore;
use super::execute::{Files, Kind, Node, StepError};
use crate::digest::Digest;
use crate::store::Session;

/// One name of a folder, links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: OsString,
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    pub size: u64,
    /// Seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
    pub device: u64,
    pub inode: u64,
    /// Where a symbolic link points.
    pub link: Option<PathBuf>,
    /// Whether a file has more names than this one.
    pub several: bool,
    /// Which device a device's name stands for.
    pub number: u64,
    /// Extended attributes of the namespace `user`.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Takes the content of the file with this number.
pub type Take<'a> = dyn FnMut(usize, &mut dyn Read) -> io::Result<()> + 'a;

/// A folder that is read through whoever owns it. Paths are relative to it, and its links are never followed.
pub trait Folder: Send + Sync {
    /// What is directly in each of these folders.
    fn list(&self, folders: &[PathBuf]) -> io::Result<Vec<Vec<Entry>>>;

    /// Hands the content of these files to `take`, in order.
    fn read(&self, files: &[PathBuf], take: &mut Take<'_>) -> io::Result<()>;
}

/// A folder as the steps of one build see it.
pub(super) struct Context<'a> {
    folder: &'a dyn Folder,
    ignore: &'a Ignore,
    memory: &'a Memory,
    session: &'a Session<'a>,
    listings: Mutex<HashMap<PathBuf, Arc<Vec<Entry>>>>,
    contents: Mutex<HashMap<PathBuf, Content>>,
}

/// What is known of a file's content.
#[derive(Clone, Debug)]
struct Content {
    digest: Digest,
    /// A copy made when it was hashed.
    copy: Option<PathBuf>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        folder: &'a dyn Folder,
        ignore: &'a Ignore,
        memory: &'a Memory,
        session: &'a Session<'a>,
    ) -> Self {
        Self { folder, ignore, memory, session, listings: Mutex::default(), contents: Mutex::default() }
    }

    /// The folder's entries that count, by name.
    fn entries(&self, path: &Path) -> Result<Arc<Vec<Entry>>, StepError> {
        self.look_into(&[path.to_owned()])?;
        let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(listings.get(path).cloned().unwrap_or_default())
    }

    /// Lists those of the folders that were not listed yet, in one go.
    fn look_into(&self, paths: &[PathBuf]) -> Result<(), StepError> {
        let new: Vec<PathBuf> = {
            let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            paths.iter().filter(|path| !listings.contains_key(*path)).cloned().collect()
        };
        let Some(first) = new.first() else { return Ok(()) };
        let listed = self.folder.list(&new).map_err(StepError::io("listing", first))?;
        for (path, mut entries) in new.into_iter().zip(listed) {
            let mut kept = Vec::new();
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            for entry in entries {
                if self.counts(&path.join(&entry.name), &entry)? {
                    kept.push(entry);
                }
            }
            let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            listings.insert(path, Arc::new(kept));
        }
        Ok(())
    }

    /// Whether `.dockerignore` leaves it in; a folder that is left out counts when something in it is taken back.
    fn counts(&self, path: &Path, entry: &Entry) -> Result<bool, StepError> {
        let text = path.to_string_lossy();
        if !self.ignore.is_ignored(&text) {
            return Ok(true);
        }
        if entry.kind != Kind::Directory || self.ignore.is_ignored_whole(&text) {
            return Ok(false);
        }
        Ok(!self.entries(path)?.is_empty())
    }

    fn entry(&self, path: &Path) -> Result<Option<Entry>, StepError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        if parent != Path::new("") && self.entry(parent)?.is_none_or(|parent| parent.kind != Kind::Directory)
        {
            return Ok(None);
        }
        let entries = self.entries(parent)?;
        Ok(entries
            .binary_search_by(|entry| entry.name.as_os_str().cmp(name))
            .ok()
            .map(|at| entries[at].clone()))
    }

    fn known(&self, path: &Path) -> Option<Content> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    /// Sees to it that the content of these files is known, with as few reads as can be.
    fn learn(&self, files: &[(PathBuf, Entry)]) -> Result<(), StepError> {
        let mut unknown = Vec::new();
        for (path, entry) in files {
            if self.known(path).is_some() {
                continue;
            }
            match self.memory.recall(entry) {
                Some(digest) => self.note(path, Content { digest, copy: None }),
                None => unknown.push((path.clone(), entry)),
            }
        }
        let Some((first, _)) = unknown.first() else { return Ok(()) };
        let paths: Vec<PathBuf> = unknown.iter().map(|(path, _)| path.clone()).collect();
        let mut take = |number: usize, content: &mut dyn Read| {
            let mut writer = self.session.blob_writer().map_err(io::Error::other)?;
            io::copy(content, &mut writer)?;
            let spooled = writer.finish();
            let (path, entry) = &unknown[number];
            self.memory.remember(entry, spooled.size, spooled.digest);
            self.note(path, Content { digest: spooled.digest, copy: Some(spooled.path) });
            Ok(())
        };
        self.folder.read(&paths, &mut take).map_err(StepError::io("reading", first))
    }

    fn note(&self, path: &Path, content: Content) {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), content);
    }
}

impl Files for Context<'_> {
    fn node(&self, path: &Path) -> Result<Option<Node>, StepError> {
        if path == Path::new("") {
            return Ok(Some(root()));
        }
        Ok(self.entry(path)?.map(|entry| node(&entry)))
    }

    fn list(&self, path: &Path) -> Result<Vec<(OsString, Node)>, StepError> {
        Ok(self.entries(path)?.iter().map(|entry| (entry.name.clone(), node(entry))).collect())
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send + '_>, StepError> {
        let digest = self.content(path)?;
        if let Some(Content { copy: Some(copy), .. }) = self.known(path) {
            return Ok(Box::new(File::open(&copy).map_err(StepError::io("opening", path))?));
        }
        // Known from an earlier build, so not copied yet. It must still be what was compared.
        let mut found = None;
        let mut take = |_, content: &mut dyn Read| {
            let mut writer = self.session.blob_writer().map_err(io::Error::other)?;
            io::copy(content, &mut writer)?;
            found = Some(writer.finish());
            Ok(())
        };
        self.folder.read(&[path.to_owned()], &mut take).map_err(StepError::io("reading", path))?;
        match found {
            Some(spooled) if spooled.digest == digest => {
                Ok(Box::new(File::open(&spooled.path).map_err(StepError::io("opening", path))?))
            }
            _ => {
                Err(StepError::Refused(format!("{} changed while it was built; build again", path.display())))
            }
        }
    }

    fn content(&self, path: &Path) -> Result<Digest, StepError> {
        if let Some(content) = self.known(path) {
            return Ok(content.digest);
        }
        let gone = || StepError::io("reading", path)(io::ErrorKind::NotFound.into());
        let entry = self.entry(path)?.ok_or_else(gone)?;
        self.learn(&[(path.to_owned(), entry)])?;
        self.known(path).map(|content| content.digest).ok_or_else(gone)
    }

    fn prefetch(&self, path: &Path) -> Result<(), StepError> {
        let (mut level, mut files) = (vec![path.to_owned()], Vec::new());
        while !level.is_empty() {
            self.look_into(&level)?;
            let mut next = Vec::new();
            for folder in &level {
                for entry in self.entries(folder)?.iter() {
                    match entry.kind {
                        Kind::Directory => next.push(folder.join(&entry.name)),
                        Kind::File => files.push((folder.join(&entry.name), entry.clone())),
                        _ => {}
                    }
                }
            }
            level = next;
        }
        self.learn(&files)
    }
}

fn root() -> Node {
    let entry = Entry {
        name: OsString::new(),
        kind: Kind::Directory,
        mode: 0o755,
        size: 0,
        mtime: (0, 0),
        ctime: (0, 0),
        device: 0,
        inode: 0,
        link: None,
        several: false,
        number: 0,
        xattrs: Vec::new(),
    };
    node(&entry)
}

/// What is copied from a context belongs to root.
fn node(entry: &Entry) -> Node {
    Node {
        kind: entry.kind,
        mode: entry.mode,
        uid: 0,
        gid: 0,
        size: entry.size,
        mtime: entry.mtime,
        link: entry.link.clone(),
        device: if matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice) { entry.number } else { 0 },
        hard: entry.several.then_some((entry.device, entry.inode)),
        xattrs: entry.xattrs.clone(),
    }
}
