//! What the kernel forgets, as the loop says it: one JSON line per entry, appended. A line that was written survives a
//! kill of the agent; a torn last line is left out. Opening compacts.
//!
//! After a power cut the last second may be missing: the boot id then differs, and the planner takes every instance
//! for ended by the reboot anyway.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hoist_model::{BootId, InstanceUid};
use hoist_planner::host::{Instance, JournalEntry, Life};

use crate::processes::take_up::Run;

/// Beyond this many lines the journal is compacted while it runs.
const COMPACT_AFTER: usize = 20_000;

/// The journal, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
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

impl Journal {
    /// Reads the journal and opens it compacted.
    ///
    /// # Errors
    /// When it can't be read or written. A line that isn't an entry ends the reading: only a torn last one is.
    pub(crate) fn open(path: PathBuf) -> Result<Self, JournalError> {
        let fail = |source| JournalError { path: path.clone(), source };
        let kept = read(&path).map_err(fail)?;
        let (file, lines) = compact(&path, &kept).map_err(fail)?;
        Ok(Self { path, file, lines, kept })
    }

    /// What it says.
    #[must_use]
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn append(&mut self, entry: JournalEntry) -> Result<(), JournalError> {
        let fail = |source| JournalError { path: self.path.clone(), source };
        self.file.write_all(&line(&entry).map_err(fail)?).map_err(fail)?;
        self.lines += 1;
        // With the last instance goes every word about it.
        let removal = matches!(entry, JournalEntry::Gone(_));
        self.kept.apply(entry);
        let emptied = removal && self.kept.instances.is_empty();
        if emptied || self.lines > COMPACT_AFTER {
            (self.file, self.lines) = compact(&self.path, &self.kept).map_err(fail)?;
        }
        Ok(())
    }
}

fn line(entry: &JournalEntry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(line)
}

fn read(path: &Path) -> io::Result<Kept> {
    let mut kept = Kept::default();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(kept),
        Err(error) => return Err(error),
    };
    for line in BufReader::new(file).split(b'\n') {
        let Ok(entry) = serde_json::from_slice(&line?) else { break };
        kept.apply(entry);
    }
    Ok(kept)
}

fn compact(path: &Path, kept: &Kept) -> io::Result<(File, usize)> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    let mut text = Vec::new();
    let mut lines = 0;
    for entry in kept.entries() {
        text.extend(line(&entry)?);
        lines += 1;
    }
    file.write_all(&text)?;
    file.sync_data()?;
    std::fs::rename(&beside, path)?;
    Ok((file, lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(epoch: u64) -> JournalEntry {
        JournalEntry::Daemon { epoch, boot: BootId("b".into()) }
    }

    #[test]
    fn the_last_entry_counts_and_a_torn_line_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.json");
        let mut journal = Journal::open(path.clone()).unwrap();
        journal.append(daemon(1)).unwrap();
        journal.append(daemon(2)).unwrap();
        drop(journal);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"daemon\":{\"epo").unwrap();
        let journal = Journal::open(path.clone()).unwrap();
        assert_eq!(journal.kept().daemon, Some((2, BootId("b".into()))));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    }
}
