//! A process of its own that does nothing but hold containers' output pipes open: what waits in a FIFO is gone with
//! the last descriptor of it (fifo(7)), and container, keeper and agent may be killed within an instant of each other.
//!
//! It outlives the keeper that started it, and the next one finds it by the name of its socket. It ends by itself when
//! it holds nothing and no keeper is connected. Owns that process, and the words that a keeper says to it; who starts
//! it and tells it what to hold is in `server::holder`.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use rustix::thread::set_name;
use serde::{Deserialize, Serialize};

use crate::protocol::Key;
use crate::protocol::frame::{self, Frame};

/// What a keeper says. Nothing is answered.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Word {
    /// Hold the descriptors that come along, in place of any earlier ones of that key.
    Hold { key: Key },
    /// Close those of that key.
    LetGo { key: Key },
    /// Close those of all other keys.
    Only { keys: Vec<Key> },
}

/// Turns this process into a holder, with the listening socket that is its standard input. Returns when nothing is
/// left to hold.
///
/// # Errors
///
/// When standard input is no such socket.
pub fn hold() -> io::Result<()> {
    let _ = set_name(c"hoist-holder");
    let listener = io::stdin().as_fd().try_clone_to_owned()?;
    let mut held = BTreeMap::new();
    // Whoever starts this process has connected before, or was killed after it had.
    let mut keeper = Some(next_keeper(&listener)?);
    while keeper.is_some() || !held.is_empty() {
        let (called, spoken) = wait(&listener, keeper.as_ref())?;
        if spoken && !keeper.as_ref().is_some_and(|keeper| listen(keeper.as_fd(), &mut held)) {
            keeper = None;
        }
        if called {
            // The keeper before it has gone; what it said last still counts, and comes first.
            while keeper.as_ref().is_some_and(|former| listen(former.as_fd(), &mut held)) {}
            keeper = Some(next_keeper(&listener)?);
        }
    }
    Ok(())
}

type Held = BTreeMap<Key, Vec<OwnedFd>>;

fn next_keeper(listener: &OwnedFd) -> io::Result<OwnedFd> {
    loop {
        match accept_with(listener, SocketFlags::CLOEXEC) {
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(Errno::AGAIN) => drop(wait(listener, None)?),
            accepted => return Ok(accepted?),
        }
    }
}

/// Waits; says whether a keeper connects, and whether the one that is connected has said something or gone.
fn wait(listener: &OwnedFd, keeper: Option<&OwnedFd>) -> io::Result<(bool, bool)> {
    let mut fds: Vec<PollFd<'_>> =
        [Some(listener), keeper].into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let is_ready = |place: usize| fds.get(place).is_some_and(|fd| !fd.revents().is_empty());
    Ok((is_ready(0), is_ready(1)))
}

/// Does what a keeper says next. False once it has gone.
fn listen(keeper: BorrowedFd<'_>, held: &mut Held) -> bool {
    let Ok(Some(Frame { bytes, fds })) = frame::receive(keeper) else { return false };
    match serde_json::from_slice(&bytes) {
        Ok(Word::Hold { key }) => drop(held.insert(key, fds)),
        Ok(Word::LetGo { key }) => drop(held.remove(&key)),
        Ok(Word::Only { keys }) => held.retain(|key, _| keys.contains(key)),
        // A newer keeper may say more than we know.
        Err(_) => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketType, socketpair};

    use super::*;
    use crate::protocol::frame::Packet;

    #[test]
    fn it_holds_what_it_was_told_to_and_no_more() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let key = |name: &str| Key::new(name).unwrap();
        let mut held = Held::new();
        let mut say = |word: Word, fds: Vec<OwnedFd>| {
            Packet::new(&word, fds).unwrap().send(ours.as_fd()).unwrap();
            assert!(listen(theirs.as_fd(), &mut held));
            held.iter().map(|(key, fds)| format!("{key} {}", fds.len())).collect::<Vec<_>>()
        };
        let fds = |count: usize| (0..count).map(|_| tempfile::tempfile().unwrap().into()).collect();
        assert_eq!(say(Word::Hold { key: key("a") }, fds(2)), ["a 2"]);
        assert_eq!(say(Word::Hold { key: key("b") }, fds(1)), ["a 2", "b 1"]);
        assert_eq!(say(Word::Hold { key: key("a") }, fds(1)), ["a 1", "b 1"]);
        assert_eq!(say(Word::Hold { key: key("c") }, fds(1)), ["a 1", "b 1", "c 1"]);
        assert_eq!(say(Word::LetGo { key: key("b") }, Vec::new()), ["a 1", "c 1"]);
        assert_eq!(say(Word::Only { keys: vec![key("c"), key("d")] }, Vec::new()), ["c 1"]);
        drop(ours);
        assert!(!listen(theirs.as_fd(), &mut held));
    }
}
