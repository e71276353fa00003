//! `!reset` and `!override`: what a file wants removed from the files before it.
//!
//! The tags are read once after parsing. A reset value leaves the tree; an override stays in it; the path of
//! both is remembered and, before merging, cleared from what came before.

use crate::node::{Node, Tag, Value};

/// Paths to clear in earlier files.
#[derive(Debug, Default)]
pub struct Resets {
    paths: Vec<Vec<String>>,
}

impl Resets {
    /// Reads and removes the tags of a document.
    pub fn take(top: &mut Node) -> Self {
        let mut resets = Self::default();
        if !is_tagged(top) {
            return resets;
        }
        let mut path = Vec::new();
        if top.tag == Tag::Reset {
            top.value = Value::Null;
        }
        resets.walk(top, &mut path);
        resets
    }

    fn walk(&mut self, node: &mut Node, path: &mut Vec<String>) {
        match &mut node.value {
            Value::Map(map) => map.retain(|key, value| {
                path.push(key.clone());
                let keep = self.visit(value, path);
                path.pop();
                keep
            }),
            Value::List(list) => {
                let mut index = 0;
                list.retain_mut(|item| {
                    path.push(format!("[{index}]"));
                    index += 1;
                    // Paths of items match nothing in earlier files: only the item itself goes.
                    let before = self.paths.len();
                    let keep = self.visit(item, path);
                    self.paths.truncate(before);
                    path.pop();
                    keep
                });
            }
            _ => {}
        }
    }

    /// Whether the value stays.
    fn visit(&mut self, node: &mut Node, path: &mut Vec<String>) -> bool {
        match std::mem::take(&mut node.tag) {
            Tag::Reset => {
                self.paths.push(path.clone());
                return false;
            }
            Tag::Override => {
                self.paths.push(path.clone());
                let inside = self.paths.len();
                self.walk(node, path);
                self.paths.truncate(inside);
            }
            Tag::None => self.walk(node, path),
        }
        true
    }

    /// Clears the paths in an earlier tree.
    pub fn apply(&self, top: &mut Node) {
        for path in &self.paths {
            remove(top, path);
        }
    }

    /// Clears the paths below a prefix in a tree that stands at that prefix.
    pub fn apply_below(&self, prefix: &[&str], node: &mut Node) {
        for path in &self.paths {
            if path.len() > prefix.len() && path.iter().zip(prefix).all(|(a, b)| a == b) {
                remove(node, &path[prefix.len()..]);
            }
        }
    }
}

/// Whether a tag is anywhere below: hardly any file has one.
fn is_tagged(node: &Node) -> bool {
    node.tag != Tag::None
        || match &node.value {
            Value::Map(map) => map.values().any(is_tagged),
            Value::List(list) => list.iter().any(is_tagged),
            _ => false,
        }
}

fn remove(node: &mut Node, path: &[String]) {
    let (Some(map), Some((first, rest))) = (node.as_map_mut(), path.split_first()) else { return };
    if rest.is_empty() {
        map.shift_remove(first);
    } else if let Some(next) = map.get_mut(first) {
        remove(next, rest);
    }
}
