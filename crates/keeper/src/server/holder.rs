//! The keeper's side of the process that holds output pipes beside it ([`crate::holder`]): finds or starts it, tells it
//! what to hold, and starts another one when it ends.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::instance::{Instance, Stage};
use super::peers::duplicates;
use super::poll::{Poller, Token};
use super::{Keeper, listener};
use crate::address::address;
use crate::clock::boot_ns;
use crate::holder::Word;
use crate::protocol::Key;
use crate::protocol::frame::{self, Packet};
use crate::stdio::pump::Pump;

/// A holder that lived so long is replaced at once; one that dies again and again, ever more rarely.
const SOUND_NS: u64 = 10_000_000_000;
const FIRST_PAUSE_NS: u64 = 100_000_000;
const LONGEST_PAUSE_NS: u64 = 30_000_000_000;
/// One that lets so many messages wait is stuck, and is given up.
const MOST_WAITING: usize = 4096;
/// How long one that has nothing to hold any more may take to end, in seconds.
const LAST_SECONDS: i64 = 2;

/// The connection to the holder.
#[derive(Debug, Default)]
pub(super) struct Holder {
    socket: Option<OwnedFd>,
    waiting: VecDeque<Packet>,
    since_ns: u64,
    pause_ns: u64,
}

impl Holder {
    fn met(&mut self, socket: OwnedFd) {
        (self.socket, self.since_ns) = (Some(socket), boot_ns());
        self.waiting.clear();
    }

    /// It is there no more. Returns when to look for another one.
    fn lost(&mut self, now: u64) -> u64 {
        let was_sound = self.socket.take().is_some() && now.saturating_sub(self.since_ns) >= SOUND_NS;
        self.waiting.clear();
        self.pause_ns = match self.pause_ns {
            _ if was_sound => 0,
            0 => FIRST_PAUSE_NS,
            pause => (pause * 2).min(LONGEST_PAUSE_NS),
        };
        now + self.pause_ns
    }

    /// Says something, now or as soon as there is room. Nothing when there is no holder: the next one is told all.
    fn say(&mut self, word: &Word, fds: Vec<OwnedFd>, poller: &Poller) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        self.waiting.push_back(Packet::new(word, fds)?);
        if self.waiting.len() > MOST_WAITING {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if self.waiting.len() == 1 {
            poller.watch_both(socket.as_fd(), Token::Holder)?;
            self.flush(poller)?;
        }
        Ok(())
    }

    fn flush(&mut self, poller: &Poller) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        while let Some(packet) = self.waiting.front() {
            match packet.send(socket.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                sent => sent?,
            }
            self.waiting.pop_front();
        }
        poller.watch(socket.as_fd(), Token::Holder)
    }

    /// It never says anything: what can be read is its end.
    fn has_gone(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| match frame::receive(socket.as_fd()) {
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            Ok(frame) => frame.is_none(),
        })
    }
}

impl Keeper {
    /// Finds the holder that a killed keeper left, or starts one, and tells it all that there is to hold.
    pub(super) fn meet_holder(&mut self) {
        let [program, args @ ..] = &self.config.holder[..] else { return };
        let path = self.holder_path();
        let met = reach(&path).or_else(|_| start(&path, program, args));
        let told = met.and_then(|socket| {
            self.holder.met(socket);
            self.tell_holder_all()
        });
        if let Err(error) = told {
            self.lose_holder(&error);
        }
    }

    fn holder_path(&self) -> PathBuf {
        self.config.state_dir.join("holder.sock")
    }

    fn tell_holder_all(&mut self) -> io::Result<()> {
        let mut keys = Vec::new();
        for instance in self.instances.values().filter(|instance| has_more_to_say(instance)) {
            let key = instance.record.key.clone();
            // Without streams, which could not be opened again: what an earlier keeper had held stays so.
            if !instance.outputs.is_empty() {
                self.holder.say(&Word::Hold { key: key.clone() }, ends(instance)?, &self.poller)?;
            }
            keys.push(key);
        }
        self.holder.say(&Word::Only { keys }, Vec::new(), &self.poller)
    }

    /// Has an instance's outputs held. Before its process may write.
    pub(super) fn hold(&mut self, id: u32) {
        let Some(instance) = self.instances.get(&id).filter(|instance| !instance.outputs.is_empty()) else {
            return;
        };
        let key = instance.record.key.clone();
        let said = ends(instance).and_then(|fds| self.holder.say(&Word::Hold { key }, fds, &self.poller));
        if let Err(error) = said {
            self.lose_holder(&error);
        }
    }

    /// All of an instance's output is in its log.
    pub(super) fn let_go(&mut self, key: Key) {
        if let Err(error) = self.holder.say(&Word::LetGo { key }, Vec::new(), &self.poller) {
            self.lose_holder(&error);
        }
    }

    /// The holder has room for more, has ended, or is due to be started.
    pub(super) fn on_holder(&mut self) {
        if self.holder.socket.is_none() {
            return self.meet_holder();
        }
        let flushed = self.holder.flush(&self.poller);
        if let Err(error) = flushed {
            self.lose_holder(&error);
        } else if self.holder.has_gone() {
            self.lose_holder(&io::ErrorKind::ConnectionReset.into());
        }
    }

    fn lose_holder(&mut self, error: &io::Error) {
        let due = self.holder.lost(boot_ns());
        self.poller.wake_at(due, Token::Holder);
        self.note(format!("the process that holds output pipes is lost ({error}); another one is started"));
    }

    /// Ends the holder, unless something runs on, and waits for that: whoever ended the keeper removes what both stand
    /// in.
    pub(super) fn end_holder(&mut self) {
        if self.instances.values().any(has_more_to_say) {
            return;
        }
        let _ = self.holder.say(&Word::Only { keys: Vec::new() }, Vec::new(), &self.poller);
        let Some(socket) = self.holder.socket.take() else { return };
        let _ = std::fs::remove_file(self.holder_path());
        let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Write);
        let patience = Timespec { tv_sec: LAST_SECONDS, tv_nsec: 0 };
        let _ = poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&patience));
    }
}

fn has_more_to_say(instance: &Instance) -> bool {
    !matches!(instance.stage, Stage::Exited(_))
}

fn ends(instance: &Instance) -> io::Result<Vec<OwnedFd>> {
    let outputs: Vec<BorrowedFd<'_>> = instance.outputs.iter().map(Pump::pipe).collect();
    duplicates(&outputs)
}

/// Connects to the one that listens there.
fn reach(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(&socket, &address(path)?.socket)?;
    Ok(socket)
}

/// Starts one. The connection comes first: should this keeper be killed on the way, the holder finds it closed and ends.
fn start(path: &Path, program: &std::ffi::OsString, args: &[std::ffi::OsString]) -> io::Result<OwnedFd> {
    let listener = listener::open(path)?;
    let socket = reach(path)?;
    Command::new("/proc/self/exe")
        .arg0(program)
        .args(args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(listener))
        .stdout(Stdio::null())
        .spawn()?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_one_is_replaced_at_once_and_one_that_keeps_dying_ever_more_rarely() {
        let mut holder = Holder::default();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            holder.since_ns = 1;
            pauses.push((holder.lost(2) - 2) / 1_000_000);
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000]);
        holder.met(tempfile::tempfile().unwrap().into());
        holder.since_ns = 1;
        assert_eq!(holder.lost(SOUND_NS + 1), SOUND_NS + 1);
    }
}
