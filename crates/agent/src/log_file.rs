//! The agent's own log: lines appended to a file that never grows beyond a bound. When it is full it gets the name
//! `agent.log.1`, what had that name gets the next one, and the oldest goes.
//!
//! Several processes may write at once (an agent that ends, and its successor): each looks now and then whether the name
//! still leads to the file that it writes to, and one at a time renames.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

/// How large a file gets before it is put aside, in bytes, and how many that were put aside are kept.
#[derive(Debug, Clone, Copy)]
pub struct LogBounds {
    /// Bytes of the file that is written to.
    pub bytes: u64,
    /// Files put aside.
    pub kept: u32,
}

impl Default for LogBounds {
    fn default() -> Self {
        Self { bytes: 4 << 20, kept: 3 }
    }
}

/// How often it is looked whether another process has put the file aside. Readers that follow count on it.
const LOOK: Duration = Duration::from_secs(1);

/// A log file within bounds. Writing to it never fails: a log that can't be written stops nothing else.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    bounds: LogBounds,
    file: Option<File>,
    /// What the file had when it was last looked at, and what was written since.
    size: u64,
    looked: Instant,
    look: Duration,
    /// Standard error goes to the same file, for what is printed there (a panic).
    stderr: bool,
}

impl LogFile {
    /// Writes to the file of this name, with standard error too when it is told so. The file is made when there is
    /// something to write.
    #[must_use]
    pub fn new(path: PathBuf, bounds: LogBounds, stderr: bool) -> Self {
        Self { path, bounds, file: None, size: 0, looked: Instant::now(), look: LOOK, stderr }
    }

    /// The file to write to now.
    fn current(&mut self) -> io::Result<&mut File> {
        let due = self.size >= self.bounds.bytes || self.looked.elapsed() >= self.look;
        if self.file.is_none() || (due && !self.is_current()) {
            self.open()?;
        }
        if self.size >= self.bounds.bytes {
            self.put_aside()?;
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether the name still leads to the file that is open.
    fn is_current(&mut self) -> bool {
        self.looked = Instant::now();
        let (Some(file), Ok(named)) = (&self.file, fs::metadata(&self.path)) else { return false };
        self.size = named.len();
        file.metadata().is_ok_and(|open| (open.dev(), open.ino()) == (named.dev(), named.ino()))
    }

    fn open(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        self.size = file.metadata()?.len();
        self.looked = Instant::now();
        if self.stderr {
            rustix::stdio::dup2_stderr(&file)?;
        }
        self.file = Some(file);
        Ok(())
    }

    /// Gives the full file its next name and begins another. Whoever renames holds a lock on the folder; others write
    /// on meanwhile, and never wait for it: whoever holds it may have been stopped.
    fn put_aside(&mut self) -> io::Result<()> {
        let folder = File::open(self.path.parent().unwrap_or(Path::new("/")))?;
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        // Another process may have done it between the look and the lock.
        if self.is_current() {
            for number in (1..self.bounds.kept).rev() {
                let _ = fs::rename(aside(&self.path, number), aside(&self.path, number + 1));
            }
            fs::rename(&self.path, aside(&self.path, 1))?;
        }
        self.open()
    }
}

/// The name of a file that was put aside: the higher, the older.
fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // One call for each line, which `O_APPEND` keeps whole beside those of other processes (write(2)).
        if self.current().and_then(|file| file.write_all(line)).is_ok() {
            self.size += line.len() as u64;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: LogBounds = LogBounds { bytes: 1000, kept: 3 };

    /// As the log's formatter does: one call for each line.
    fn say(log: &mut LogFile, line: &str) {
        log.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn all(path: &Path) -> Vec<String> {
        (1..=SMALL.kept)
            .rev()
            .map(|number| aside(path, number))
            .chain([path.to_owned()])
            .flat_map(|path| lines(&path))
            .collect()
    }

    #[test]
    fn it_stays_within_its_bounds_and_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        let mut log = LogFile::new(path.clone(), SMALL, false);
        for number in 0..2000 {
            say(&mut log, &format!("line {number:05}"));
        }
        let kept = all(&path);
        let numbers: Vec<u32> = kept.iter().map(|line| line[5..].parse().unwrap()).collect();
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "no line is lost between files: {numbers:?}"
        );
        assert_eq!(numbers.last(), Some(&1999));
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(names.iter().all(|entry| entry.metadata().unwrap().len() < 1100), "{names:?}");
    }

    #[test]
    fn several_writers_lose_no_line_while_files_are_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        let bounds = LogBounds { bytes: 20_000, ..SMALL };
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let mut log = LogFile::new(path.clone(), bounds, false);
                log.look = Duration::ZERO;
                scope.spawn(move || {
                    (0..800).for_each(|number| say(&mut log, &format!("{writer} {number:05} {:20}", "")));
                });
            }
        });
        let lines = all(&path);
        for writer in ["0 ", "1 ", "2 ", "3 "] {
            let last = lines.iter().filter(|line| line.starts_with(writer)).max();
            assert!(
                last.is_some_and(|line| line.starts_with(&format!("{writer}00799"))),
                "{writer}: {last:?}"
            );
        }
        assert!(lines.iter().all(|line| line.len() == 28), "no line is cut by another");
        let sizes: u64 =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(sizes < 4 * 26_000, "{sizes}");
    }

    #[test]
    fn what_another_process_put_aside_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        let mut log = LogFile::new(path.clone(), SMALL, false);
        say(&mut log, "before");
        fs::rename(&path, aside(&path, 1)).unwrap();
        log.looked -= LOOK;
        say(&mut log, "after");
        assert_eq!(lines(&path), ["after"]);
        assert_eq!(lines(&aside(&path, 1)), ["before"]);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::new(folder.path().join("missing/agent.log"), SMALL, false);
        say(&mut log, "nobody reads this");
        fs::create_dir(folder.path().join("missing")).unwrap();
        say(&mut log, "this is read");
        assert_eq!(lines(&folder.path().join("missing/agent.log")), ["this is read"]);
    }
}
