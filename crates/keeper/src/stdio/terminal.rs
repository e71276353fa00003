//! Pseudo terminals: the keeper's side.
//!
//! A terminal belongs to the container's own devpts where there is one: its name is then right inside.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    FileType, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, fcntl_setfl, fstat, fstatfs, major, minor,
    open, openat, openat2,
};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::WindowSize;

/// The master of a container's terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    master: OwnedFd,
    // With one slave open the master never reports a hang-up while the container has merely closed its
    // own ends; whether it still runs, its pidfd tells.
    _slave: OwnedFd,
}

impl Terminal {
    pub(crate) fn make(size: WindowSize) -> io::Result<Terminal> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        Terminal::fresh(master, size)
    }

    /// A terminal of a devpts that is mounted nowhere yet.
    pub(crate) fn of_devpts(devpts: BorrowedFd<'_>, size: WindowSize) -> io::Result<Terminal> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        Terminal::fresh(openat(devpts, c"ptmx", flags, Mode::empty())?, size)
    }

    /// A terminal of the devpts at `/dev/pts` below `root`; one of the host's where there is none.
    pub(crate) fn within(root: BorrowedFd<'_>, size: WindowSize) -> io::Result<Terminal> {
        match open_multiplexer(root)? {
            Some(master) => Terminal::fresh(master, size),
            None => Terminal::make(size),
        }
    }

    fn fresh(master: OwnedFd, size: WindowSize) -> io::Result<Terminal> {
        unlockpt(&master)?;
        let terminal = Terminal::of(master)?;
        terminal.resize(size)?;
        Ok(terminal)
    }

    /// Takes over a master that someone else held.
    pub(crate) fn of(master: OwnedFd) -> io::Result<Terminal> {
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        let slave = open_slave(&master)?;
        Ok(Terminal { master, _slave: slave })
    }

    /// A slave for a container, owned by its user.
    pub(crate) fn slave_for(&self, uid: u32) -> io::Result<OwnedFd> {
        let slave = open_slave(&self.master)?;
        // The group stays `tty`, and may write: what write(1) and the like rely on.
        fchown(&slave, Some(Uid::from_raw(uid)), None)?;
        fchmod(&slave, Mode::from_raw_mode(0o620))?;
        Ok(slave)
    }

    pub(crate) fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    pub(crate) fn into_master(self) -> OwnedFd {
        self.master
    }

    pub(crate) fn resize(&self, size: WindowSize) -> io::Result<()> {
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.master, size)?)
    }

    /// Moves what the container has written into `pipe`. `Errno::AGAIN` when there is nothing or no room.
    pub(crate) fn relay(&self, pipe: BorrowedFd<'_>) -> Result<usize, Errno> {
        splice(&self.master, None, pipe, None, 64 << 10, SpliceFlags::NONBLOCK)
    }
}

/// What fstatfs(2) says of a devpts.
const DEVPTS: i64 = 0x1cd1;

/// Opens `/dev/pts/ptmx` below a root, which whoever is inside may have changed as they please: it is opened for real
/// only once it is known to be the multiplexer of a devpts, since a pipe there would never answer.
fn open_multiplexer(root: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = (0..16)
        .map(|_| openat2(root, c"dev/pts/ptmx", flags, Mode::empty(), inside))
        .find(|found| !matches!(found, Err(Errno::AGAIN | Errno::INTR)));
    let Some(Ok(found)) = found else { return Ok(None) };
    let stat = fstat(&found)?;
    let is_multiplexer = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (major(stat.st_rdev), minor(stat.st_rdev)) == (5, 2);
    if !is_multiplexer || fstatfs(&found)?.f_type != DEVPTS {
        return Ok(None);
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Full, most likely: the container's terminals are its own affair.
    Ok(open(format!("/proc/self/fd/{}", found.as_raw_fd()), flags, Mode::empty()).ok())
}

fn open_slave(master: &OwnedFd) -> io::Result<OwnedFd> {
    // By descriptor: no path of any devpts mount has to be right.
    Ok(ioctl_tiocgptpeer(master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?)
}
