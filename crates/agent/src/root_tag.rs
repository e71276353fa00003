//! The short name of a root among all roots of the machine: for what lives in name spaces that they share, such as
//! control groups, the host end of the fabric, firewall tables.
//!
//! Chosen by chance when a root is first used, and written down in it. Its path would not do: in two mount namespaces it
//! may be two roots', and each would end what it finds of the other's. A copy of a root is another root, so it is also
//! written down whose name it is.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use hoist_runtime::identity::boot_id;
use rustix::fs::{FlockOperation, flock};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use crate::layout::Layout;

/// What is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Eight hexadecimal digits.
    tag: String,
    root: Identity,
}

/// Which folder it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    boot: String,
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(root: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(root)?;
        Ok(Self { boot: boot_id()?, device: metadata.dev(), inode: metadata.ino() })
    }

    /// Devices may be numbered anew by another boot.
    fn is_that_of(&self, root: &Self) -> bool {
        self.inode == root.inode && (self.device == root.device || self.boot != root.boot)
    }
}

/// The root's short name: the one that it has, or a new one. Makes the root's folder when there is none.
///
/// # Errors
///
/// When the folder can't be made, or the name can't be read or written down in it.
pub fn root_tag(layout: &Layout) -> io::Result<String> {
    let root = layout.root();
    DirBuilder::new().recursive(true).mode(0o700).create(root)?;
    let was_used = layout.ledger().exists() || layout.keeper_state().exists();
    let mut file = OpenOptions::new();
    let mut file = file.read(true).write(true).create(true).truncate(false).mode(0o600).open(layout.tag())?;
    // Of several processes that start at once, one chooses. It lets go when the file is closed.
    flock(&file, FlockOperation::LockExclusive)?;
    let identity = Identity::of(root)?;
    match read(&mut file)? {
        Some(kept) if kept.root == identity => Ok(kept.tag),
        Some(kept) if kept.root.is_that_of(&identity) => keep(&mut file, kept.tag, identity),
        Some(_) => keep(&mut file, by_chance()?, identity),
        // What an agent before this was so has made bears the name that follows from the path.
        None if was_used => keep(&mut file, of_path(root), identity),
        None => keep(&mut file, by_chance()?, identity),
    }
}

/// Nothing when it was never written, or not to its end.
fn read(file: &mut File) -> io::Result<Option<Kept>> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let kept: Option<Kept> = serde_json::from_slice(&text).ok();
    Ok(kept.filter(|kept| kept.tag.len() == 8 && u32::from_str_radix(&kept.tag, 16).is_ok()))
}

fn keep(file: &mut File, tag: String, root: Identity) -> io::Result<String> {
    let kept = Kept { tag, root };
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&serde_json::to_vec(&kept)?)?;
    Ok(kept.tag)
}

fn by_chance() -> io::Result<String> {
    let mut bytes = [0; 4];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(format!("{:08x}", u32::from_ne_bytes(bytes)))
}

/// FNV-1a of the path.
fn of_path(root: &Path) -> String {
    let bytes = root.as_os_str().as_encoded_bytes();
    let hash =
        bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    format!("{hash:08x}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn layout(dir: &Path) -> Layout {
        Layout::new(dir.to_owned())
    }

    #[test]
    fn a_root_keeps_its_name_wherever_it_is_seen_and_a_copy_gets_another() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let tag = root_tag(&layout(&root)).unwrap();
        assert_eq!(tag.len(), 8);
        assert_eq!(root_tag(&layout(&root)).unwrap(), tag);
        fs::create_dir(root.join("keeper")).unwrap();
        assert_eq!(root_tag(&layout(&root)).unwrap(), tag);
        let moved = dir.path().join("moved");
        fs::rename(&root, &moved).unwrap();
        assert_eq!(root_tag(&layout(&moved)).unwrap(), tag);
        fs::create_dir(&root).unwrap();
        fs::copy(moved.join("tag.json"), root.join("tag.json")).unwrap();
        assert_ne!(root_tag(&layout(&root)).unwrap(), tag);
        assert_eq!(root_tag(&layout(&moved)).unwrap(), tag);
    }

    #[test]
    fn after_a_reboot_the_device_may_have_another_number() {
        let kept = Identity { boot: "one".into(), device: 8, inode: 77 };
        let is = |boot: &str, device, inode| kept.is_that_of(&Identity { boot: boot.into(), device, inode });
        assert!(is("one", 8, 77) && is("two", 9, 77));
        assert!(!is("one", 9, 77) && !is("two", 8, 78));
    }

    #[test]
    fn a_root_that_was_used_before_names_were_written_down_has_that_of_its_path() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ledger.json"), "{}").unwrap();
        assert_eq!(root_tag(&layout(dir.path())).unwrap(), of_path(dir.path()));
        assert_eq!(of_path(Path::new("/var/lib/hoist")), "81ba8817");
    }

    #[test]
    fn a_name_that_was_not_written_to_its_end_is_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tag.json"), "{\"tag\":\"12").unwrap();
        let tag = root_tag(&layout(dir.path())).unwrap();
        assert_eq!(root_tag(&layout(dir.path())).unwrap(), tag);
    }
}
