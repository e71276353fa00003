//! Inputs that the fuzz targets once found to crash, or to take long.

#![allow(clippy::unwrap_used, reason = "test set-up")]

use std::path::Path;
use std::time::{Duration, Instant};

use hoist_image::fuzz;

const TARGETS: [fn(&[u8]); 6] =
    [fuzz::reference, fuzz::manifest, fuzz::build_cache, fuzz::ignore, fuzz::tar, fuzz::unpack];

#[test]
fn regressions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/image-regressions");
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let data = std::fs::read(entry.path()).unwrap();
        for target in TARGETS {
            let start = Instant::now();
            target(&data);
            assert!(start.elapsed() < Duration::from_secs(20), "{}", entry.path().display());
        }
    }
}
