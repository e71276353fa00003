//! What stack files name and is not on this machine: fetched as the user, kept in the user's cache, read there.
//!
//! Owns the way from a name to a path below the cache. What a name may be, `stackfile` says; what is in a registry, the
//! agent fetches.

mod artifact;
mod cache;
mod checkout;
mod commit;
mod disk;
mod git;
mod served;
mod tree;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use hoist_stackfile::discover::NAMES;
use hoist_stackfile::{FetchError, FileKind, FileReader, Remote, Repository};

use crate::bounded;
use cache::Cache;
pub(crate) use disk::Disk;

/// Why something was not fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("there is no folder for a cache")]
    NoCache,
    #[error("{}", .at.display())]
    Io {
        at: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("git is not installed")]
    NoGit,
    #[error("git says: {0}")]
    Git(String),
    #[error("it has no branch, tag or commit {0:?}")]
    NoReference(String),
    #[error("it is at commit {found}, not {wanted}")]
    Commit { found: String, wanted: String },
    #[error("it has no {0:?}")]
    NoPath(String),
    #[error("{0:?} is a link that leads out of it")]
    Escape(String),
    #[error("a stack file can't be read from the web alone")]
    Web,
    #[error("it has no stack file in {0:?}")]
    NoStackFile(String),
    #[error("{0:?} is not a folder")]
    NoFolder(String),
    #[error("the artifact {0}")]
    Artifact(String),
    #[error("{0}")]
    Agent(String, Option<String>),
}

impl RemoteError {
    fn io(at: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { at: at.to_owned(), source }
    }

    /// The whole story, in one line.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }

    /// What to do next.
    pub(crate) fn help(&self) -> Option<String> {
        let text = match self {
            Self::NoCache => "set XDG_CACHE_HOME or HOME to an absolute path",
            Self::NoGit => "install the package git",
            Self::NoReference(_) => "`git ls-remote` shows what there is",
            Self::NoStackFile(_) => "name it after the reference: `#main:path/to/stack.yaml`",
            Self::Web => "from Git, its address ends in `.git`; from a registry, it begins with `oci://`",
            Self::Agent(_, hint) => return hint.clone(),
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// The files of this machine and those that are elsewhere, for one command: a name means the same to its end.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    root: &'a Path,
    known: RefCell<BTreeMap<String, PathBuf>>,
    /// What pipes and devices gave: they can be read once only, and a load may come twice.
    piped: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
}

impl<'a> Files<'a> {
    /// `root` is the agent's, which fetches artifacts.
    pub(crate) fn new(root: &'a Path) -> Self {
        Self { root, known: RefCell::default(), piped: RefCell::default() }
    }

    /// Where the stack file is that a name means, fetched when it isn't here yet.
    pub(crate) fn stack_file(&self, remote: &Remote) -> Result<PathBuf, RemoteError> {
        let name = format!("{remote:?}");
        if let Some(path) = self.known.borrow().get(&name) {
            return Ok(path.clone());
        }
        let path = match remote {
            Remote::Git(repository) => in_folder(&inside(repository)?, &repository.path)?,
            Remote::Artifact(reference) => artifact::stack_file(self.root, reference)?,
            Remote::Http(_) => return Err(RemoteError::Web),
        };
        self.known.borrow_mut().insert(name, path.clone());
        Ok(path)
    }
}

impl FileReader for Files<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if std::fs::metadata(path).is_ok_and(|meta| meta.is_file() || meta.is_dir()) {
            return Disk.read(path);
        }
        if let Some(bytes) = self.piped.borrow().get(path) {
            return Ok(bytes.clone());
        }
        let bytes = Disk.read(path)?;
        self.piped.borrow_mut().insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        Disk.kind(path)
    }

    fn small_file(&self, path: &Path, most: u64) -> Option<Vec<u8>> {
        Disk.small_file(path, most)
    }

    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        Disk.link_target(path)
    }

    fn fetch(&self, remote: &Remote) -> Result<PathBuf, FetchError> {
        let told = |error: RemoteError| FetchError { message: error.told(), help: error.help() };
        self.stack_file(remote).map_err(told)
    }
}

/// The folder of a repository that is a build context.
///
/// # Errors
/// When it can't be fetched, or is no folder.
pub(crate) fn folder(repository: &Repository) -> Result<PathBuf, RemoteError> {
    let path = inside(repository)?;
    if path.is_dir() { Ok(path) } else { Err(RemoteError::NoFolder(repository.path.clone())) }
}

/// A file of this machine. What was fetched has no links to what was not.
///
/// # Errors
/// As the file system says.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    bounded::read(&confined(path)?)
}

/// The same, of text.
///
/// # Errors
/// As the file system says.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    bounded::to_string(read(path)?)
}

/// Whether a path is of something that was fetched.
pub(crate) fn is_fetched(path: &Path) -> bool {
    Cache::tree_of(path).is_some()
}

/// The path to read. One of the cache stays in what was fetched with it: `..` and links may lead out.
fn confined(path: &Path) -> io::Result<PathBuf> {
    let Some(root) = Cache::tree_of(path) else { return Ok(path.to_owned()) };
    let real = std::fs::canonicalize(path)?;
    if real.starts_with(std::fs::canonicalize(root)?) {
        return Ok(real);
    }
    Err(io::Error::other("a link that leads out of what was fetched"))
}

/// What a repository's path means in its checkout.
fn inside(repository: &Repository) -> Result<PathBuf, RemoteError> {
    let checkout = checkout::checkout(&Cache::open()?, repository)?;
    let path = checkout.join(&repository.path);
    let missing = |_| RemoteError::NoPath(repository.path.clone());
    let real = std::fs::canonicalize(&path).map_err(missing)?;
    let root = std::fs::canonicalize(&checkout).map_err(RemoteError::io(&checkout))?;
    if real.starts_with(root) { Ok(path) } else { Err(RemoteError::Escape(repository.path.clone())) }
}

/// The stack file that a file or folder means.
fn in_folder(path: &Path, shown: &str) -> Result<PathBuf, RemoteError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let found = NAMES.iter().map(|name| path.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| RemoteError::NoStackFile(if shown.is_empty() { "/" } else { shown }.to_owned()))
}
