//! The socket that commands find the agent by: made, hidden from new ones, shown again.

use std::path::PathBuf;
use std::{fs, io};

use hoist_wire::SocketPath;

use crate::daemon::Ownership;

/// Binds the agent's socket, taking the place of one that a killed agent left. The lock says that nobody listens there.
///
/// # Errors
/// When it can't be bound.
pub fn bind(ownership: &Ownership) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let Entrance { path, beside } = ownership.entrance();
    // Nobody's socket, and no rename takes its place.
    if path.is_dir() {
        hoist_keeper::set_aside(&path)?;
    }
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(SocketPath::of(&beside)?.path())?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    // Renamed into place with its mode set: nobody can connect to it before.
    fs::rename(&beside, &path)?;
    Ok(listener)
}

/// The name that commands find the agent by. An agent that is about to end takes it away first: a connection made after
/// that could no longer be served, and a command without one starts another agent when this one is gone.
#[derive(Debug, Clone)]
pub struct Entrance {
    path: PathBuf,
    beside: PathBuf,
}

impl Entrance {
    /// Takes the name away. Connections stay as they are.
    ///
    /// # Errors
    /// When the state folder can't be written.
    pub fn hide(&self) -> io::Result<()> {
        fs::rename(&self.path, &self.beside)
    }

    /// Puts the name back.
    ///
    /// # Errors
    /// When the state folder can't be written.
    pub fn show(&self) -> io::Result<()> {
        fs::rename(&self.beside, &self.path)
    }
}

impl Ownership {
    /// The name of its socket.
    #[must_use]
    pub fn entrance(&self) -> Entrance {
        let path = self.layout().agent_socket();
        Entrance { beside: path.with_extension("new"), path }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::bind;
    use crate::daemon::Ownership;

    #[test]
    fn hidden_nobody_comes_in_and_who_is_in_stays() {
        let root = tempfile::tempdir().unwrap();
        let ownership = Ownership::take(root.path()).unwrap();
        let listener = bind(&ownership).unwrap();
        let socket = ownership.layout().agent_socket();
        let mut inside = UnixStream::connect(&socket).unwrap();
        ownership.entrance().hide().unwrap();
        assert_eq!(UnixStream::connect(&socket).unwrap_err().kind(), ErrorKind::NotFound);
        inside.write_all(b"question").unwrap();
        drop(inside);
        let mut heard = String::new();
        listener.accept().unwrap().0.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "question");
        ownership.entrance().show().unwrap();
        UnixStream::connect(&socket).unwrap();
    }
}
