//! Relative paths to absolute ones, from the folder of the file that says them.

use crate::node::{Node, Value};
use crate::reader::FileReader;
use crate::syntax::path as text;
use crate::syntax::remote::Remote;
use crate::trail::Action;
use std::path::Path;

/// Resolves paths against one folder.
#[derive(Clone, Copy)]
pub struct Resolver<'a> {
    /// The folder; may itself be relative (to the folder of the including file).
    pub base: &'a str,
    /// The home folder, for `~`.
    pub home: Option<&'a str>,
    /// For links below watched folders.
    pub reader: &'a dyn FileReader,
}

impl std::fmt::Debug for Resolver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Resolver<'_> {
    /// Resolves every path of a stack file in its long form.
    pub fn run(&self, top: &mut Node) {
        for service in entries(top, "services") {
            self.service(service);
        }
        for volume in entries(top, "volumes") {
            self.bind_volume(volume);
        }
        for section in ["configs", "secrets"] {
            for resource in entries(top, section) {
                at(resource, &["file"], &mut |node| self.unix(node));
            }
        }
    }

    fn service(&self, service: &mut Node) {
        at(service, &["build", "context"], &mut |node| self.context(node));
        at(service, &["build", "additional_contexts", "*"], &mut |node| self.context(node));
        at(service, &["build", "ssh", "*"], &mut |node| self.unix(node));
        at(service, &["env_file", "*", "path"], &mut |node| self.absolute(node));
        at(service, &["label_file", "*"], &mut |node| self.absolute(node));
        at(service, &["extends", "file"], &mut |node| {
            if !node.as_text().is_some_and(Remote::is_remote) {
                self.absolute(node);
            }
        });
        at(service, &["develop", "watch", "*", "path"], &mut |node| {
            self.absolute(node);
            self.follow_links(node);
        });
        at(service, &["volumes", "*"], &mut |volume| {
            if volume.get("type").and_then(Node::as_text) == Some("bind") {
                at(volume, &["source"], &mut |node| self.unix(node));
            }
        });
    }

    fn bind_volume(&self, volume: &mut Node) {
        let is = |path: &[&str], value: &str| volume.at_path(path).and_then(Node::as_text) == Some(value);
        if is(&["driver"], "local") && is(&["driver_opts", "o"], "bind") {
            at(volume, &["driver_opts", "device"], &mut |node| self.unix(node));
        }
    }

    /// Build contexts may be addresses instead of folders.
    fn context(&self, node: &mut Node) {
        const REMOTE: [&str; 7] =
            ["service:", "https://", "http://", "git://", "ssh://", "github.com/", "git@"];
        let Some(context) = node.as_text() else { return };
        if !context.contains("://") && !REMOTE.iter().any(|prefix| context.starts_with(prefix)) {
            self.absolute(node);
        }
    }

    fn absolute(&self, node: &mut Node) {
        self.rewrite(node, |path| {
            let path = text::expand_home(path, self.home);
            if text::is_absolute(&path) || path.is_empty() { path } else { text::join(self.base, &path) }
        });
    }

    /// Windows paths stay as they are: the client may be elsewhere than the host.
    fn unix(&self, node: &mut Node) {
        self.rewrite(node, |path| {
            let path = text::expand_home(path, self.home);
            let absolute = text::is_absolute(&path) || text::is_windows_absolute(&path);
            if absolute { path } else { text::join(self.base, &path) }
        });
    }

    fn rewrite(&self, node: &mut Node, resolve: impl Fn(&str) -> String) {
        let Value::Text(path) = &mut node.value else { return };
        let resolved = resolve(path);
        if resolved != *path {
            let before = std::mem::replace(path, resolved);
            node.trail.push(Action::Resolved, node.span, before);
        }
    }

    /// Watchers report real paths, so the first link in a watched path is replaced by its target.
    fn follow_links(&self, node: &mut Node) {
        let Value::Text(path) = &mut node.value else { return };
        let mut prefix = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            prefix = format!("{prefix}/{part}");
            if !path.starts_with('/') {
                return;
            }
            if let Some(target) = self.reader.link_target(Path::new(&prefix)) {
                let target = target.to_string_lossy();
                *path = format!("{target}{}", &path[prefix.len().min(path.len())..]);
                return;
            }
        }
    }
}

fn entries<'a>(top: &'a mut Node, section: &str) -> impl Iterator<Item = &'a mut Node> {
    let section = top.as_map_mut().and_then(|top| top.get_mut(section)).and_then(Node::as_map_mut);
    section.into_iter().flat_map(|map| map.values_mut())
}

/// Acts on the values at a path; `*` stands for every key or item.
fn at(node: &mut Node, path: &[&str], act: &mut dyn FnMut(&mut Node)) {
    let Some((step, rest)) = path.split_first() else { return act(node) };
    match &mut node.value {
        Value::Map(map) if *step == "*" => map.values_mut().for_each(|node| at(node, rest, act)),
        Value::List(list) if *step == "*" => list.iter_mut().for_each(|node| at(node, rest, act)),
        Value::Map(map) => {
            if let Some(node) = map.get_mut(*step) {
                at(node, rest, act);
            }
        }
        _ => {}
    }
}
