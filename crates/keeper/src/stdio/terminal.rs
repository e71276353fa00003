//! Pseudo terminals: the keeper's side.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, Uid, fchmod, fchown, fcntl_setfl};
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

fn open_slave(master: &OwnedFd) -> io::Result<OwnedFd> {
    // By descriptor: no path of any devpts mount has to be right.
    Ok(ioctl_tiocgptpeer(master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?)
}
