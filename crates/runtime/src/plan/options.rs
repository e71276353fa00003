//! Mount options as the specification writes them: fstab words, mixed.

use std::ffi::CString;
use std::path::{Component, Path};

use crate::launch::{BENEATH, PrepareError};
use crate::op::Parameter;
use crate::sys::MountAttr;

use super::c_string;

/// What the options of one mount mean.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// Some when it is a bind; true when it takes what is mounted below its source along.
    pub(super) bind: Option<bool>,
    /// Of a bind: a path below its source to take in place of the source itself.
    pub(super) beneath: Option<CString>,
    pub(super) attr: MountAttr,
    pub(super) attr_below: MountAttr,
    pub(super) parameters: Vec<Parameter>,
}

const ATIME: u64 = libc::MOUNT_ATTR__ATIME;

/// Words that are attributes of the mount: what they set, what they clear first. With a leading "r" they
/// hold for all mounts below as well.
const ATTRIBUTES: [(&str, u64, u64); 17] = [
    ("ro", libc::MOUNT_ATTR_RDONLY, 0),
    ("rw", 0, libc::MOUNT_ATTR_RDONLY),
    ("nosuid", libc::MOUNT_ATTR_NOSUID, 0),
    ("suid", 0, libc::MOUNT_ATTR_NOSUID),
    ("nodev", libc::MOUNT_ATTR_NODEV, 0),
    ("dev", 0, libc::MOUNT_ATTR_NODEV),
    ("noexec", libc::MOUNT_ATTR_NOEXEC, 0),
    ("exec", 0, libc::MOUNT_ATTR_NOEXEC),
    ("nodiratime", libc::MOUNT_ATTR_NODIRATIME, 0),
    ("diratime", 0, libc::MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", libc::MOUNT_ATTR_NOSYMFOLLOW, 0),
    ("symfollow", 0, libc::MOUNT_ATTR_NOSYMFOLLOW),
    ("relatime", libc::MOUNT_ATTR_RELATIME, ATIME),
    ("norelatime", libc::MOUNT_ATTR_STRICTATIME, ATIME),
    ("noatime", libc::MOUNT_ATTR_NOATIME, ATIME),
    ("strictatime", libc::MOUNT_ATTR_STRICTATIME, ATIME),
    ("atime", libc::MOUNT_ATTR_RELATIME, ATIME),
];

/// Words for how mounts travel between copies of the mount. A shared one is shared with the host only if the
/// host's is shared: the caller has to look, before.
const PROPAGATION: [(&str, u64); 4] = [
    ("private", libc::MS_PRIVATE),
    ("slave", libc::MS_SLAVE),
    ("shared", libc::MS_SHARED),
    ("unbindable", libc::MS_UNBINDABLE),
];

const REFUSED: [&str; 6] = ["idmap", "ridmap", "tmpcopyup", "copy-symlink", "remount", "loop"];

impl Options {
    pub(super) fn parse(field: &str, words: &[String]) -> Result<Self, PrepareError> {
        let mut options = Self::default();
        for word in words {
            match word.strip_prefix(BENEATH) {
                Some(path) => options.beneath = Some(beneath(field, path)?),
                None => word.split(',').try_for_each(|word| options.add(field, word))?,
            }
        }
        Ok(options)
    }

    fn add(&mut self, field: &str, word: &str) -> Result<(), PrepareError> {
        let recursive = word.strip_prefix('r').unwrap_or("");
        if let Some(attribute) = find(&ATTRIBUTES, word) {
            change(&mut self.attr, attribute);
        } else if let Some(attribute) = find(&ATTRIBUTES, recursive) {
            change(&mut self.attr_below, attribute);
        } else if let Some((_, propagation)) = PROPAGATION.iter().find(|(name, _)| *name == word) {
            self.attr.propagation = *propagation;
        } else if let Some((_, propagation)) = PROPAGATION.iter().find(|(name, _)| *name == recursive) {
            self.attr_below.propagation = *propagation;
        } else if REFUSED.contains(&word) {
            return Err(PrepareError::unsupported(format!("{field}: the mount option {word}")));
        } else {
            match word {
                "" | "defaults" | "async" | "nomand" => {}
                "bind" => self.bind = Some(self.bind.unwrap_or(false)),
                "rbind" => self.bind = Some(true),
                _ => self.parameters.push(parameter(field, word)?),
            }
        }
        Ok(())
    }
}

/// A path that is absolute, or begins with "..", is refused by the kernel as well; here it is named.
fn beneath(field: &str, path: &str) -> Result<CString, PrepareError> {
    let inside =
        Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if path.is_empty() || !inside {
        return Err(PrepareError::invalid(field, format!("{path} does not stay inside the volume")));
    }
    c_string(field, path.as_bytes())
}

fn find<'a>(table: &'a [(&str, u64, u64)], word: &str) -> Option<&'a (&'a str, u64, u64)> {
    table.iter().find(|(name, _, _)| *name == word)
}

/// The later word wins.
fn change(attr: &mut MountAttr, (_, set, clear): &(&str, u64, u64)) {
    attr.set = (attr.set & !clear) | set;
    attr.clear = (attr.clear & !set) | clear;
}

/// Everything else is the file system's own.
pub(super) fn parameter(field: &str, word: &str) -> Result<Parameter, PrepareError> {
    let (key, value) = match word.split_once('=') {
        Some((key, value)) => (key, Some(c_string(field, value.as_bytes())?)),
        None => (word, None),
    };
    Ok(Parameter { key: c_string(field, key.as_bytes())?, value })
}
