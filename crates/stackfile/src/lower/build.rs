//! Findings about `build`: what of it has no effect, or another one than it seems.

use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Node, Value};
use crate::place::Path;

/// What a build may be granted.
const ENTITLEMENTS: [&str; 2] = ["network.host", "security.insecure"];

/// Warns of what an attribute's value, not its name, decides.
pub(super) fn warn(build: &Node, path: &Path<'_>, report: &mut Report) {
    for key in ["provenance", "sbom"] {
        attestation(build, key, path, report);
    }
    platforms(build, path, report);
    let entitlements = build.get("entitlements").and_then(Node::as_list).unwrap_or_default();
    for node in entitlements {
        if let Some(name) = node.as_text().filter(|name| !ENTITLEMENTS.contains(name)) {
            let message = format!("`{}` grants nothing: {name:?}", path.key("entitlements"));
            let help = format!("what can be granted is {}", ENTITLEMENTS.join(" and "));
            report.push(Diagnostic::warning("no-effect", message).label(node.place(), "").help(help));
        }
    }
}

/// `false` is what happens anyway.
fn attestation(build: &Node, key: &str, path: &Path<'_>, report: &mut Report) {
    let Some(node) = build.get(key) else { return };
    if matches!(&node.value, Value::Bool(false)) || node.as_text() == Some("false") {
        return;
    }
    let message = format!("`{}` has no effect: Hoist writes no attestations", path.key(key));
    report.push(Diagnostic::warning("no-effect", message).label(node.place(), ""));
}

fn platforms(build: &Node, path: &Path<'_>, report: &mut Report) {
    let Some(node) = build.get("platforms") else { return };
    if node.as_list().is_none_or(|list| list.len() < 2) {
        return;
    }
    let message = format!(
        "`{}` names several: one is built, this machine's own if it is among them, else the first",
        path.key("platforms")
    );
    let help = "an image of a name is for one platform here; the service's `platform` says which";
    report.push(Diagnostic::warning("one-platform", message).label(node.place(), "").help(help));
}
