//! Wishes for isolation that can't be met are errors: a service that believes itself apart and isn't is worse than one
//! that doesn't start.

use super::attributes::Attributes;
use crate::node::Node;
use oci_spec::runtime::Capability;

/// A key, the values of it that say what is the case anyway, and why there are no others.
const KEYS: [(&str, &[&str], &str); 3] = [
    ("userns_mode", &["", "host"], "instances have the host's users and groups"),
    ("runtime", &["", "runc", "io.containerd.runc.v2"], "Hoist is the runtime"),
    ("isolation", &["", "default"], "it is for Windows"),
];

/// Refuses what can't be done.
pub(super) fn check(at: &mut Attributes<'_, '_>) {
    for (key, known, reason) in KEYS {
        let Some(node) = at.get(key) else { continue };
        let text = node.as_text().unwrap_or_default();
        if !known.contains(&text) {
            let message =
                format!("`{key}: {text}` is not supported: {reason}; take it out if that is enough");
            at.error("not-supported", node.span, message);
        }
    }
    if let Some(node) = at.get("ipc").filter(|node| node.as_text() == Some("none")) {
        let message = "`ipc: none` is not supported: every instance has a `/dev/shm` of its own; take it out";
        at.error("not-supported", node.span, message);
    }
    capabilities(at);
}

/// A mistyped one would stay with the service, or be missing.
fn capabilities(at: &mut Attributes<'_, '_>) {
    for key in ["cap_add", "cap_drop"] {
        for node in at.list(key) {
            let text = node.as_text().unwrap_or_default();
            let name = text.to_ascii_uppercase();
            let name = name.strip_prefix("CAP_").unwrap_or(&name);
            if name != "ALL" && name.parse::<Capability>().is_err() {
                at.error("invalid-value", node.span, format!("`{key}`: there is no capability `{text}`"));
            }
        }
    }
}

/// `devices`: host path, path inside, permissions.
pub(super) fn devices(at: &mut Attributes<'_, '_>) -> Vec<(String, String, String)> {
    let mut devices = Vec::new();
    for node in at.list("devices") {
        let text = |key: &str| node.get(key).and_then(Node::as_text).filter(|text| !text.is_empty());
        let source = text("source").unwrap_or_default();
        let (target, access) = (text("target").unwrap_or(source), text("permissions").unwrap_or("rwm"));
        let problem = if !source.starts_with('/') && source.contains('=') {
            format!(
                "`{source}` is a device of the Container Device Interface, which is not there: name its path"
            )
        } else if !source.starts_with('/') || !target.starts_with('/') {
            format!("the device `{source}` needs absolute paths on the host and inside")
        } else if !access.chars().all(|letter| "rwm".contains(letter)) {
            format!("`{access}` of the device `{source}`: permissions are of r, w and m")
        } else {
            devices.push((source.to_owned(), target.to_owned(), access.to_owned()));
            continue;
        };
        at.error("invalid-device", node.place(), problem);
    }
    devices
}
