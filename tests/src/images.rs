//! Images made by the test set-up, once per machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

/// The archive of the real stack's image.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn shop() -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("real-stack");
    made("shop.tar", &sources.join("image.sh"), &sources)
}

/// The archive of the images that Dockerfiles stand on.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn bases() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("dockerfiles/bases.sh");
    made("bases.tar", &script, &script)
}

/// An archive, made when it isn't there, or isn't what its files say. In the folder named in `HOIST_TEST_IMAGES`, else in
/// the build folder.
fn made(name: &str, script: &Path, sources: &Path) -> PathBuf {
    let folder = std::env::var_os("HOIST_TEST_IMAGES").map_or_else(build_folder, PathBuf::from);
    fs::create_dir_all(&folder).expect("a folder for images can be made");
    let lock = File::create(folder.join("lock")).expect("the folder for images can be written");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock");
    let archive = folder.join(name);
    if newest(&archive) < newest(sources) {
        let made = Command::new(script).arg(&folder).output().expect("the script can be started");
        assert!(made.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&made.stderr));
    }
    archive
}

/// `target/test-images`; the test itself is in `target/<profile>/deps`.
fn build_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    test.ancestors().nth(3).expect("a build folder").join("test-images")
}

/// When a file, or the last changed file below a folder, was changed; the beginning of time when there is none.
fn newest(path: &Path) -> std::time::SystemTime {
    let Ok(meta) = fs::metadata(path) else { return std::time::UNIX_EPOCH };
    let entries = if meta.is_dir() { fs::read_dir(path).ok() } else { None };
    let below = entries.into_iter().flatten().flatten().map(|entry| newest(&entry.path()));
    below.chain(meta.modified().ok().filter(|_| meta.is_file())).max().unwrap_or(std::time::UNIX_EPOCH)
}
