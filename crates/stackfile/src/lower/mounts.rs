//! What is mounted into an instance: `volumes`, `tmpfs`, `configs`, `secrets`.

use super::Lowering;
use super::attributes::Attributes;
use crate::node::{Node, Value};
use crate::scalar::spell;
use crate::stages::environment::CONTENT_KEY;
use crate::syntax::{bytes, path};
use hoist_model::{Mount, MountKind, TmpfsOptions, Volume, VolumeName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Volumes = BTreeMap<VolumeName, Volume>;

impl Lowering<'_> {
    pub(super) fn mounts(&mut self, name: &str, node: &Node, volumes: &Volumes) -> Vec<Mount> {
        let mut mounts = Vec::new();
        let mut at = Attributes { name, node, report: self.report };
        for volume in at.list("volumes") {
            mounts.extend(mount(&mut at, volume, volumes));
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
                at.error("invalid-value", place, format!("`{key}` of `{source}` is no number"));
                0
            }
        };
        let (uid, gid) = (id(&mut at, "uid"), id(&mut at, "gid"));
        let mode = at.text("mode").and_then(|mode| u32::from_str_radix(&mode, 8).ok()).unwrap_or(0o444);
        let kind = MountKind::Content { content, uid, gid, mode, sensitive: secret };
        Some(Mount { target: PathBuf::from(target), kind, read_only: true })
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
                    self.report.error("file-not-found", file.span, message);
                    None
                }
            };
        }
        let problem = match declared.get("environment") {
            Some(variable) => format!("the variable `{}` is not set", spell(&variable.value)),
            None if declared.get("external").is_some() => "external ones can't be had yet".to_owned(),
            None => "its driver is not there".to_owned(),
        };
        let place = declared.get("environment").map_or(declared.place(), |node| node.span);
        self.report.error("no-content", place, format!("`{section}.{name}` has no content: {problem}"));
        None
    }
}

fn mount(at: &mut Attributes<'_, '_>, node: &Node, volumes: &Volumes) -> Option<Mount> {
    let text = |key: &str| node.get(key).and_then(Node::as_text).unwrap_or_default();
    let flag = |path: &[&str]| node.at_path(path).is_some_and(|node| node.value == Value::Bool(true));
    let target = text("target");
    if !path::is_absolute(target) {
        at.error("invalid-volume", node.place(), format!("the target `{target}` is not absolute"));
        return None;
    }
    let kind = match text("type") {
        "bind" => bind(at, node, text("source"))?,
        "volume" if text("source").is_empty() => MountKind::Anonymous,
        "volume" => {
            let volume = volumes.get(text("source"))?;
            let subpath = node.at_path(&["volume", "subpath"]).and_then(Node::as_text);
            MountKind::Volume {
                id: volume.id.clone(),
                subpath: subpath.map(PathBuf::from),
                no_copy: flag(&["volume", "nocopy"]),
            }
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
    Some(Mount { target: PathBuf::from(path::clean(target)), kind, read_only: flag(&["read_only"]) })
}

fn bind(at: &mut Attributes<'_, '_>, node: &Node, source: &str) -> Option<MountKind> {
    if !path::is_absolute(source) {
        at.error("invalid-volume", node.place(), format!("the source `{source}` is no absolute path"));
        return None;
    }
    let bind = |key: &str| node.at_path(&["bind", key]);
    if let Some(selinux) = bind("selinux") {
        let message = "`z` and `Z` have no effect: Hoist doesn't relabel files for SELinux";
        at.warning("no-effect", selinux.span, message);
    }
    let recursive = bind("recursive").and_then(Node::as_text);
    if let (Some(how @ ("writable" | "readonly")), Some(place)) = (recursive, bind("recursive")) {
        at.warning("no-effect-yet", place.span, format!("`recursive: {how}` has no effect yet"));
    }
    Some(MountKind::Bind {
        source: PathBuf::from(path::clean(source)),
        create: bind("create_host_path").is_none_or(|node| node.value != Value::Bool(false)),
        propagation: bind("propagation").and_then(Node::as_text).map(str::to_owned),
        recursive: recursive != Some("disabled"),
    })
}

/// `PATH[:OPTION,...]`.
fn tmpfs(at: &mut Attributes<'_, '_>, node: &Node) -> Option<Mount> {
    let text = node.as_text()?;
    let (target, list) = text.split_once(':').unwrap_or((text, ""));
    if !path::is_absolute(target) {
        at.error("invalid-volume", node.span, format!("the tmpfs `{target}` is not absolute"));
        return None;
    }
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
            Some(_) => {
                options.flags.push(option.to_owned());
                true
            }
            None => {
                read_only |= option == "ro";
                options.flags.push(option.to_owned());
                true
            }
        };
        if !known {
            at.error("invalid-volume", node.span, format!("`{option}` is no tmpfs option"));
        }
    }
    Some(Mount { target: PathBuf::from(path::clean(target)), kind: MountKind::Tmpfs(options), read_only })
}
