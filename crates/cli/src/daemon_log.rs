//! The agent's own log, read from its files: it is there also when no agent runs, which is when it is needed most.
//!
//! The agent writes to `agent.log`; when that is full it becomes `agent.log.1`, and what had that name the next one.
//! Files are told apart by inode: their names change while they are read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::CommandError;
use crate::out;

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a file may still be written to after another has its name: the agent looks once a second.
const LATE: Duration = Duration::from_millis(1500);

/// Prints the log, or its last lines; goes on until nobody reads when it is followed.
///
/// # Errors
/// When there is none, it can't be read, or nothing can be written to standard output.
pub(crate) async fn show(root: &Path, follow: bool, tail: Option<usize>) -> Result<(), CommandError> {
    let path = root.join("agent.log");
    let fail = |error: io::Error| CommandError::failed(format!("can't read {}: {error}", path.display()));
    let mut log = Log::open(path.clone()).map_err(fail)?;
    if log.unread.is_empty() && !follow {
        return Err(CommandError::failed(format!("there is no agent's log in {}", root.display()))
            .hint("`--root` or HOIST_ROOT names another folder"));
    }
    let mut text = log.more().map_err(fail)?;
    if let Some(lines) = tail {
        text = last(&text, lines).to_vec();
    }
    out::raw(&text)?;
    if !follow {
        return Ok(());
    }
    let going_on = async {
        loop {
            tokio::time::sleep(LOOK).await;
            out::raw(&log.more().map_err(fail)?)?;
        }
    };
    tokio::select! {
        ended = going_on => ended,
        () = out::unread() => out::finish(),
    }
}

/// The last lines of a text.
fn last(text: &[u8], lines: usize) -> &[u8] {
    let starts =
        text.iter().enumerate().rev().skip(1).filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    match lines.checked_sub(1) {
        None => &[],
        Some(before) => &text[starts.take(before + 1).nth(before).unwrap_or(0)..],
    }
}

/// What is still to be read of a log.
struct Log {
    path: PathBuf,
    /// Oldest first; the last one is read as it grows.
    unread: Vec<File>,
    /// Since when another file than the last one has the name.
    renamed: Option<Instant>,
}

impl Log {
    fn open(path: PathBuf) -> io::Result<Self> {
        let unread = files(&path)?;
        Ok(Self { path, unread, renamed: None })
    }

    /// What was written since.
    fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for file in &mut self.unread {
            file.read_to_end(&mut text)?;
        }
        self.unread.drain(..self.unread.len().saturating_sub(1));
        self.look()?;
        Ok(text)
    }

    /// Adds the files that are newer than the last one, once nobody writes to that any more.
    fn look(&mut self) -> io::Result<()> {
        let Some(last) = self.unread.last() else {
            self.unread = files(&self.path)?;
            return Ok(());
        };
        let known = inode(&last.metadata()?);
        if fs::metadata(&self.path).is_ok_and(|named| inode(&named) == known) {
            self.renamed = None;
        } else if self.renamed.get_or_insert_with(Instant::now).elapsed() >= LATE {
            let newer = newer(files(&self.path)?, known)?;
            if !newer.is_empty() {
                self.renamed = None;
                self.unread.extend(newer);
            }
        }
        Ok(())
    }
}

/// Those after the one that is known; all when that is gone already.
fn newer(files: Vec<File>, known: Inode) -> io::Result<Vec<File>> {
    let mut found = None;
    for (at, file) in files.iter().enumerate() {
        if inode(&file.metadata()?) == known {
            found = Some(at + 1);
        }
    }
    Ok(files.into_iter().skip(found.unwrap_or(0)).collect())
}

/// The files of a log, oldest first. They are opened newest first: one that gets its next name meanwhile is met again,
/// and counts once, but none is missed.
fn files(path: &Path) -> io::Result<Vec<File>> {
    let (mut files, mut seen) = (Vec::new(), Vec::new());
    for number in 0.. {
        let name = if number == 0 { path.to_owned() } else { format!("{}.{number}", path.display()).into() };
        match File::open(name) {
            Ok(file) => {
                let inode = inode(&file.metadata()?);
                if !seen.contains(&inode) {
                    seen.push(inode);
                    files.push(file);
                }
            }
            // The agent is just about to make it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    files.reverse();
    Ok(files)
}

/// Device and number: what a file is known by whatever its name.
type Inode = (u64, u64);

fn inode(metadata: &fs::Metadata) -> Inode {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_last_lines() {
        let text = b"one\ntwo\nthree\n";
        assert_eq!(last(text, 0), b"");
        assert_eq!(last(text, 1), b"three\n");
        assert_eq!(last(text, 2), b"two\nthree\n");
        assert_eq!(last(text, 3), text);
        assert_eq!(last(text, 9), text);
        assert_eq!(last(b"", 2), b"");
    }

    #[test]
    fn files_put_aside_are_read_first_and_following_goes_on_in_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        let named = |number: u32| folder.path().join(format!("agent.log.{number}"));
        fs::write(named(2), "1\n").unwrap();
        fs::write(named(1), "2\n").unwrap();
        fs::write(&path, "3\n").unwrap();
        let mut log = Log::open(path.clone()).unwrap();
        assert_eq!(log.more().unwrap(), b"1\n2\n3\n");
        let mut late = File::options().append(true).open(&path).unwrap();
        fs::rename(named(1), named(2)).unwrap();
        fs::rename(&path, named(1)).unwrap();
        assert_eq!(log.more().unwrap(), b"", "nothing has the name for a moment");
        fs::write(&path, "5\n").unwrap();
        late.write_all(b"4\n").unwrap();
        let mut text = log.more().unwrap();
        log.renamed = log.renamed.map(|since| since - LATE);
        text.extend(log.more().unwrap());
        text.extend(log.more().unwrap());
        assert_eq!(text, b"4\n5\n");
        File::options().append(true).open(&path).unwrap().write_all(b"6\n").unwrap();
        assert_eq!(log.more().unwrap(), b"6\n");
    }

    #[test]
    fn a_log_that_comes_later_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        let mut log = Log::open(path.clone()).unwrap();
        assert_eq!(log.more().unwrap(), b"");
        fs::write(&path, "first\n").unwrap();
        log.more().unwrap();
        assert_eq!(log.more().unwrap(), b"first\n");
    }
}
