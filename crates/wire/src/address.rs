//! Paths of Unix sockets, of any length.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

/// What `sun_path` takes (unix(7)), with its closing zero.
const LONGEST: usize = 108;

/// A way to a socket that is short enough to bind or connect to. A long path leads through its folder, which stays
/// open for as long as this.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl SocketPath {
    /// The way to the socket at `path`.
    ///
    /// # Errors
    /// When the path is long and its folder can't be opened.
    pub fn of(path: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if path.as_os_str().len() < LONGEST {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(folder, flags, Mode::empty())?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        Ok(Self { path: short, _folder: Some(folder) })
    }

    /// The path to use.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_deep_down_is_reached() {
        let root = tempfile::tempdir().unwrap();
        for depth in [1, 40] {
            let folder = root.path().join("folder/".repeat(depth));
            std::fs::create_dir_all(&folder).unwrap();
            let socket = folder.join("agent.sock");
            let _listener = UnixListener::bind(SocketPath::of(&socket).unwrap().path()).unwrap();
            assert!(socket.exists());
            UnixStream::connect(SocketPath::of(&socket).unwrap().path()).unwrap();
        }
    }
}
