//! Where a service's files come from: `image`, or `x-hoist.rootfs` and `x-hoist.oci` in its place.

use super::attributes::Attributes;
use crate::node::Node;
use crate::project::Project;
use crate::source::Span;
use crate::syntax::path;
use hoist_model::ImageSource;
use std::path::PathBuf;

pub(super) fn image(at: &mut Attributes<'_, '_>, project: &Project) -> Option<ImageSource> {
    let rootfs = at.get("x-hoist.rootfs");
    let oci = at.get("x-hoist.oci");
    match (rootfs, oci) {
        (Some(_), Some(oci)) => {
            at.error("exclusive-keys", oci.place(), "`x-hoist.rootfs` and `x-hoist.oci` exclude each other");
            None
        }
        (Some(rootfs), None) => folder(at, project, rootfs).map(ImageSource::Rootfs),
        (None, Some(oci)) => layout(at, project, oci),
        (None, None) => match at.text("image") {
            Some(reference) => Some(ImageSource::Reference(reference)),
            None if at.get("build").is_some() => {
                // As docker compose names what it builds.
                Some(ImageSource::Reference(format!("{}-{}", project.name, at.name)))
            }
            None => {
                at.error("missing-image", Span::NONE, "there is no `image`");
                None
            }
        },
    }
}

fn layout(at: &mut Attributes<'_, '_>, project: &Project, oci: &Node) -> Option<ImageSource> {
    let (dir, tag) = match oci.get("dir") {
        Some(dir) => (dir, oci.get("tag").and_then(Node::as_text).map(str::to_owned)),
        None => (oci, None),
    };
    Some(ImageSource::OciLayout { dir: folder(at, project, dir)?, tag })
}

/// A folder, relative to the file that names it.
fn folder(at: &mut Attributes<'_, '_>, project: &Project, node: &Node) -> Option<PathBuf> {
    let Some(text) = node.as_text().filter(|text| !text.is_empty()) else {
        at.error("wrong-type", node.place(), "a folder is expected here");
        return None;
    };
    if path::is_absolute(text) {
        return Some(PathBuf::from(path::clean(text)));
    }
    let file = project.sources.place(node.span).map(|place| place.file.to_owned()).unwrap_or_default();
    let base = if path::is_absolute(&file) { path::parent(&file) } else { project.directory.clone() };
    Some(PathBuf::from(path::join(&base, text)))
}
