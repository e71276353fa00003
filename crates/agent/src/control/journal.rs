//! What the kernel forgets, as the loop says it: one JSON line per entry, appended. A line that was written survives a
//! kill of the agent. Opening compacts.
//!
//! A kill or a full disk may tear the last line: it is left out, and what is appended next takes its place. Each entry
//! is whole by itself, so damage in between costs the entries that it hit and no others.
//!
//! After a power cut the last second may be missing: the boot id then differs, and the planner takes every instance
//! for ended by the reboot anyway.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hoist_keeper::set_aside;
use hoist_model::{BootId, InstanceUid};
use hoist_planner::host::{Instance, JournalEntry, Life};

use crate::processes::take_up::Run;
use crate::reserve::is_full;

/// The journal is compacted while it runs, once it has grown by so many bytes and to so many times its size.
const GROWTH: u64 = 256 << 10;
const TIMES: u64 = 4;

/// The journal, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole entries: where the next one goes.
    length: u64,
    /// The length at which it is compacted.
    compact_at: u64,
    kept: Kept,
}

/// What the journal says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// Epoch and boot.
    pub daemon: Option<(u64, BootId)>,
    /// Instances.
    pub instances: BTreeMap<InstanceUid, Instance>,
}

impl Kept {
    fn apply(&mut self, entry: JournalEntry) {
        match entry {
            JournalEntry::Daemon { epoch, boot } => self.daemon = Some((epoch, boot)),
            JournalEntry::Instance(uid, instance) => {
                self.instances.insert(uid, *instance);
            }
            JournalEntry::Gone(uid) => {
                self.instances.remove(&uid);
            }
        }
    }

    /// The runs that it knows.
    pub(crate) fn runs(&self) -> BTreeMap<InstanceUid, Run> {
        let run = |instance: &Instance| match instance.life {
            Life::Running { pid, .. } => Some(Run { attempt: instance.starts, pid }),
            _ => None,
        };
        self.instances.iter().filter_map(|(uid, instance)| Some((*uid, run(instance)?))).collect()
    }

    fn entries(&self) -> impl Iterator<Item = JournalEntry> + '_ {
        let daemon = self
            .daemon
            .iter()
            .map(|(epoch, boot)| JournalEntry::Daemon { epoch: *epoch, boot: boot.clone() });
        let instances = self
            .instances
            .iter()
            .map(|(uid, instance)| JournalEntry::Instance(*uid, Box::new(instance.clone())));
        daemon.chain(instances)
    }
}

/// The journal can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("can't keep the journal {path}")]
pub(crate) struct JournalError {
    /// The file.
    pub path: PathBuf,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

impl JournalError {
    /// Whether there was no room to write it.
    pub(crate) fn is_full(&self) -> bool {
        is_full(&self.source)
    }
}

impl Journal {
    /// Reads the journal and opens it compacted; as it is, where there is no room for that. A damaged one is set aside,
    /// with what of it could be read taken over.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub(crate) fn open(path: PathBuf) -> Result<Self, JournalError> {
        let fail = |source| JournalError { path: path.clone(), source };
        let Found { kept, sound, damaged } = read(&path).map_err(fail)?;
        let (file, length) = match compact(&path, &kept) {
            // What could be read of a damaged one is in no file now: to go on without it would forget it.
            Err(error) if is_full(&error) && !damaged => (append_to(&path).map_err(fail)?, sound),
            compacted => compacted.map_err(fail)?,
        };
        Ok(Self { compact_at: due(length), path, file, length, kept })
    }

    /// What it says.
    #[must_use]
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Appends an entry, whole or not at all.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn append(&mut self, entry: &JournalEntry) -> Result<(), JournalError> {
        let fail = |source| JournalError { path: self.path.clone(), source };
        let line = line(entry).map_err(fail)?;
        if let Err(source) = self.file.write_all_at(&line, self.length) {
            // What comes later must not be hidden behind half a line.
            let _ = self.file.set_len(self.length);
            return Err(fail(source));
        }
        self.length += line.len() as u64;
        // With the last instance goes every word about it.
        let removal = matches!(entry, JournalEntry::Gone(_));
        self.kept.apply(entry.clone());
        let emptied = removal && self.kept.instances.is_empty();
        if emptied || self.length > self.compact_at {
            self.compact().map_err(|source| JournalError { path: self.path.clone(), source })?;
        }
        Ok(())
    }

    /// The entry is written already: without room for a shorter journal the long one goes on.
    fn compact(&mut self) -> io::Result<()> {
        match compact(&self.path, &self.kept) {
            Ok((file, length)) => (self.file, self.length) = (file, length),
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(error),
        }
        self.compact_at = due(self.length);
        Ok(())
    }
}

fn due(length: u64) -> u64 {
    (length * TIMES).max(length + GROWTH)
}

fn line(entry: &JournalEntry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(line)
}

/// What was read.
struct Found {
    kept: Kept,
    /// Bytes up to the end of the last whole line.
    sound: u64,
    /// Whether a line in it is no entry, though it was written to its end.
    damaged: bool,
}

fn read(path: &Path) -> io::Result<Found> {
    let mut found = Found { kept: Kept::default(), sound: 0, damaged: false };
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        bytes => bytes?,
    };
    for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        match serde_json::from_slice(line) {
            Ok(entry) => found.kept.apply(entry),
            Err(_) => found.damaged = true,
        }
        found.sound += line.len() as u64;
    }
    // An entry begins so: what else comes after the last line was not torn off one.
    let rest = &bytes[usize::try_from(found.sound).unwrap_or(bytes.len())..];
    found.damaged |= !rest.is_empty() && !rest.starts_with(b"{\"");
    if found.damaged {
        let aside = set_aside(path)?;
        tracing::error!("the journal {} is damaged; it is set aside as {}", path.display(), aside.display());
    }
    Ok(found)
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

fn compact(path: &Path, kept: &Kept) -> io::Result<(File, u64)> {
    let beside = path.with_extension("new");
    let put = || -> io::Result<(File, u64)> {
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        let mut text = Vec::new();
        for entry in kept.entries() {
            text.extend(line(&entry)?);
        }
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&beside, path)?;
        Ok((file, text.len() as u64))
    };
    put().inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use hoist_goldens::Golden;

    use super::*;

    #[test]
    fn journals_of_former_releases_are_read() {
        let planner = concat!(env!("CARGO_MANIFEST_DIR"), "/../planner");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.json");
        fs::write(&path, Golden::new(planner, "v1/journal.jsonl").bytes()).unwrap();
        let journal = Journal::open(path).unwrap();
        assert_eq!(journal.kept().daemon, Some((6, BootId("b0075".into()))));
        assert_eq!(journal.kept().instances.len(), 6, "seven were made and one is gone");
        assert_eq!(journal.kept().runs().len(), 1);
    }

    fn daemon(epoch: u64) -> JournalEntry {
        JournalEntry::Daemon { epoch, boot: BootId("b".into()) }
    }

    fn epoch(journal: &Journal) -> Option<u64> {
        journal.kept().daemon.as_ref().map(|(epoch, _)| *epoch)
    }

    #[test]
    fn the_last_entry_counts_and_a_torn_line_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.json");
        let mut journal = Journal::open(path.clone()).unwrap();
        journal.append(&daemon(1)).unwrap();
        journal.append(&daemon(2)).unwrap();
        drop(journal);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"daemon\":{\"epo").unwrap();
        let journal = Journal::open(path.clone()).unwrap();
        assert_eq!(epoch(&journal), Some(2));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "that is no damage");
    }

    #[test]
    fn damage_costs_the_entries_that_it_hit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.json");
        for damage in ["{\"daemon\":{\"epo\n", "\0\0\0\n", "[]\n{}\n"] {
            let text = |epoch| String::from_utf8(line(&daemon(epoch)).unwrap()).unwrap();
            fs::write(&path, [text(1), damage.to_owned(), text(2)].concat()).unwrap();
            assert_eq!(epoch(&Journal::open(path.clone()).unwrap()), Some(2), "{damage:?}");
        }
        fs::write(&path, [0xff; 1000]).unwrap();
        assert_eq!(epoch(&Journal::open(path.clone()).unwrap()), None);
        assert_eq!(hoist_keeper::set_asides(dir.path()).len(), 4);
    }

    /// `/dev/full` takes nothing, as a full disk does (full(4)).
    #[test]
    fn an_entry_without_room_is_not_there_and_the_next_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.json");
        let mut journal = Journal::open(path.clone()).unwrap();
        journal.append(&daemon(1)).unwrap();
        let disk =
            std::mem::replace(&mut journal.file, File::options().write(true).open("/dev/full").unwrap());
        assert!(journal.append(&daemon(2)).unwrap_err().is_full());
        journal.file = disk;
        journal.append(&daemon(3)).unwrap();
        drop(journal);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        assert_eq!(epoch(&Journal::open(path).unwrap()), Some(3));
    }

    #[test]
    fn it_is_compacted_as_it_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.json");
        let mut journal = Journal::open(path.clone()).unwrap();
        for number in 0..20_000 {
            journal.append(&daemon(number)).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() < GROWTH + 100);
        assert_eq!(epoch(&Journal::open(path).unwrap()), Some(19_999));
    }
}
