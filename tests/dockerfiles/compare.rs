//! Two images side by side, and which differences `docs/build-differences.md` lists.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use tar::EntryType;

use crate::tree::{Node, Tree};

/// What is compared of `config`; the rest is a builder's own.
const KEYS: [&str; 12] = [
    "Env",
    "Cmd",
    "Entrypoint",
    "User",
    "WorkingDir",
    "Labels",
    "ExposedPorts",
    "Volumes",
    "StopSignal",
    "Healthcheck",
    "Shell",
    "OnBuild",
];

/// A difference: what differs, then what it is here and there.
pub(crate) type Difference = (String, String);

/// Configurations, keys that say nothing taken for absent.
pub(crate) fn configs(ours: &Value, theirs: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    for key in KEYS {
        let (ours, theirs) = (value(&ours["config"], key), value(&theirs["config"], key));
        let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for name in names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name)) {
            let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
            let what = if name.is_empty() { format!("config {key}") } else { format!("config {key} {name}") };
            found.push((what, format!("{} / {}", show(ours.get(name)), show(theirs.get(name)))));
        }
    }
    for key in ["architecture", "os", "author"] {
        let text = |config: &Value| config[key].as_str().unwrap_or_default().to_owned();
        if text(ours) != text(theirs) {
            found.push((format!("config {key}"), format!("{} / {}", text(ours), text(theirs))));
        }
    }
    found
}

/// Maps and the environment by name; anything else under no name.
fn value(config: &Value, key: &str) -> Map<String, Value> {
    match &config[key] {
        Value::Null => Map::new(),
        Value::String(text) if text.is_empty() => Map::new(),
        Value::Array(list) if list.is_empty() => Map::new(),
        Value::Array(list) if key == "Env" => {
            let pair = |entry: &Value| {
                let (name, value) = entry.as_str().unwrap_or_default().split_once('=').unwrap_or_default();
                (name.to_owned(), Value::from(value))
            };
            list.iter().map(pair).collect()
        }
        Value::Object(map) if key != "Healthcheck" => map.clone(),
        other => Map::from_iter([(String::new(), other.clone())]),
    }
}

/// Trees. What was made since `start` has no time that two builds could share.
pub(crate) fn trees(ours: &Tree, theirs: &Tree, start: u64) -> Vec<Difference> {
    let (first_of_ours, first_of_theirs) = (first_names(ours), first_names(theirs));
    let names: BTreeSet<&Vec<u8>> = ours.keys().chain(theirs.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let path = format!("/{}", name.escape_ascii());
        let (ours, theirs) = match (ours.get(name), theirs.get(name)) {
            (Some(ours), Some(theirs)) => (ours, theirs),
            (Some(_), None) => {
                found.push((format!("{path} only here"), String::new()));
                continue;
            }
            _ => {
                found.push((format!("{path} only there"), String::new()));
                continue;
            }
        };
        let before = describe(ours, start, first_of_ours.get(&ours.inode), name);
        let after = describe(theirs, start, first_of_theirs.get(&theirs.inode), name);
        for ((what, ours), (_, theirs)) in before.iter().zip(&after).filter(|(ours, theirs)| ours != theirs) {
            let side =
                [(ours, " new here"), (theirs, " new there")].into_iter().find(|(value, _)| *value == "new");
            let side = side.map_or("", |(_, side)| side);
            found.push((format!("{path} {what}{side}"), format!("{ours} / {theirs}")));
        }
        if ours.content != theirs.content {
            let show = |node: &Node| node.content[..node.content.len().min(200)].escape_ascii().to_string();
            found.push((format!("{path} content"), format!("{} / {}", show(ours), show(theirs))));
        }
    }
    found
}

type Inode = (usize, usize);

/// The first name of each file that has several.
fn first_names(tree: &Tree) -> BTreeMap<Inode, &Vec<u8>> {
    let mut first = BTreeMap::new();
    for (name, node) in tree {
        first.entry(node.inode).or_insert(name);
    }
    first
}

fn describe(node: &Node, start: u64, first: Option<&&Vec<u8>>, name: &[u8]) -> Vec<(&'static str, String)> {
    let linked = first.filter(|first| first.as_slice() != name);
    let symlink = node.kind == EntryType::Symlink;
    vec![
        ("kind", format!("{:?} {:?}", node.kind, node.device)),
        ("mode", if symlink { String::new() } else { format!("{:o}", node.mode) }),
        ("owner", format!("{}:{}", node.owner.0, node.owner.1)),
        ("time", if node.seconds >= start { "new".to_owned() } else { node.seconds.to_string() }),
        ("target", if symlink { node.link.escape_ascii().to_string() } else { String::new() }),
        ("links", linked.map_or(String::new(), |first| format!("= /{}", first.escape_ascii()))),
        (
            "xattrs",
            node.xattrs.iter().map(|(name, value)| format!("{name}={} ", value.escape_ascii())).collect(),
        ),
    ]
}

/// The differences of `docs/build-differences.md`: items `CASE: DIFFERENCE`, where `*` stands for any end of either.
#[derive(Debug)]
pub(crate) struct Listed(Vec<(String, String, Cell<bool>)>);

impl Listed {
    pub(crate) fn read() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/build-differences.md");
        let text = fs::read_to_string(file).unwrap_or_default();
        let items =
            text.lines().filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`')?.split_once(": "));
        Self(items.map(|(case, what)| (case.to_owned(), what.to_owned(), Cell::new(false))).collect())
    }

    /// Whether the difference is listed. It is noted that it was seen.
    pub(crate) fn has(&self, case: &str, what: &str) -> bool {
        let fitting = self.0.iter().filter(|(cases, whats, _)| fits(cases, case) && fits(whats, what));
        fitting.inspect(|(_, _, seen)| seen.set(true)).count() > 0
    }

    /// Items that no difference fits.
    pub(crate) fn unseen(&self) -> Vec<String> {
        let unseen = self.0.iter().filter(|(_, _, seen)| !seen.get());
        unseen.map(|(case, what, _)| format!("{case}: {what}")).collect()
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |start| text.starts_with(start))
}
