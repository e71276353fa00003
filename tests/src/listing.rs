//! Everything on a host that could be left behind, as text, to compare before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::host::Host;

/// What there is, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing(BTreeMap<&'static str, BTreeSet<String>>);

impl Listing {
    /// What there is on `host`, with what is below `root`.
    #[must_use]
    pub fn of(host: &Host, root: &Path) -> Self {
        let lines = |script: &str| host.shell(script).success().stdout.lines().map(str::to_owned).collect();
        let mut kinds: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        kinds.insert("link", lines("ip -o link | sed -E 's/^[0-9]+: //; s/@.*| .*//; s/:$//'"));
        kinds.insert("address", lines("ip -o addr | awk '{ print $2, $4 }'"));
        kinds.insert("route", lines("ip route; ip rule; ip -6 rule"));
        kinds.insert("firewall", lines("nft list ruleset | sed 's/packets .*//'"));
        let root = root.to_owned();
        kinds.extend(host.inside(move || {
            [
                ("mount", mounts(&root)),
                ("network namespace", network_namespaces()),
                ("process", processes()),
                ("socket", sockets()),
                ("control group", groups(&root)),
                ("file", files(&root)),
            ]
        }));
        Self(kinds)
    }

    /// The items of one kind.
    ///
    /// # Panics
    /// When there is no such kind.
    #[must_use]
    pub fn kind(&self, kind: &str) -> &BTreeSet<String> {
        self.0.get(kind).unwrap_or_else(|| panic!("no kind {kind}"))
    }

    /// What came and what went since `before`, one a line; empty when nothing did.
    #[must_use]
    pub fn changes_since(&self, before: &Listing) -> String {
        let mut text = String::new();
        let none = BTreeSet::new();
        for (kind, now) in &self.0 {
            let then = before.0.get(kind).unwrap_or(&none);
            for item in now.difference(then) {
                let _ = writeln!(text, "+ {kind} {item}");
            }
            for item in then.difference(now) {
                let _ = writeln!(text, "- {kind} {item}");
            }
        }
        text
    }
}

/// Mount points with what is mounted there. Process 1's, as the reader may be in another process namespace. Those in
/// other temporary folders came with the machine's mounts and belong to others, who may remove them at any time.
fn mounts(root: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/1/mountinfo").expect("mounts can be read");
    let ours = root.parent().unwrap_or(root);
    let counts = |line: &&str| {
        let point = Path::new(line.split(' ').nth(4).unwrap_or("/"));
        point.starts_with(ours) || point == std::env::temp_dir() || !point.starts_with(std::env::temp_dir())
    };
    text.lines().filter(counts).map(|line| line.split(' ').skip(3).collect::<Vec<_>>().join(" ")).collect()
}

fn pids() -> impl Iterator<Item = PathBuf> {
    let all = fs::read_dir("/proc").expect("/proc can be read").flatten().map(|entry| entry.path());
    all.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok()))
}

/// Network namespaces that a process is in or holds open.
fn network_namespaces() -> BTreeSet<String> {
    let is_namespace =
        |path: PathBuf| Some(path.to_str()?.to_owned()).filter(|path| path.starts_with("net:["));
    let held = |process: PathBuf| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path());
        open.chain([process.join("ns/net")])
            .filter_map(|link| fs::read_link(link).ok())
            .filter_map(is_namespace)
    };
    pids().flat_map(|process| held(process).collect::<Vec<_>>()).collect()
}

/// Processes by number and command line. Zombies count.
fn processes() -> BTreeSet<String> {
    let one = |process: PathBuf| {
        let line = fs::read(process.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let name = fs::read_to_string(process.join("comm")).ok()?;
        let what = if line.trim().is_empty() { name.trim().to_owned() } else { line.trim().to_owned() };
        Some(format!("{} {what}", process.file_name()?.to_str()?))
    };
    pids().filter_map(one).collect()
}

/// Sockets of the host's network namespace: listening ones, and Unix sockets with a name.
fn sockets() -> BTreeSet<String> {
    let read = |name: &str| fs::read_to_string(format!("/proc/1/net/{name}")).unwrap_or_default();
    let mut found = BTreeSet::new();
    for line in read("unix").lines().skip(1) {
        found.extend(line.split_whitespace().nth(7).map(|name| format!("unix {name}")));
    }
    for kind in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        for line in read(kind).lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // A connection in TIME_WAIT belongs to nobody; LISTEN is 0A, an unconnected datagram socket 07 (tcp(7)).
            if let [_, local, _, "0A" | "07", ..] = fields[..] {
                found.insert(format!("{kind} {local}"));
            }
        }
    }
    found
}

/// The mounted control-group hierarchies.
#[must_use]
pub fn hierarchies() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/1/mountinfo").unwrap_or_default();
    let mounts = text.lines().filter(|line| line.contains(" - cgroup"));
    mounts.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// The name of a root among those that share a machine, which control groups carry; none before its first use.
#[must_use]
pub fn tag(root: &Path) -> Option<String> {
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(root.join("tag.json")).ok()?).ok()?;
    kept["tag"].as_str().map(str::to_owned)
}

/// This root's control groups; other hoists on the machine have theirs beside them.
fn groups(root: &Path) -> BTreeSet<String> {
    tag(root).map(|tag| groups_of(&tag)).unwrap_or_default()
}

/// The control groups of the root of this name.
#[must_use]
pub fn groups_of(tag: &str) -> BTreeSet<String> {
    let tops = hierarchies().into_iter().map(|hierarchy| hierarchy.join("hoist").join(tag));
    tops.flat_map(|top| below(&top, true)).collect()
}

fn files(root: &Path) -> BTreeSet<String> {
    below(root, false)
}

/// All paths below `top` and itself; nothing when it doesn't exist. Folders only, or everything.
fn below(top: &Path, folders_only: bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut ahead = vec![top.to_owned()];
    while let Some(path) = ahead.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            ahead.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if folders_only {
            continue;
        }
        found.insert(path.display().to_string());
    }
    found
}
