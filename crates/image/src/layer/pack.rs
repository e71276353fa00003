//! One layer: a directory as overlayfs left it in, tar stream out. The opposite of `extract`.
//!
//! The same tree gives the same bytes: entries are sorted, times are whole seconds and with `epoch`
//! never later than it, and names of users stay out.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};

use super::place::OPAQUE;
use crate::digest::{Digest, Hashed};

/// Largest number that a header's eight-byte and twelve-byte octal fields hold.
const LARGEST_ID: u32 = 0o7_777_777;
const LARGEST_SIZE: u64 = 0o77_777_777_777;
const LONGEST_NAME: usize = 100;

/// Why a directory could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("{path:?}: {action} failed")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("{path:?} depends on the layers below: overlayfs kept a {what} there")]
    Overlay { path: PathBuf, what: &'static str },
    #[error("writing the layer failed")]
    Write(#[from] io::Error),
}

/// A layer that was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    pub diff_id: Digest,
    pub bytes: u64,
}

/// Packs the layer at `tree`, an overlay's upper directory, into `output`, uncompressed. Whiteouts
/// and opaque directories become what the OCI image specification has for them. Sockets are left
/// out: nobody can listen on one that was packed.
pub fn pack(tree: &Path, output: impl Write, epoch: Option<i64>) -> Result<Packed, PackError> {
    let mut packer = Packer { archive: Builder::new(Hashed::new(output)), links: HashMap::new(), epoch };
    packer.directory(tree, Path::new(""))?;
    let (diff_id, bytes, mut output) = packer.archive.into_inner()?.finish();
    output.flush()?;
    Ok(Packed { diff_id, bytes })
}

struct Packer<W: Write> {
    archive: Builder<Hashed<W>>,
    /// First name of each file that has several, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    epoch: Option<i64>,
}

/// Extended attributes of one file, overlayfs's own apart.
#[derive(Default)]
struct Xattrs {
    kept: Vec<(Vec<u8>, Vec<u8>)>,
    opaque: bool,
}

impl<W: Write> Packer<W> {
    fn directory(&mut self, root: &Path, name: &Path) -> Result<(), PackError> {
        let path = root.join(name);
        let failed = |source| PackError::Io { path: path.clone(), action: "reading it", source };
        let meta = fs::symlink_metadata(&path).map_err(failed)?;
        let xattrs = xattrs(&path)?;
        // A trailing slash says "directory" to the oldest readers too.
        let mut spelled =
            if name.as_os_str().is_empty() { OsString::from("./") } else { name.as_os_str().to_owned() };
        if !spelled.as_bytes().ends_with(b"/") {
            spelled.push("/");
        }
        self.append(EntryType::Directory, Path::new(&spelled), &meta, &xattrs, io::empty())?;
        if xattrs.opaque {
            self.mark(&name.join(".wh..wh..opq"), &meta)?;
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            names.push(entry.map_err(failed)?.file_name());
        }
        names.sort();
        names.iter().try_for_each(|child| self.child(root, &name.join(child)))
    }

    fn child(&mut self, root: &Path, name: &Path) -> Result<(), PackError> {
        let path = root.join(name);
        let failed = |source| PackError::Io { path: path.clone(), action: "reading it", source };
        let meta = fs::symlink_metadata(&path).map_err(failed)?;
        let kind = meta.file_type();
        if kind.is_dir() {
            return self.directory(root, name);
        }
        if kind.is_char_device() && meta.rdev() == 0 {
            let mut hidden = b".wh.".to_vec();
            hidden.extend_from_slice(name.file_name().unwrap_or_default().as_bytes());
            return self.mark(&name.with_file_name(OsString::from_vec(hidden)), &meta);
        }
        if kind.is_socket() {
            return Ok(());
        }
        if let Some(first) = self.linked(&meta, name) {
            return self.link(EntryType::Link, name, &first, &meta, &Xattrs::default());
        }
        let xattrs = xattrs(&path)?;
        if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(failed)?;
            return self.link(EntryType::Symlink, name, &target, &meta, &xattrs);
        }
        if !kind.is_file() {
            let kind = match kind {
                _ if kind.is_fifo() => EntryType::Fifo,
                _ if kind.is_block_device() => EntryType::Block,
                _ => EntryType::Char,
            };
            return self.append(kind, name, &meta, &xattrs, io::empty());
        }
        let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(&path).map_err(failed)?;
        self.append(EntryType::Regular, name, &meta, &xattrs, file)
    }

    /// The name that the file was packed under already.
    fn linked(&mut self, meta: &Metadata, name: &Path) -> Option<PathBuf> {
        if meta.nlink() < 2 {
            return None;
        }
        let key = (meta.dev(), meta.ino());
        let first = self.links.get(&key).cloned();
        if first.is_none() {
            self.links.insert(key, name.to_owned());
        }
        first
    }

    /// An empty file whose name is its meaning.
    fn mark(&mut self, name: &Path, like: &Metadata) -> Result<(), PackError> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        let mut pax = Vec::new();
        self.set_time(&mut header, like, &mut pax);
        self.write(header, name, None, pax, io::empty())
    }

    fn link(
        &mut self,
        kind: EntryType,
        name: &Path,
        target: &Path,
        meta: &Metadata,
        xattrs: &Xattrs,
    ) -> Result<(), PackError> {
        let (header, pax) = self.header(kind, meta, xattrs);
        self.write(header, name, Some(target), pax, io::empty())
    }

    fn append(
        &mut self,
        kind: EntryType,
        name: &Path,
        meta: &Metadata,
        xattrs: &Xattrs,
        content: impl io::Read,
    ) -> Result<(), PackError> {
        let (header, pax) = self.header(kind, meta, xattrs);
        self.write(header, name, None, pax, content)
    }

    fn header(&self, kind: EntryType, meta: &Metadata, xattrs: &Xattrs) -> (Header, Vec<(String, Vec<u8>)>) {
        let mut header = Header::new_ustar();
        let mut pax = Vec::new();
        header.set_entry_type(kind);
        header.set_mode(meta.mode() & 0o7777);
        let mut number = |key: &str, value: u64, largest: u64| {
            if value > largest {
                pax.push((key.to_owned(), value.to_string().into_bytes()));
            }
            value.min(largest)
        };
        header.set_uid(number("uid", meta.uid().into(), LARGEST_ID.into()));
        header.set_gid(number("gid", meta.gid().into(), LARGEST_ID.into()));
        let size = if kind == EntryType::Regular { meta.len() } else { 0 };
        header.set_size(number("size", size, LARGEST_SIZE));
        if matches!(kind, EntryType::Block | EntryType::Char) {
            // A ustar header has both fields.
            let _ = header.set_device_major(rustix::fs::major(meta.rdev()));
            let _ = header.set_device_minor(rustix::fs::minor(meta.rdev()));
        }
        self.set_time(&mut header, meta, &mut pax);
        for (key, value) in &xattrs.kept {
            pax.push((format!("SCHILY.xattr.{}", String::from_utf8_lossy(key)), value.clone()));
        }
        (header, pax)
    }

    fn set_time(&self, header: &mut Header, meta: &Metadata, pax: &mut Vec<(String, Vec<u8>)>) {
        let time = self.epoch.map_or(meta.mtime(), |epoch| meta.mtime().min(epoch));
        header.set_mtime(u64::try_from(time).unwrap_or(0));
        if time < 0 {
            pax.push(("mtime".to_owned(), time.to_string().into_bytes()));
        }
    }

    fn write(
        &mut self,
        mut header: Header,
        name: &Path,
        target: Option<&Path>,
        mut pax: Vec<(String, Vec<u8>)>,
        content: impl io::Read,
    ) -> Result<(), PackError> {
        let name = name.as_os_str().as_bytes();
        let target = target.map(|target| target.as_os_str().as_bytes()).unwrap_or_default();
        for (key, value) in [("path", name), ("linkpath", target)] {
            if value.len() > LONGEST_NAME || !value.is_ascii() {
                pax.push((key.to_owned(), value.to_vec()));
            }
        }
        let old = header.as_old_mut();
        let fit = |value: &[u8]| value.len().min(LONGEST_NAME);
        old.name[..fit(name)].copy_from_slice(&name[..fit(name)]);
        old.linkname[..fit(target)].copy_from_slice(&target[..fit(target)]);
        header.set_cksum();
        if !pax.is_empty() {
            pax.sort();
            self.archive.append_pax_extensions(pax.iter().map(|(key, value)| (&key[..], &value[..])))?;
        }
        Ok(self.archive.append(&header, content)?)
    }
}

fn xattrs(path: &Path) -> Result<Xattrs, PackError> {
    let failed = |errno: rustix::io::Errno| PackError::Io {
        path: path.to_owned(),
        action: "reading its extended attributes",
        source: errno.into(),
    };
    let length = match rustix::fs::llistxattr_query(path) {
        Ok(0) | Err(rustix::io::Errno::NOTSUP) => return Ok(Xattrs::default()),
        other => other.map_err(failed)?,
    };
    let mut names = vec![0; length];
    let length = rustix::fs::llistxattr(path, &mut names[..]).map_err(failed)?;
    let mut found = Xattrs::default();
    for name in names[..length].split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).map_err(failed)?;
        value.truncate(length);
        match name {
            _ if name == OPAQUE.as_bytes() => found.opaque = value == b"y",
            b"trusted.overlay.redirect" => {
                return Err(PackError::Overlay { path: path.to_owned(), what: "redirect" });
            }
            b"trusted.overlay.metacopy" => {
                return Err(PackError::Overlay { path: path.to_owned(), what: "metadata-only copy" });
            }
            // Where a file was copied up from, and the like: of no use elsewhere.
            _ if name.starts_with(b"trusted.overlay.") => {}
            _ => found.kept.push((name.to_vec(), value)),
        }
    }
    found.kept.sort();
    Ok(found)
}
