//! What the tests of layers and the store share: archives made by hand and trees compared.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "test set-up")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hoist_image::digest::Digest;

/// A line per file below `root`: kind, mode, owner, time, size or target or device, links, xattrs.
pub fn tree(root: &Path) -> String {
    let mut walk = Walk::default();
    walk.line(root, "/");
    walk.below(root, "");
    walk.lines.into_iter().fold(String::new(), |mut out, (path, line)| {
        writeln!(out, "{path} {line}").unwrap();
        out
    })
}

#[derive(Default)]
struct Walk {
    lines: BTreeMap<String, String>,
    links: BTreeMap<(u64, u64), String>,
}

impl Walk {
    /// Paths go through descriptors, since a tree may be deeper than a path is long.
    fn below(&mut self, folder: &Path, name: &str) {
        let open = fs::File::open(folder).unwrap();
        let here = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        let mut names: Vec<_> =
            fs::read_dir(&here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for entry in names {
            let (path, name) = (here.join(&entry), format!("{name}/{}", entry.as_bytes().escape_ascii()));
            self.line(&path, &name);
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                self.below(&path, &name);
            }
        }
    }

    fn line(&mut self, path: &Path, name: &str) {
        let meta = fs::symlink_metadata(path).unwrap();
        let kind = meta.file_type();
        let what = match kind {
            _ if kind.is_dir() => "dir".to_owned(),
            _ if kind.is_symlink() => {
                format!("-> {}", fs::read_link(path).unwrap().as_os_str().as_bytes().escape_ascii())
            }
            _ if kind.is_file() => {
                format!("file {} {}", meta.len(), &Digest::of(&fs::read(path).unwrap()).hex()[..12])
            }
            _ if kind.is_fifo() => "fifo".to_owned(),
            _ => format!("device {} {}", if kind.is_block_device() { 'b' } else { 'c' }, meta.rdev()),
        };
        let first = self.links.entry((meta.dev(), meta.ino())).or_insert(name.to_owned());
        let linked = if first == name || kind.is_dir() { String::new() } else { format!(" = {first}") };
        let (mode, uid, gid) = (meta.mode() & 0o7777, meta.uid(), meta.gid());
        let time =
            if name == "/" { String::new() } else { format!("{}.{:09}", meta.mtime(), meta.mtime_nsec()) };
        self.lines
            .insert(name.to_owned(), format!("{mode:o} {uid}:{gid} {time} {what}{linked}{}", xattrs(path)));
    }
}

fn xattrs(path: &Path) -> String {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut names: Vec<_> = names[..length].split(|&b| b == 0).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.iter().fold(String::new(), |mut out, name| {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, *name, &mut value[..]).unwrap();
        write!(out, " {}={}", name.escape_ascii(), value[..length].escape_ascii()).unwrap();
        out
    })
}

/// Runs `script` with a shell and returns what it printed; it must succeed.
pub fn sh(script: &str) -> String {
    let out = Command::new("sh").args(["-euc", script]).stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{script}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// A shell that runs `script` in network, mount and process namespaces that end with it; arguments may follow.
pub fn in_namespaces(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["bash", "-c", script]).stdin(Stdio::null());
    command
}

/// An error with all its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Whether `program` is installed; if not, says that the test is skipped.
pub fn have(test: &str, program: &str) -> bool {
    let found =
        Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !found {
        eprintln!("{test}: skipped, because {program} is not installed");
    }
    found
}

/// An entry of a hand-made archive.
pub struct Item<'a> {
    pub kind: u8,
    pub name: &'a str,
    pub link: &'a str,
    pub mode: u32,
    pub content: &'a [u8],
}

pub fn dir(name: &str) -> Item<'_> {
    Item { kind: b'5', name, link: "", mode: 0o755, content: b"" }
}

pub fn file<'a>(name: &'a str, content: &'a str) -> Item<'a> {
    Item { kind: b'0', name, link: "", mode: 0o644, content: content.as_bytes() }
}

pub fn symlink<'a>(name: &'a str, link: &'a str) -> Item<'a> {
    Item { kind: b'2', name, link, mode: 0o777, content: b"" }
}

pub fn hard_link<'a>(name: &'a str, link: &'a str) -> Item<'a> {
    Item { kind: b'1', name, link, mode: 0o644, content: b"" }
}

/// A tar archive of `items`, with names as they are, however hostile.
pub fn archive(items: &[Item<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        let mut header = tar::Header::new_ustar();
        let old = header.as_old_mut();
        old.name[..item.name.len()].copy_from_slice(item.name.as_bytes());
        old.linkname[..item.link.len()].copy_from_slice(item.link.as_bytes());
        header.as_mut_bytes()[156] = item.kind;
        header.set_mode(item.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_400_000_000);
        header.set_size(item.content.len() as u64);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(item.content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// A PAX extended header with `records`, to stand before an item of [`archive`].
pub fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..7).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n).unwrap();
        content.extend_from_slice(format!("{length} {key}=").as_bytes());
        content.extend_from_slice(value);
        content.push(b'\n');
    }
    let mut bytes = archive(&[Item { kind: b'x', name: "pax", link: "", mode: 0o644, content: &content }]);
    bytes.truncate(bytes.len() - 1024);
    bytes
}
