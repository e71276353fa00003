//! What the fuzz targets run: each takes any bytes and must neither panic nor be slow. Inputs that once did are
//! kept in `fuzz/image-regressions` and run by a test.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::builder::Ignore;
use crate::builder::exchange::{CACHE_CONFIG, CacheDocument, choose};
use crate::digest::Digest;
use crate::layer::{Kind, TarError, TarReader, unpack as unpack_layer};
use crate::manifest::{Descriptor, Document};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::Documents;

const BLOCK: usize = 512;

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// Reads an image's name; what it shows can be read again.
pub fn reference(data: &[u8]) {
    let Ok(reference) = text(data).parse::<Reference>() else { return };
    for shown in [reference.to_string(), reference.familiar()] {
        assert_eq!(shown.parse::<Reference>().as_ref(), Ok(&reference), "{shown:?}");
    }
}

/// Reads a manifest or index; and, what follows a NUL as its configuration.
pub fn manifest(data: &[u8]) {
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let (manifest, config) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    if let Ok(Document::Index(index)) = Document::parse(manifest) {
        _ = index.choose(&Platform::host());
        _ = index.platforms();
    }
    _ = Documents::parse(manifest, config);
}

/// Reads a cache of a build: what tells its kind, and its records.
pub fn build_cache(data: &[u8]) {
    _ = choose(data, &Platform::host());
    let config = Descriptor::new(CACHE_CONFIG, Digest::of(data), data.len() as u64);
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [] });
    _ = CacheDocument::parse(manifest.to_string().as_bytes(), data);
}

/// Asks for the first line whether the others, a `.dockerignore`, leave it out.
pub fn ignore(data: &[u8]) {
    let text = text(data);
    let (path, patterns) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(ignore) = Ignore::parse(patterns) else { return };
    if ignore.is_ignored_whole(path) {
        assert!(ignore.is_ignored(&format!("{path}/below")), "{path:?} is left out whole");
    }
}

/// Reads a tar archive's entries and their content.
pub fn tar(data: &[u8]) {
    let data = mended(data);
    let mut archive = TarReader::new(&data[..]);
    let mut read = 0;
    while let Ok(Some(entry)) = archive.next() {
        assert!(entry.kind == Kind::File || entry.stored == 0, "only files have content");
        let mut sum = 0;
        let whole = archive.for_each_chunk(|chunk| {
            sum += chunk.len() as u64;
            Ok::<(), TarError>(())
        });
        assert!(whole.is_err() || sum == entry.stored);
        read += sum;
    }
    assert!(read <= data.len() as u64);
}

/// Unpacks a layer into a folder that stands in another; nothing may appear in that one.
pub fn unpack(data: &[u8]) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let around = folder().join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
    let into = around.join("fs");
    if fs::create_dir_all(&into).is_err() {
        return;
    }
    let unpacked = unpack_layer(&mended(data)[..], &into, None);
    let names = fs::read_dir(&around).map_or(0, Iterator::count);
    assert!(names == 1, "{unpacked:?} placed something outside");
    _ = fs::remove_dir_all(&around);
}

fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("hoist-fuzz-{}", std::process::id()))
}

/// With right checksums, which no chance finds, wherever a header may be.
fn mended(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    for block in data.chunks_exact_mut(BLOCK).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    data
}
