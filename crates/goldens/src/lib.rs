//! Golden files: documents as one version of a stored or sent format was written, kept for ever.
//!
//! They lie in `goldens/v<n>/` of the crate that owns the format. A file is never changed after its release. When a
//! format changes, the new form gets a file in the next folder, the old file stays, and both are read by the tests.
//!
//! For tests only: everything here panics with a sentence that says what to do.

mod shape;

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use shape::Shape;

/// Set to `add`, golden files that don't exist yet are written. Those that exist are never touched.
const VARIABLE: &str = "HOIST_GOLDENS";

/// One golden file.
#[derive(Debug, Clone)]
pub struct Golden {
    path: PathBuf,
}

impl Golden {
    /// The file `name` (`v1/ledger.json`) of the crate whose folder (`CARGO_MANIFEST_DIR`) is given.
    #[must_use]
    pub fn new(crate_dir: &str, name: &str) -> Self {
        Self { path: Path::new(crate_dir).join("goldens").join(name) }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes.
    ///
    /// # Panics
    /// When it isn't there.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap_or_else(|error| {
            panic!("{}: {error}; {VARIABLE}=add writes what is missing", self.path.display())
        })
    }

    /// The document in it.
    ///
    /// # Panics
    /// When it can't be read.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.bytes()).unwrap_or_else(|error| {
            panic!("{} can't be read any more, but hosts have such files: {error}", self.path.display())
        })
    }

    /// Holds that the document comes to this value. That must stay true for every version.
    ///
    /// # Panics
    /// When it comes to another one.
    pub fn reads_as<T: DeserializeOwned + PartialEq + Debug>(&self, value: &T) {
        assert_eq!(&self.read::<T>(), value, "{} comes to another value than it did", self.path.display());
    }

    /// Holds that the value is written as in this file, which must be the newest version's.
    ///
    /// # Panics
    /// When it is written differently.
    pub fn is_written_for<T: Serialize>(&self, value: &T) {
        let mut text = serde_json::to_string_pretty(value).expect("a stored value can be written");
        text.push('\n');
        self.is_text(&text);
    }

    /// The documents of a file that has one a line.
    ///
    /// # Panics
    /// When one can't be read.
    #[must_use]
    pub fn lines<T: DeserializeOwned>(&self) -> Vec<T> {
        let text = String::from_utf8(self.bytes()).expect("a golden file of text");
        let read = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| {
                panic!(
                    "{} can't be read any more, but hosts have such files: {error}\n{line}",
                    self.path.display()
                )
            })
        };
        text.lines().map(read).collect()
    }

    /// Makes the file, once and for ever, when it isn't there and missing ones are to be written.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn made_once(&self, make: impl FnOnce() -> Vec<u8>) {
        if !self.path.exists() && std::env::var(VARIABLE).is_ok_and(|value| value == "add") {
            fs::create_dir_all(self.path.parent().expect("a golden file lies in a folder"))
                .and_then(|()| fs::write(&self.path, make()))
                .expect("a golden file can be written");
        }
    }

    /// The same as [`Golden::is_written_for`], for what is no single JSON document.
    ///
    /// # Panics
    /// When the text differs.
    pub fn is_text(&self, text: &str) {
        self.made_once(|| text.into());
        let golden = String::from_utf8(self.bytes()).expect("a golden file of text");
        assert!(
            golden == text,
            "{} is not what is written today: the format has changed. Keep this file, with a test that it is read, \
             and add one in the folder of the next version.\n{}",
            self.path.display(),
            first_difference(&golden, text),
        );
    }
}

fn first_difference(golden: &str, text: &str) -> String {
    let mut lines = golden.lines().zip(text.lines()).enumerate();
    lines.find(|(_, (old, new))| old != new).map_or_else(
        || {
            format!(
                "the golden file has {} lines, {} are written",
                golden.lines().count(),
                text.lines().count()
            )
        },
        |(number, (old, new))| format!("line {}\n  golden: {old}\n  today:  {new}", number + 1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_format_is_noticed_and_no_file_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let golden = Golden::new(dir.path().to_str().unwrap(), "v1/a.json");
        fs::create_dir_all(golden.path().parent().unwrap()).unwrap();
        fs::write(golden.path(), "[\n  1\n]\n").unwrap();
        golden.reads_as(&vec![1]);
        golden.is_written_for(&vec![1]);
        assert!(std::panic::catch_unwind(|| golden.is_written_for(&vec![2])).is_err());
        assert!(std::panic::catch_unwind(|| golden.reads_as(&vec![2])).is_err());
        assert_eq!(golden.bytes(), b"[\n  1\n]\n");
    }
}
