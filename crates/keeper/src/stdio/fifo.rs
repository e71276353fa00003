//! FIFOs: made, owned, and opened so that no open ever waits.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, mkfifoat, open, unlink};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use super::StdioSpec;

/// Anyone inside the container may write to `/dev/stdout`, also a process that changed its user after the
/// start; only the owner and we may read. On the host the folder above keeps others away.
pub(super) const OUTPUT_MODE: u32 = 0o622;
pub(super) const INPUT_MODE: u32 = 0o600;

/// Makes a new FIFO, in place of any file of that name, and opens it as the keeper does: reading never waits, and the
/// end of file never comes.
pub(super) fn make(path: &Path, owner: &StdioSpec, mode: u32) -> io::Result<OwnedFd> {
    let new = || mkfifoat(CWD, path, Mode::from_raw_mode(0o600));
    match new() {
        Err(Errno::EXIST) => {
            unlink(path)?;
            new()?;
        }
        made => made?,
    }
    let fifo = open_fifo(path, OFlags::RDWR | OFlags::NONBLOCK)?;
    if (owner.uid, owner.gid) != (geteuid().as_raw(), getegid().as_raw()) {
        fchown(&fifo, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    }
    // Not left to mkfifo, whose mode the umask cuts.
    fchmod(&fifo, Mode::from_raw_mode(mode))?;
    Ok(fifo)
}

/// The keeper's end: reading never waits, and the end of file never comes.
pub(super) fn open_output(path: &Path) -> io::Result<OwnedFd> {
    open_fifo(path, OFlags::RDWR | OFlags::NONBLOCK)
}

/// The container's end. Blocking, as programs expect; hence a description of its own.
pub(super) fn open_for_container(path: &Path) -> io::Result<OwnedFd> {
    open_fifo(path, OFlags::RDWR)
}

/// Both ends of an input: the container only reads, so that it can see the end of file.
pub(super) fn open_input(path: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    // Opening for reading alone waits for a writer, so the writer comes first; and that one needs a
    // reader, which whoever has made the FIFO still is.
    let write = open_fifo(path, OFlags::WRONLY | OFlags::NONBLOCK)?;
    let read = open_fifo(path, OFlags::RDONLY)?;
    Ok((read, write))
}

pub(super) fn open_input_writer(path: &Path) -> io::Result<Option<OwnedFd>> {
    match open_fifo(path, OFlags::WRONLY | OFlags::NONBLOCK) {
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => Ok(None),
        opened => opened.map(Some),
    }
}

pub(super) fn open_null() -> io::Result<OwnedFd> {
    Ok(open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

fn open_fifo(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let fifo = open(path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY, Mode::empty())?;
    let kind = FileType::from_raw_mode(fstat(&fifo)?.st_mode);
    if kind == FileType::Fifo { Ok(fifo) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::stdio::{StdioKind, make as make_stdio, open_stdin, reopen};

    fn spec(dir: &Path) -> StdioSpec {
        StdioSpec { dir: dir.join("run"), uid: 1234, gid: 77, kind: StdioKind::Pipes { stdin: true } }
    }

    #[test]
    fn fifos_belong_to_the_process_and_others_may_only_write() {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(dir.path());
        make_stdio(&spec, None).unwrap();
        for (name, mode) in [("stdout", 0o622), ("stderr", 0o622), ("stdin", 0o600)] {
            let found = std::fs::metadata(spec.dir.join(name)).unwrap();
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (1234, 77, mode), "{name}");
        }
    }

    #[test]
    fn output_waits_in_the_pipe_while_nobody_of_ours_lives() {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(dir.path());
        let (given, kept) = make_stdio(&spec, None).unwrap();
        drop(kept);
        assert_eq!(rustix::io::write(&given.stdio[1], b"kept"), Ok(4));
        let kept = reopen(&spec, true).unwrap();
        let mut bytes = [0; 9];
        assert_eq!(rustix::io::read(&kept.outputs[0], &mut bytes), Ok(4));
        assert_eq!(rustix::io::read(&kept.outputs[0], &mut bytes), Err(Errno::AGAIN));
    }

    #[test]
    fn input_ends_when_all_writers_have_closed() {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(dir.path());
        let (given, kept) = make_stdio(&spec, None).unwrap();
        let agent = open_stdin(&spec.dir).unwrap().unwrap();
        rustix::io::write(&agent, b"x").unwrap();
        drop((agent, kept));
        let mut bytes = [0; 9];
        assert_eq!(rustix::io::read(&given.stdio[0], &mut bytes), Ok(1));
        assert_eq!(rustix::io::read(&given.stdio[0], &mut bytes), Ok(0));
        drop(given);
        assert!(open_stdin(&spec.dir).unwrap().is_none());
    }
}
