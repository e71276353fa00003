//! Keys: a digest of all that a step's result depends on.
//!
//! Times of files are no part of it, nor are titles, line numbers, or the values of secrets.

use std::path::Path;

use crate::builder::Ignore;
use crate::builder::execute::{Files, Kind, Node, StepError};
use crate::digest::Digest;

/// Another number makes all earlier records useless: raise it when the same step would come out otherwise.
const VERSION: &str = "hoist step 1";

/// Gathers what a key is made of. Each part is told from the next by its length.
#[derive(Clone, Debug)]
pub(in crate::builder) struct Key {
    parts: Vec<u8>,
}

impl Key {
    pub(in crate::builder) fn new() -> Self {
        let mut key = Self { parts: Vec::new() };
        key.add(VERSION.as_bytes());
        key
    }

    pub(in crate::builder) fn add(&mut self, part: &[u8]) {
        self.parts.extend_from_slice(&(part.len() as u64).to_le_bytes());
        self.parts.extend_from_slice(part);
    }

    pub(in crate::builder) fn digest(&self) -> Digest {
        Digest::of(&self.parts)
    }

    /// Adds what is at `path`, and below: names, kinds, modes, owners, attributes, content. `inside` is the path that
    /// `exclude` is about.
    pub(in crate::builder) fn add_tree(
        &mut self,
        files: &dyn Files,
        path: &Path,
        node: &Node,
        exclude: &Ignore,
        inside: &Path,
    ) -> Result<(), StepError> {
        let numbers = [node.kind as u64, node.mode.into(), node.uid.into(), node.gid.into(), node.device];
        numbers.iter().for_each(|number| self.parts.extend_from_slice(&number.to_le_bytes()));
        for (name, value) in &node.xattrs {
            self.add(name);
            self.add(value);
        }
        match node.kind {
            Kind::File => self.add(files.content(path)?.to_string().as_bytes()),
            Kind::Symlink => {
                let target = node.link.as_deref().unwrap_or(Path::new(""));
                self.add(target.as_os_str().as_encoded_bytes());
            }
            Kind::Directory => {
                for (name, node) in files.list(path)? {
                    let inside = inside.join(&name);
                    if exclude.is_ignored_whole(&inside.to_string_lossy()) {
                        continue;
                    }
                    self.add(name.as_encoded_bytes());
                    self.add_tree(files, &path.join(&name), &node, exclude, &inside)?;
                }
                self.add(b"/");
            }
            Kind::Fifo | Kind::CharDevice | Kind::BlockDevice | Kind::Socket => {}
        }
        Ok(())
    }
}
