//! Folders and files of the host as mounts: propagation, what is below them, and further options.

use super::attributes::Attributes;
use super::propagation::{self, Reach};
use crate::node::{Node, Value};
use crate::reader::FileReader;
use crate::syntax::path;
use crate::syntax::volume::OPTIONS_KEY;
use hoist_model::{Digest, MountKind};
use std::path::{Path, PathBuf};

/// Options of the short form that act; others are without effect, and that is said.
const OPTIONS: [&str; 12] = [
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "noatime",
    "nodiratime",
    "relatime",
    "strictatime",
    "nosymfollow",
    "symfollow",
];

pub(super) fn bind(
    at: &mut Attributes<'_, '_>,
    node: &Node,
    source: &str,
    reader: &dyn FileReader,
) -> Option<MountKind> {
    if !path::is_absolute(source) {
        at.error("invalid-volume", node.place(), format!("the source `{source}` is not an absolute path"));
        return None;
    }
    let source = PathBuf::from(path::clean(source));
    let bind = |key: &str| node.at_path(&["bind", key]);
    if let Some(selinux) = bind("selinux") {
        let message = "`z` and `Z` have no effect: Hoist doesn't relabel files for SELinux";
        at.warning("no-effect", selinux.span, message);
    }
    let propagation = propagation(at, bind("propagation"), &source, reader)?;
    let recursive = recursive(at, node, propagation.as_deref())?;
    let read_only = node.get("read_only").is_some_and(|node| node.value == Value::Bool(true));
    let content = content(&source, read_only, reader);
    let create = bind("create_host_path").is_none_or(|node| node.value != Value::Bool(false));
    Some(MountKind::Bind {
        // A folder in the place of a file that is gone helps nobody.
        create: create && content.is_none(),
        content,
        source,
        propagation,
        recursive: recursive != "disabled",
        writable_below: recursive == "writable",
    })
}

/// A larger file is data, not configuration.
const CONFIGURATION: u64 = 1 << 20;

/// Folders whose files the system itself changes.
const OF_THE_SYSTEM: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/var/run"];

/// Files that the system itself changes.
const BY_THE_SYSTEM: [&str; 9] = [
    "/etc/group",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/mtab",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/timezone",
];

/// What a single file has in it: an editor puts another file in its place, and the mount would go on showing the old one.
/// One that the service may write to counts only while it is text: a database changes by itself.
fn content(source: &Path, read_only: bool, reader: &dyn FileReader) -> Option<Digest> {
    let of_system = OF_THE_SYSTEM.iter().any(|folder| source.starts_with(folder))
        || BY_THE_SYSTEM.iter().any(|file| source == Path::new(file));
    let bytes = if of_system { None } else { reader.small_file(source, CONFIGURATION) }?;
    (read_only || !bytes.contains(&0)).then(|| Digest::of(&bytes))
}

/// `bind.recursive`, as Docker takes it: all forms but `disabled` take along what is mounted below, and a read-only
/// mount is read-only all the way down but with `writable`.
fn recursive<'n>(at: &mut Attributes<'_, '_>, node: &'n Node, propagation: Option<&str>) -> Option<&'n str> {
    let Some(given) = node.at_path(&["bind", "recursive"]) else { return Some("enabled") };
    let text = given.as_text().unwrap_or("enabled");
    let read_only = node.get("read_only").is_some_and(|node| node.value == Value::Bool(true));
    let private = matches!(propagation, None | Some("private" | "rprivate"));
    let problem = match text {
        "writable" | "readonly" if !read_only => format!("`recursive: {text}` needs `read_only: true`"),
        "readonly" if !private => {
            "`recursive: readonly` needs `propagation: rprivate`: what comes later would be writable"
                .to_owned()
        }
        _ => return Some(text),
    };
    at.error("invalid-volume", given.span, problem);
    None
}

/// The outer option is none after an error.
#[expect(clippy::option_option, reason = "an error, or a propagation, or none")]
fn propagation(
    at: &mut Attributes<'_, '_>,
    given: Option<&Node>,
    source: &Path,
    reader: &dyn FileReader,
) -> Option<Option<String>> {
    let Some(node) = given else { return Some(None) };
    let text = node.as_text().unwrap_or_default();
    let needs = match text {
        "" => return Some(None),
        "private" | "rprivate" => None,
        "slave" | "rslave" => Some(Reach::Receives),
        "shared" | "rshared" => Some(Reach::Shared),
        other => {
            let known = "private, rprivate, slave, rslave, shared or rshared";
            at.error("invalid-volume", node.span, format!("`propagation: {other}` is unknown: {known}"));
            return None;
        }
    };
    // Where the mount table can't be read, nothing is refused.
    let found = needs.and_then(|needs| propagation::lacking(reader, source, needs));
    if let Some(lacking) = found {
        let (mount, source) = (lacking.mount.display(), source.display());
        let message = format!(
            "`propagation: {text}` needs a shared mount, and `{source}` is on the mount `{mount}`, which is private: \
             run `mount --make-rshared {mount}` on the host, or take the propagation out"
        );
        at.error("private-mount", node.span, message);
        return None;
    }
    Some(Some(text.to_owned()))
}

/// Further options of the short form.
pub(super) fn options(at: &mut Attributes<'_, '_>, node: &Node) -> Vec<String> {
    let mut acting = Vec::new();
    for option in node.get(OPTIONS_KEY).and_then(Node::as_list).unwrap_or_default() {
        let text = option.as_text().unwrap_or_default();
        if OPTIONS.contains(&text) {
            acting.push(text.to_owned());
        } else {
            at.warning("no-effect", node.place(), format!("the volume option `{text}` has no effect"));
        }
    }
    acting
}
