//! The tree that an image's layers come to (OCI image specification, *Applying Changesets*), read from an OCI layout.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Read as _;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::Value;
use tar::{Archive, EntryType, Header};

/// What stands at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: EntryType,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) seconds: u64,
    pub(crate) content: Rc<[u8]>,
    /// Where a link leads, symbolic or hard.
    pub(crate) link: Vec<u8>,
    pub(crate) device: Option<(u32, u32)>,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    /// Names of one file have the same.
    pub(crate) inode: (usize, usize),
    layer: usize,
}

/// By path, without a slash before it. The root itself is not in it: not all tools write it.
pub(crate) type Tree = BTreeMap<Vec<u8>, Node>;
type Layer = Rc<Vec<(Vec<u8>, Node)>>;

/// A folder with images, as `oci:` of others and `hoist save` write them.
#[derive(Debug)]
pub(crate) struct Layout(PathBuf);

/// Layers that were read before.
#[derive(Debug, Default)]
pub(crate) struct Layers(HashMap<String, Layer>);

impl Layout {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn json(&self, name: &str) -> Value {
        let text = fs::read(self.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        serde_json::from_slice(&text).unwrap()
    }

    fn blob(digest: &str) -> String {
        format!("blobs/{}", digest.replace(':', "/"))
    }

    /// The manifest of the image with this annotation.
    fn manifest(&self, annotation: &str, name: &str) -> Option<Value> {
        let index = self.json("index.json");
        let manifests = index["manifests"].as_array().cloned().unwrap_or_default();
        let found = manifests.iter().find(|entry| entry["annotations"][annotation] == name)?;
        Some(self.json(&Self::blob(found["digest"].as_str()?)))
    }

    /// The image's configuration, and its tree.
    pub(crate) fn image(&self, annotation: &str, name: &str, layers: &mut Layers) -> Option<(Value, Tree)> {
        let manifest = self.manifest(annotation, name)?;
        let config = self.json(&Self::blob(manifest["config"]["digest"].as_str()?));
        let mut tree = Tree::new();
        for (number, layer) in manifest["layers"].as_array()?.iter().enumerate() {
            let digest = layer["digest"].as_str()?;
            let layer = layers.0.entry(digest.to_owned());
            let layer = Rc::clone(layer.or_insert_with(|| read(&self.0.join(Self::blob(digest)))));
            apply(&mut tree, &layer, number);
        }
        Some((config, tree))
    }
}

fn read(path: &Path) -> Layer {
    let mut archive =
        Archive::new(File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    let mut layer = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let xattrs = xattrs(&mut entry);
        let (header, link) =
            (entry.header().clone(), entry.link_name_bytes().unwrap_or_default().into_owned());
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let name: Vec<u8> = plain(&entry.path_bytes());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let node = Node {
            kind: kind(header.entry_type()),
            mode: header.mode().unwrap() & 0o7777,
            owner,
            seconds: header.mtime().unwrap(),
            content: content.into(),
            link,
            device: device(&header),
            xattrs,
            inode: (0, 0),
            layer: 0,
        };
        if !name.is_empty() {
            layer.push((name, node));
        }
    }
    Rc::new(layer)
}

fn device(header: &Header) -> Option<(u32, u32)> {
    let device = matches!(header.entry_type(), EntryType::Char | EntryType::Block);
    Some((header.device_major().ok()??, header.device_minor().ok()??)).filter(|_| device)
}

/// How an archive keeps a file's content plays no part.
fn kind(kind: EntryType) -> EntryType {
    match kind {
        EntryType::GNUSparse | EntryType::Continuous => EntryType::Regular,
        other => other,
    }
}

fn xattrs(entry: &mut tar::Entry<'_, File>) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for record in entry.pax_extensions().unwrap().into_iter().flatten() {
        let record = record.unwrap();
        if let Some(name) = record.key().unwrap().strip_prefix("SCHILY.xattr.") {
            found.insert(name.to_owned(), record.value_bytes().to_vec());
        }
    }
    found
}

/// `./a//b/` is `a/b`.
fn plain(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.collect::<Vec<_>>().join(&b'/')
}

fn apply(tree: &mut Tree, layer: &Layer, number: usize) {
    for (at, (name, node)) in layer.iter().enumerate() {
        let start = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let (folder, last) = name.split_at(start);
        match last.strip_prefix(b".wh.") {
            Some(b".wh..opq") => remove(tree, folder, number),
            Some(hidden) => {
                let hidden = [folder, hidden].concat();
                remove(tree, &[&hidden[..], b"/"].concat(), number);
                if tree.get(&hidden).is_some_and(|node| node.layer < number) {
                    tree.remove(&hidden);
                }
            }
            None => place(tree, name, Node { inode: (number, at), layer: number, ..node.clone() }),
        }
    }
}

/// Removes what lower layers have below a path that ends in a slash.
fn remove(tree: &mut Tree, folder: &[u8], number: usize) {
    let below = tree.range::<[u8], _>((Bound::Included(folder), Bound::Unbounded));
    let below = below.take_while(|(name, _)| name.starts_with(folder));
    let old: Vec<Vec<u8>> =
        below.filter(|(_, node)| node.layer < number).map(|(name, _)| name.clone()).collect();
    old.iter().for_each(|name| drop(tree.remove(name)));
}

fn place(tree: &mut Tree, name: &[u8], mut node: Node) {
    if node.kind == EntryType::Link {
        let target = plain(&node.link);
        let first =
            tree.get(&target).unwrap_or_else(|| panic!("a link to nothing: {}", target.escape_ascii()));
        node = Node { layer: node.layer, ..first.clone() };
    }
    if node.kind != EntryType::Directory {
        remove(tree, &[name, b"/"].concat(), usize::MAX);
    }
    tree.insert(name.to_owned(), node);
}
