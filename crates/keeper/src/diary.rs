//! A file for what nobody may be there to be told.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::clock::wall_ns;

/// Beyond this the file starts anew: it is for a person, after the fact.
const LONGEST: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Diary {
    file: Option<File>,
}

impl Diary {
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Diary> {
        let open = |path| OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        Ok(Diary { file: path.map(open).transpose()? })
    }

    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Writes one line. That it can't be written can't be told either.
    pub(crate) fn write(&mut self, text: &str) {
        let Some(file) = &mut self.file else { return };
        if file.metadata().is_ok_and(|metadata| metadata.len() > LONGEST) {
            let _ = file.set_len(0);
        }
        let (seconds, millis) = (wall_ns() / 1_000_000_000, wall_ns() / 1_000_000 % 1000);
        let _ = file.write_all(format!("{seconds}.{millis:03} {text}\n").as_bytes());
    }
}
