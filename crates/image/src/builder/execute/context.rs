//! Build contexts by HTTP(S): an archive, unpacked, or a lone file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::mounted::Mounted;
use super::target::Target;
use super::{StepError, archive, fetch};
use crate::builder::context::Local;
use crate::store::{Scratch, Store};

/// More than people write into a Dockerfile or a `.dockerignore`.
const LARGEST: u64 = 16 << 20;

/// A context that was fetched; it goes when this is dropped.
#[derive(Debug)]
pub struct FetchedContext {
    url: String,
    tree: PathBuf,
    lone: Option<String>,
    _scratch: Scratch,
}

impl FetchedContext {
    /// Fetches an archive and unpacks it, compressed or not; anything else is the one file of the context. Ends early when
    /// nobody waits for it any more.
    pub fn fetch(store: &Store, url: &str, is_cancelled: &dyn Fn() -> bool) -> Result<Self, StepError> {
        let scratch = store.scratch()?;
        let (file, tree) = (scratch.path().join("file"), scratch.path().join("tree"));
        std::fs::create_dir(&tree).map_err(StepError::io("making", &tree))?;
        // Also for another attempt, which begins at the beginning.
        let into = || File::create(&file).map_err(StepError::io("making", &file));
        let name = fetch::download(url, is_cancelled, into)?.name;
        let open = || File::open(&file).map_err(StepError::io("opening", &file));
        let lone = if archive::is_archive(open()?) {
            let target = Target::new(Mounted::directory(&tree)?);
            archive::unpack(&target, Path::new(""), open()?, Some((0, 0)))?;
            None
        } else {
            let name = if name.is_empty() { "context".to_owned() } else { name };
            std::fs::rename(&file, tree.join(&name)).map_err(StepError::io("moving", &file))?;
            Some(name)
        };
        Ok(Self { url: url.to_owned(), tree, lone, _scratch: scratch })
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> Local {
        Local(self.tree.clone())
    }

    /// The Dockerfile: the one of this name, or the lone file whatever its name.
    pub fn dockerfile(&self, name: &str) -> Result<String, StepError> {
        let name = self.lone.as_deref().unwrap_or(name);
        self.text(name)?.ok_or_else(|| StepError::Refused(format!("{} has no {name}", self.url)))
    }

    /// What its `.dockerignore` says; the Dockerfile's own goes before the context's.
    pub fn ignore(&self, dockerfile: Option<&str>) -> Result<String, StepError> {
        let own = dockerfile.map(|name| format!("{name}.dockerignore"));
        for name in own.iter().map(String::as_str).chain([".dockerignore"]) {
            if let Some(text) = self.text(name)? {
                return Ok(text);
            }
        }
        Ok(String::new())
    }

    /// A text inside, links followed as if the context were all there is.
    fn text(&self, name: &str) -> Result<Option<String>, StepError> {
        let path = Path::new(name);
        let failed = |source: io::Error| StepError::io("reading", path)(source);
        let tree = Mounted::directory(&self.tree)?;
        let file = match tree.at(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            file => File::from(file.map_err(StepError::errno("opening", path))?),
        };
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
        Ok(Some(text))
    }
}
