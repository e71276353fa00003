//! What is mounted into an instance: `volumes`, `tmpfs`, `configs`, `secrets`.

use super::attributes::Attributes;
use super::{Lowering, binds, targets};
use crate::loader::unreadable;
use crate::node::{Node, Value};
use crate::reader::FileReader;
use crate::scalar::spell;
use crate::stages::environment::CONTENT_KEY;
use crate::syntax::{bytes, path};
use hoist_model::{Mount, MountKind, TmpfsOptions, Volume, VolumeName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Mount options that a tmpfs takes besides its own.
const TMPFS_FLAGS: [&str; 12] = [
    "ro",
    "rw",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "atime",
    "noatime",
    "strictatime",
    "relatime",
];

type Volumes = BTreeMap<VolumeName, Volume>;

impl Lowering<'_> {
    pub(super) fn mounts(&mut self, name: &str, node: &Node, volumes: &Volumes) -> Vec<Mount> {
        let mut mounts = Vec::new();
        let mut at = Attributes { name, node, report: self.report };
        for volume in at.list("volumes") {
            mounts.extend(mount(&mut at, volume, volumes, self.reader));
        }
        for entry in at.list("tmpfs") {
            mounts.extend(tmpfs(&mut at, entry));
        }
        for (section, secret) in [("configs", false), ("secrets", true)] {
            for reference in node.get(section).and_then(Node::as_list).into_iter().flatten() {
                mounts.extend(self.content(name, reference, section, secret));
            }
        }
        mounts
    }

    /// A config or secret as a file with its content.
    fn content(&mut self, service: &str, reference: &Node, section: &str, secret: bool) -> Option<Mount> {
        let text = |key: &str| reference.get(key).and_then(Node::as_text);
        let source = text("source")?;
        let declared = self.project.tree.at_path(&[section, source])?;
        let content = self.content_of(section, source, declared)?;
        let folder = if secret { "/run/secrets" } else { "/" };
        let target = match text("target") {
            Some(target) if path::is_absolute(target) => path::clean(target),
            other => path::join(folder, other.unwrap_or(source)),
        };
        let mut at = Attributes { name: service, node: reference, report: self.report };
        let id = |at: &mut Attributes<'_, '_>, key: &str| match at.text(key).map(|text| text.parse()) {
            None => 0,
            Some(Ok(id)) => id,
            Some(Err(_)) => {
                let place = at.get(key).map_or(reference.span, |node| node.span);
                at.error("invalid-value", place, format!("`{key}` of `{source}` is not a number"));
                0
            }
        };
        let (uid, gid) = (id(&mut at, "uid"), id(&mut at, "gid"));
        let mode = at.text("mode").and_then(|mode| u32::from_str_radix(&mode, 8).ok()).unwrap_or(0o444);
        let place = at.get("target").map_or(reference.place(), |node| node.span);
        targets::check(&mut at, place, &target, false).then_some(())?;
        let kind = MountKind::Content { content, uid, gid, mode, sensitive: secret };
        Some(Mount { target: PathBuf::from(target), kind, read_only: true, options: Vec::new() })
    }

    fn content_of(&mut self, section: &str, name: &str, declared: &Node) -> Option<Vec<u8>> {
        if let Some(content) = declared.get(CONTENT_KEY).or_else(|| declared.get("content")) {
            return content.as_text().map(|text| text.as_bytes().to_vec());
        }
        if let Some(file) = declared.get("file") {
            let path = file.as_text().unwrap_or_default();
            return match self.reader.read(Path::new(path)) {
                Ok(bytes) => Some(bytes),
                Err(error) => {
                    let message = format!("`{section}.{name}`: can't read {path}: {error}");
                    self.report.error(unreadable(&error), file.span, message);
                    None
                }
            };
        }
        let problem = match declared.get("environment") {
            Some(variable) => format!("the variable `{}` is not set", spell(&variable.value)),
            None if declared.get("external").is_some() => {
                "external configs and secrets are not supported yet".to_owned()
            }
            None => "its driver is not there".to_owned(),
        };
        let place = declared.get("environment").map_or(declared.place(), |node| node.span);
        self.report.error("no-content", place, format!("`{section}.{name}` has no content: {problem}"));
        None
    }
}

fn mount(
    at: &mut Attributes<'_, '_>,
    node: &Node,
    volumes: &Volumes,
    reader: &dyn FileReader,
) -> Option<Mount> {
    let text = |key: &str| node.get(key).and_then(Node::as_text).unwrap_or_default();
    let flag = |path: &[&str]| node.at_path(path).is_some_and(|node| node.value == Value::Bool(true));
    let target = text("target");
    if !path::is_absolute(target) {
        at.error("invalid-volume", node.place(), format!("the target `{target}` is not absolute"));
        return None;
    }
    let target = path::clean(target);
    let place = node.get("target").map_or(node.place(), |node| node.span);
    targets::check(at, place, &target, text("type") == "bind").then_some(())?;
    let kind = match text("type") {
        "bind" => binds::bind(at, node, text("source"), reader)?,
        "volume" if text("source").is_empty() => MountKind::Anonymous,
        "volume" => {
            let volume = volumes.get(text("source"))?;
            let no_copy = flag(&["volume", "nocopy"]);
            MountKind::Volume { id: volume.id.clone(), subpath: subpath(node), no_copy }
        }
        "tmpfs" => {
            let size = node.at_path(&["tmpfs", "size"]).and_then(Node::as_text);
            let size =
                size.and_then(|size| bytes::parse(size).ok()).and_then(|size| u64::try_from(size).ok());
            let mode = node.at_path(&["tmpfs", "mode"]).and_then(super::attributes::int);
            let mode = mode.and_then(|mode| u32::try_from(mode).ok());
            MountKind::Tmpfs(TmpfsOptions { size, mode, ..TmpfsOptions::default() })
        }
        other => {
            let message = format!("mounts of the type `{other}` are not there yet");
            at.error("not-supported-yet", node.get("type").map_or(node.place(), |node| node.span), message);
            return None;
        }
    };
    let options = binds::options(at, node);
    Some(Mount { target: PathBuf::from(target), kind, read_only: flag(&["read_only"]), options })
}

/// A path inside the volume. Whether it stays inside is seen at the start, when the links in the volume are there.
fn subpath(node: &Node) -> Option<PathBuf> {
    let text =
        node.at_path(&["volume", "subpath"]).and_then(Node::as_text).filter(|text| !text.is_empty())?;
    let clean = path::clean(text);
    (clean != ".").then(|| PathBuf::from(clean))
}

/// `PATH[:OPTION,...]`.
fn tmpfs(at: &mut Attributes<'_, '_>, node: &Node) -> Option<Mount> {
    let text = node.as_text()?;
    let (target, list) = text.split_once(':').unwrap_or((text, ""));
    if !path::is_absolute(target) {
        at.error("invalid-volume", node.span, format!("the tmpfs `{target}` is not absolute"));
        return None;
    }
    let clean = path::clean(target);
    targets::check(at, node.span, &clean, false).then_some(())?;
    let mut options = TmpfsOptions::default();
    let mut read_only = false;
    for option in list.split(',').filter(|option| !option.is_empty()) {
        let known = match option.split_once('=') {
            Some(("size", size)) => {
                options.size = bytes::parse(size).ok().and_then(|size| u64::try_from(size).ok());
                options.size.is_some()
            }
            Some(("mode", mode)) => {
                options.mode = u32::from_str_radix(mode, 8).ok();
                options.mode.is_some()
            }
            Some(("uid", uid)) => {
                options.uid = uid.parse().ok();
                options.uid.is_some()
            }
            Some(("gid", gid)) => {
                options.gid = gid.parse().ok();
                options.gid.is_some()
            }
            Some(_) => false,
            None => {
                read_only |= option == "ro";
                options.flags.push(option.to_owned());
                TMPFS_FLAGS.contains(&option)
            }
        };
        if !known {
            at.error("invalid-volume", node.span, format!("`{option}` is not a tmpfs option"));
        }
    }
    let (target, kind) = (PathBuf::from(clean), MountKind::Tmpfs(options));
    Some(Mount { target, kind, read_only, options: Vec::new() })
}
