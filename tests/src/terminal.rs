//! A pseudo-terminal, for commands that behave otherwise on one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// The person's side of a terminal.
#[derive(Debug)]
pub struct Terminal {
    keys: File,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Opens a terminal of 80 by 24 and makes it `command`'s standard input and output.
    ///
    /// # Panics
    /// When the machine has no pseudo-terminals.
    #[must_use]
    pub fn of(command: &mut Command) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a pseudo-terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a pseudo-terminal of ours");
        let name = ptsname(&ours, Vec::new()).expect("its name");
        let theirs =
            File::options().read(true).write(true).open(name.to_string_lossy().as_ref()).expect("its end");
        tcsetwinsize(&theirs, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 })
            .expect("a size");
        let copy = || theirs.try_clone().expect("a descriptor");
        command.stdin(copy()).stdout(copy()).stderr(theirs);
        Self::watch(ours)
    }

    fn watch(ours: OwnedFd) -> Self {
        let keys = File::from(ours);
        let mut reader = keys.try_clone().expect("a descriptor");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO: the other side has closed (pty(7)).
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if let Ok(mut shown) = shown.lock() {
                    shown.extend_from_slice(&buffer[..count]);
                }
            }
        });
        Self { keys, screen }
    }

    /// Types.
    ///
    /// # Panics
    /// When the other side is gone.
    pub fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("somebody reads the terminal");
    }

    /// What has been shown so far.
    #[must_use]
    pub fn screen(&self) -> String {
        self.screen.lock().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until `text` has been shown.
    ///
    /// # Panics
    /// When it hasn't within `bound`.
    #[track_caller]
    pub fn wait_for(&self, text: &str, bound: Duration) {
        let deadline = Instant::now() + bound;
        while !self.screen().contains(text) {
            assert!(
                Instant::now() < deadline,
                "not within {bound:?}: {text:?}; the terminal shows\n{}",
                self.screen()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it is as a shell expects it: what is typed is shown, and read line by line.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.keys).expect("the terminal is there").local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// Makes the terminal another size.
    ///
    /// # Panics
    /// When it is gone.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keys, size).expect("the terminal is there");
    }
}
