//! What a keeper has to find again after it was killed: one folder an instance, small files in it.
//!
//! `launch.json` is written before there is a process, `instance.json` as soon as it has an identity, and
//! `exit.json` when it has ended; see [`crate::server`] for when exactly. The process itself empties
//! `launch.json` right before it becomes its program, so a launch that never came so far can be told from one
//! that ended. The first two only have to survive the keeper, not the machine, so they are never synced. All
//! are renamed into place, but for an instance's first `launch.json`: whole or not there. One that can't be read all the
//! same, as after a power cut, is set aside in the folder above; what runs without a record is the agent's to find, by
//! control group.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use hoist_runtime::identity::ProcessIdentity;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::aside::set_aside_as;
use crate::protocol::{ExitRecord, Key, LogSpec};
use crate::stdio::StdioSpec;

/// One instance, as far as it must outlive the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) key: Key,
    pub(crate) attempt: u32,
    pub(crate) identity: ProcessIdentity,
    pub(crate) stdio: StdioSpec,
    pub(crate) log: Option<LogSpec>,
    #[serde(default)]
    pub(crate) cgroup_dirs: Vec<PathBuf>,
    /// Whether the keeper's end of stdin is to be open.
    #[serde(default)]
    pub(crate) stdin_open: bool,
    /// Whether its process empties `launch.json`: those of keepers before this was so don't.
    #[serde(default)]
    pub(crate) marks: bool,
}

/// What was found of an instance.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Record,
    pub(crate) exit: Option<ExitRecord>,
    /// Whether its process had gone on to its program when this was read.
    pub(crate) executed: bool,
}

/// A launch that was begun and never came to have an identity: there may be a process that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) key: Key,
    #[serde(default)]
    pub(crate) cgroup_dirs: Vec<PathBuf>,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) instances: Vec<Found>,
    pub(crate) begun: Vec<Begun>,
    /// What could not be read, in words.
    pub(crate) complaints: Vec<String>,
}

/// The folder with the records.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
}

const LAUNCH: &str = "launch.json";
const INSTANCE: &str = "instance.json";
const EXIT: &str = "exit.json";

impl State {
    pub(crate) fn open(dir: &Path) -> io::Result<State> {
        let dir = dir.join("instances");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(State { dir })
    }

    /// Starts an instance's folder anew. What is known of an earlier attempt goes first: an old exit must
    /// never stand beside a new record. Returns the file that the process is to empty.
    pub(crate) fn begin(&self, begun: &Begun) -> io::Result<File> {
        let dir = self.dir.join(begun.key.as_str());
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove_if_there(fs::remove_file(dir.join(INSTANCE)))?;
                remove_if_there(fs::remove_file(dir.join(EXIT)))?;
                replace(&dir, LAUNCH, begun)
            }
            made => {
                made?;
                // In place: a keeper that is killed in between leaves it empty, and has no process to be found yet.
                let mut file = File::create_new(dir.join(LAUNCH))?;
                file.write_all(&serde_json::to_vec(begun)?)?;
                Ok(file)
            }
        }
    }

    /// Writes the record of what was found running without one.
    pub(crate) fn found(&self, record: &Record) -> io::Result<()> {
        self.forget(&record.key)?;
        DirBuilder::new().recursive(true).mode(0o700).create(self.dir.join(record.key.as_str()))?;
        self.write(record)
    }

    /// Writes a new or changed record.
    pub(crate) fn write(&self, record: &Record) -> io::Result<()> {
        replace(&self.dir.join(record.key.as_str()), INSTANCE, record).map(drop)
    }

    /// Whether an instance's process has gone on to its program.
    pub(crate) fn has_executed(&self, key: &Key) -> bool {
        !still_waits(&self.dir.join(key.as_str()))
    }

    /// Writes how an instance ended. Returns the file, to be synced.
    pub(crate) fn end(&self, exit: &ExitRecord) -> io::Result<PathBuf> {
        let dir = self.dir.join(exit.key.as_str());
        replace(&dir, EXIT, exit)?;
        Ok(dir.join(EXIT))
    }

    pub(crate) fn forget(&self, key: &Key) -> io::Result<()> {
        remove_if_there(fs::remove_dir_all(self.dir.join(key.as_str())))
    }

    /// Everything there is.
    pub(crate) fn load(&self) -> io::Result<Inventory> {
        let mut inventory = Inventory::default();
        for entry in fs::read_dir(&self.dir)? {
            inventory.look_into(&entry?.path());
        }
        Ok(inventory)
    }
}

impl Inventory {
    fn look_into(&mut self, dir: &Path) {
        if let Some(record) = self.read_or_complain::<Record>(dir, INSTANCE) {
            let exit = self.read_or_complain(dir, EXIT);
            let executed = !record.marks || !still_waits(dir);
            self.instances.push(Found { record, exit, executed });
        // Emptied, and without a record: the keeper was killed while it began the next launch, or forgot it.
        } else if let Some(begun) =
            (!was_emptied(dir)).then(|| self.read_or_complain::<Begun>(dir, LAUNCH)).flatten()
        {
            self.begun.push(begun);
        } else if let Err(error) = remove_if_there(fs::remove_dir_all(dir)) {
            self.complaints.push(format!("can't remove {}: {error}", dir.display()));
        }
    }

    fn read_or_complain<T: DeserializeOwned>(&mut self, dir: &Path, name: &str) -> Option<T> {
        read(dir, name).unwrap_or_else(|error| {
            let path = dir.join(name);
            let key = dir.file_name().unwrap_or_default().to_string_lossy();
            // Beside the folder of all instances: this one's goes with it.
            let above = dir.parent().and_then(Path::parent).unwrap_or(dir);
            let aside = set_aside_as(&path, &above.join(format!("{key}.{name}")));
            let aside = aside.map_or_else(|error| error.to_string(), |aside| aside.display().to_string());
            self.complaints.push(format!("can't read {}: {error}; it is now {aside}", path.display()));
            None
        })
    }
}

/// Whether a launch hasn't come to its program: what it began with is there as it was written. A file that was lost or
/// damaged says nothing: a process that waited ends by itself, and one that runs must not be taken for one.
fn still_waits(dir: &Path) -> bool {
    matches!(read::<Begun>(dir, LAUNCH), Ok(Some(_)))
}

fn was_emptied(dir: &Path) -> bool {
    fs::metadata(dir.join(LAUNCH)).is_ok_and(|metadata| metadata.len() == 0)
}

fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> io::Result<Option<T>> {
    match fs::read(dir.join(name)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn replace(dir: &Path, name: &str, value: &impl Serialize) -> io::Result<File> {
    let new = dir.join(format!("{name}.new"));
    let put = || -> io::Result<File> {
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        fs::rename(&new, dir.join(name))?;
        Ok(file)
    };
    // On a full disk half a record would take the room that the next try needs.
    put().inspect_err(|_| drop(fs::remove_file(&new)))
}

fn remove_if_there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use hoist_goldens::Golden;
    use hoist_runtime::cgroup::{Anchor, CgroupPath};
    use hoist_runtime::identity::Exit;

    use super::*;
    use crate::segments::Limits;
    use crate::stdio::{StdioKind, WindowSize};

    fn record(key: &str, attempt: u32) -> Record {
        Record {
            key: Key::new(key).unwrap(),
            attempt,
            identity: ProcessIdentity {
                boot_id: "b".into(),
                pid: 7,
                start_time: 1,
                pidfd_inode: None,
                cgroup: None,
            },
            stdio: StdioSpec { dir: "/run".into(), uid: 0, gid: 0, kind: StdioKind::Pipes { stdin: false } },
            log: None,
            cgroup_dirs: Vec::new(),
            stdin_open: false,
            marks: true,
        }
    }

    fn exit(key: &str, attempt: u32) -> ExitRecord {
        let key = Key::new(key).unwrap();
        ExitRecord {
            key,
            attempt,
            exit: Exit::Code(3),
            core_dumped: false,
            oom_killed: false,
            wall_ns: 1,
            boot_ns: 2,
        }
    }

    fn begun(key: &str) -> Begun {
        Begun { key: Key::new(key).unwrap(), cgroup_dirs: vec!["/sys/fs/cgroup/x".into()] }
    }

    fn golden(name: &str) -> Golden {
        Golden::new(env!("CARGO_MANIFEST_DIR"), name)
    }

    fn holds<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
        golden(name).is_written_for(value);
        golden(name).reads_as(value);
        golden(name).bends_as_ever::<T>();
    }

    #[test]
    fn records_of_former_releases_are_read_and_come_to_the_same_values() {
        let full = Record {
            identity: ProcessIdentity {
                pidfd_inode: Some(9),
                cgroup: Some(CgroupPath::new(Anchor::Root, "hoist/a").unwrap()),
                ..record("web-1", 3).identity
            },
            log: Some(LogSpec { dir: "/i/log".into(), limits: Limits::default() }),
            cgroup_dirs: vec!["/sys/fs/cgroup/x".into()],
            stdin_open: true,
            ..record("web-1", 3)
        };
        holds("v1/instance.json", &full);
        let terminal = StdioKind::Terminal(WindowSize { rows: 24, columns: 80 });
        let stdio = StdioSpec { kind: terminal, ..full.stdio.clone() };
        holds("v1/instance-terminal.json", &Record { stdio, ..record("web-1", 3) });
        holds("v1/launch.json", &begun("web-1"));
        holds("v1/exit.json", &ExitRecord { core_dumped: true, oom_killed: true, ..exit("web-1", 3) });
    }

    #[test]
    fn what_was_written_is_found_and_what_was_forgotten_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        for key in ["a", "b", "c", "d"] {
            state.begin(&begun(key)).unwrap();
        }
        for key in ["a", "b", "c"] {
            state.write(&record(key, 1)).unwrap();
        }
        state.begin(&begun("e")).unwrap().set_len(0).unwrap();
        state.write(&record("e", 1)).unwrap();
        state.end(&exit("b", 1)).unwrap();
        state.forget(&Key::new("c").unwrap()).unwrap();
        state.forget(&Key::new("c").unwrap()).unwrap();
        let mut inventory = state.load().unwrap();
        inventory.instances.sort_by(|a, b| a.record.key.cmp(&b.record.key));
        let ended: Vec<bool> = inventory.instances.iter().map(|found| found.exit.is_some()).collect();
        let executed: Vec<bool> = inventory.instances.iter().map(|found| found.executed).collect();
        assert_eq!((ended, inventory.begun), (vec![false, true, false], vec![begun("d")]));
        assert_eq!(executed, [false, false, true]);
        assert_eq!(inventory.complaints, [""; 0]);
    }

    #[test]
    fn a_new_attempt_never_stands_beside_an_old_exit() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        state.begin(&begun("a")).unwrap();
        state.write(&record("a", 1)).unwrap();
        state.end(&exit("a", 1)).unwrap();
        state.begin(&begun("a")).unwrap();
        assert_eq!(state.load().unwrap().begun.len(), 1);
        state.write(&record("a", 2)).unwrap();
        let found = state.load().unwrap().instances.remove(0);
        assert_eq!((found.record.attempt, found.exit.is_none()), (2, true));
    }

    #[test]
    fn a_broken_record_is_reported_and_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        for (key, text) in [("a", "{"), ("b", "")] {
            state.begin(&begun(key)).unwrap().set_len(0).unwrap();
            fs::write(dir.path().join("instances").join(key).join(INSTANCE), text).unwrap();
        }
        let inventory = state.load().unwrap();
        assert!(inventory.instances.is_empty() && inventory.begun.is_empty());
        assert_eq!(inventory.complaints.len(), 2);
        assert_eq!(fs::read_dir(dir.path().join("instances")).unwrap().count(), 0);
        assert_eq!(crate::set_asides(dir.path()).len(), 2);
    }

    #[test]
    fn a_lost_or_broken_mark_is_no_sign_that_a_launch_still_waits() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        for (key, text) in [("a", Some("\u{1}garbage")), ("b", Some("")), ("c", None)] {
            state.begin(&begun(key)).unwrap();
            state.write(&record(key, 1)).unwrap();
            assert!(!state.has_executed(&Key::new(key).unwrap()));
            let mark = dir.path().join("instances").join(key).join(LAUNCH);
            text.map_or_else(|| fs::remove_file(&mark), |text| fs::write(&mark, text)).unwrap();
            assert!(state.has_executed(&Key::new(key).unwrap()), "{key}");
        }
        assert!(state.load().unwrap().instances.iter().all(|found| found.executed));
    }

    #[test]
    fn a_broken_record_of_a_launch_that_had_only_begun_still_tells_where_its_processes_are() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        state.begin(&begun("a")).unwrap();
        fs::write(dir.path().join("instances/a").join(INSTANCE), "").unwrap();
        assert_eq!(state.load().unwrap().begun, [begun("a")]);
    }

    #[test]
    fn a_kill_while_the_next_launch_begins_leaves_nothing_to_complain_of() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        state.begin(&begun("a")).unwrap().set_len(0).unwrap();
        let inventory = state.load().unwrap();
        assert!(inventory.instances.is_empty() && inventory.begun.is_empty());
        assert_eq!(inventory.complaints, [""; 0]);
    }
}
