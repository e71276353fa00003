//! Makes files survive the machine: `fsync(2)` takes as long as it takes, so it has a thread of its own.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// It opens files and syncs them: a small stack is plenty.
const STACK_BYTES: usize = 64 << 10;

/// The way to the thread. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Journal {
    files: Sender<PathBuf>,
}

impl Journal {
    pub(crate) fn start() -> io::Result<Journal> {
        let (files, inbox) = channel();
        thread::Builder::new().name("journal".into()).stack_size(STACK_BYTES).spawn(move || run(&inbox))?;
        Ok(Journal { files })
    }

    /// Syncs a file that was renamed into place, and its folder, some time soon.
    pub(crate) fn sync(&self, file: PathBuf) {
        // The thread ends only with the sender.
        let _ = self.files.send(file);
    }
}

fn run(inbox: &Receiver<PathBuf>) {
    while let Ok(file) = inbox.recv() {
        // What can't be synced is lost at worst with the machine, and then reads as an unknown exit.
        let _ = sync(&file);
        let _ = file.parent().map(sync);
    }
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
