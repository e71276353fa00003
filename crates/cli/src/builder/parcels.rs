//! Puts what a build leaves into the user's folders, as the user: caches, nothing else.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hoist_wire::build::{BuildIn, Parcel, Piece, Refusal};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Pieces that may wait for the disk.
const QUEUE: usize = 4;

/// Several builds may write to one folder at once.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Files on their way into folders.
#[derive(Debug)]
pub(super) struct Parcels {
    folders: Arc<BTreeMap<String, PathBuf>>,
    out: Sender<BuildIn>,
    open: HashMap<u64, Sender<Parcel>>,
}

impl Parcels {
    pub(super) fn new(folders: &Arc<BTreeMap<String, PathBuf>>, out: &Sender<BuildIn>) -> Self {
        Self { folders: Arc::clone(folders), out: out.clone(), open: HashMap::new() }
    }

    /// Takes the next piece of a file.
    pub(super) async fn take(&mut self, parcel: Parcel) {
        let (ask, last) = (parcel.ask, parcel.last);
        let (folders, out) = (&self.folders, &self.out);
        let pieces = self.open.entry(ask).or_insert_with(|| {
            let (sender, pieces) = mpsc::channel(QUEUE);
            let (folders, out) = (Arc::clone(folders), out.clone());
            tokio::task::spawn_blocking(move || write(&folders, ask, pieces, &out));
            sender
        });
        // Nobody takes it once it was refused.
        let _ = pieces.send(parcel).await;
        if last {
            self.open.remove(&ask);
        }
    }
}

fn write(folders: &BTreeMap<String, PathBuf>, ask: u64, mut pieces: Receiver<Parcel>, out: &Sender<BuildIn>) {
    let answer = match placed(folders, &mut pieces) {
        Ok(()) => BuildIn::Piece(Piece { ask, data: Vec::new().into(), last: true }),
        Err(error) => BuildIn::Refusal(Refusal { ask, text: error.to_string(), missing: false }),
    };
    // Nobody listens any more: the build is over.
    let _ = out.blocking_send(answer);
}

/// Writes a file beside its place, and renames it once it is whole.
fn placed(folders: &BTreeMap<String, PathBuf>, pieces: &mut Receiver<Parcel>) -> io::Result<()> {
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let mut parcel = pieces.blocking_recv().ok_or_else(cut)?;
    let folder = folders.get(&parcel.context).ok_or(io::ErrorKind::NotFound)?;
    if !is_of_a_layout(&parcel.path) {
        return Err(io::Error::other(format!("{:?} has no place in a cache", parcel.path)));
    }
    let place = folder.join(&parcel.path);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let beside = folder.join(format!(".{}-{number}.new", std::process::id()));
    let told = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"))
    };
    let parent = place.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(told(parent))?;
    let mut file = File::create_new(&beside).map_err(told(&beside))?;
    let written = loop {
        if let Err(error) = file.write_all(&parcel.data) {
            break Err(told(&place)(error));
        }
        if parcel.last {
            break fs::rename(&beside, &place).map_err(told(&place));
        }
        parcel = match pieces.blocking_recv() {
            Some(parcel) => parcel,
            None => break Err(cut()),
        };
    };
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Whether the path is one of an OCI image layout.
fn is_of_a_layout(path: &str) -> bool {
    let hex = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(path, "oci-layout" | "index.json") || path.strip_prefix("blobs/sha256/").is_some_and(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(folder: &Path, path: &str, pieces: &[&str]) -> BuildIn {
        let folders = Arc::new(BTreeMap::from([("f".to_owned(), folder.to_owned())]));
        let (out, mut answers) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut parcels = Parcels::new(&folders, &out);
            for (at, piece) in pieces.iter().enumerate() {
                let (context, path) = ("f".to_owned(), path.to_owned());
                let last = at + 1 == pieces.len();
                let data = piece.as_bytes().to_vec().into();
                parcels.take(Parcel { ask: 1, context, path, data, last }).await;
            }
            answers.recv().await.unwrap()
        })
    }

    #[test]
    fn files_of_a_layout_are_put_in_place_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new");
        let blob = format!("blobs/sha256/{}", "a".repeat(64));
        assert!(matches!(sent(&folder, &blob, &["one ", "two"]), BuildIn::Piece(_)));
        assert_eq!(fs::read_to_string(folder.join(&blob)).unwrap(), "one two");
        for path in ["../index.json", "/etc/passwd", "blobs/sha256/../../../x", "other", ""] {
            let BuildIn::Refusal(refusal) = sent(&folder, path, &["x"]) else { panic!("{path} was taken") };
            assert!(refusal.text.contains("no place in a cache"), "{}", refusal.text);
        }
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(matches!(sent(&dir.path().join("file"), &blob, &["x"]), BuildIn::Refusal(_)));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside");
    }
}
