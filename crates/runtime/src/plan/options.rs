//! Mount options as the specification writes them: fstab words, mixed.

use crate::launch::PrepareError;
use crate::op::Parameter;
use crate::sys::MountAttr;

use super::c_string;

/// What the options of one mount mean.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// Some when it is a bind; true when it takes what is mounted below its source along.
    pub(super) bind: Option<bool>,
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

/// Words for how mounts travel between copies of the mount. Making one shared with the host is not done:
/// the container's mount table is cut off from it.
const PROPAGATION: [(&str, u64); 3] =
    [("private", libc::MS_PRIVATE), ("slave", libc::MS_SLAVE), ("unbindable", libc::MS_UNBINDABLE)];

const REFUSED: [&str; 8] =
    ["shared", "rshared", "idmap", "ridmap", "tmpcopyup", "copy-symlink", "remount", "loop"];

impl Options {
    pub(super) fn parse(field: &str, words: &[String]) -> Result<Self, PrepareError> {
        let mut options = Self::default();
        for word in words.iter().flat_map(|word| word.split(',')) {
            options.add(field, word)?;
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
