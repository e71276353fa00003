//! One instance in the keeper: its process, its ends, and draining them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hoist_runtime::launch::Launching;

use super::peers::Caller;
use super::poll::{Poller, Token};
use crate::clock::Ticker;
use crate::protocol::{ExitRecord, LogSpec, Phase, Status};
use crate::segments::{Stream, Writer};
use crate::state::Record;
use crate::stdio::Kept;
use crate::stdio::pump::{LogState, Plumbing, Pump, Turn};
use crate::stdio::terminal::Terminal;

/// How many turns are taken at most before an exit is announced: 64 MiB a stream. A process outside the
/// container's PID namespace may write for ever.
const LAST_TURNS: usize = 64;

/// Where an instance is, with what it takes to be there.
#[derive(Debug)]
pub(crate) enum Stage {
    Launching {
        launching: Box<Launching>,
        caller: Caller,
        warnings: Vec<String>,
    },
    /// `ended_ns` is when it was seen to have ended, while how is still to be learnt.
    Running {
        pidfd: OwnedFd,
        ended_ns: Option<u64>,
    },
    Lost,
    Exited(ExitRecord),
}

/// An instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) record: Record,
    pub(crate) stage: Stage,
    /// In the order of [`Stream::ALL`]; a terminal has one.
    pub(crate) outputs: Vec<Pump>,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) terminal: Option<Terminal>,
    ticker: Ticker,
    /// Which outputs are not watched for now.
    paused: [bool; Stream::ALL.len()],
}

impl Instance {
    pub(crate) fn new(record: Record, stage: Stage) -> Instance {
        Instance {
            record,
            stage,
            outputs: Vec::new(),
            stdin: None,
            terminal: None,
            ticker: Ticker::default(),
            paused: Default::default(),
        }
    }

    /// Takes over the keeper's ends, and drains the outputs from now on.
    pub(crate) fn connect(&mut self, kept: Kept, writers: Vec<Option<Writer>>) {
        let newest = writers.iter().flatten().map(Writer::newest_ns).max().unwrap_or(0);
        self.ticker = Ticker::after(newest);
        self.outputs =
            kept.outputs.into_iter().zip(writers).map(|(pipe, writer)| Pump::new(pipe, writer)).collect();
        self.stdin = kept.stdin;
        self.terminal = kept.terminal;
    }

    /// A new process is about to write: its output is told from what the one before left in the log.
    pub(crate) fn begin_run(&mut self) {
        for pump in &mut self.outputs {
            pump.begin_run(self.record.attempt, &mut self.ticker);
        }
    }

    /// The process has been running: only a stream that it has not written to yet is to be told which run it is.
    pub(crate) fn go_on_with_run(&mut self) {
        for pump in &mut self.outputs {
            pump.go_on_with_run(self.record.attempt);
        }
    }

    pub(crate) fn watch(&self, id: u32, poller: &Poller) -> io::Result<()> {
        for (place, pump) in self.outputs.iter().enumerate() {
            poller.watch(pump.pipe(), output_token(id, place))?;
        }
        match &self.terminal {
            Some(terminal) => poller.watch(terminal.master(), Token::Terminal(id)),
            None => Ok(()),
        }
    }

    pub(crate) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        match &self.stage {
            Stage::Launching { launching, .. } => Some(launching.pidfd()),
            Stage::Running { pidfd, .. } => Some(pidfd.as_fd()),
            Stage::Lost | Stage::Exited(_) => None,
        }
    }

    /// What the agent is to hold as well, in the order that [`crate::protocol::Event::Spawned`] says.
    pub(crate) fn shared_ends(&self) -> Vec<BorrowedFd<'_>> {
        let outputs = self.outputs.iter().map(Pump::pipe);
        let terminal = self.terminal.iter().map(Terminal::master);
        outputs.chain(terminal).chain(self.stdin.iter().map(AsFd::as_fd)).collect()
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Launching { .. } | Stage::Running { .. })
    }

    pub(crate) fn status(&self) -> Status {
        let phase = match &self.stage {
            Stage::Launching { .. } => Phase::Launching,
            Stage::Running { .. } => Phase::Running,
            Stage::Lost => Phase::Lost,
            Stage::Exited(exit) => Phase::Exited(exit.clone()),
        };
        Status {
            key: self.record.key.clone(),
            attempt: self.record.attempt,
            identity: Some(self.record.identity.clone()),
            phase,
        }
    }

    /// An output has something to read, or may be tried again.
    pub(crate) fn drain(
        &mut self,
        id: u32,
        place: usize,
        poller: &mut Poller,
        plumbing: &mut Plumbing,
    ) -> Option<(Stream, LogState)> {
        let pump = self.outputs.get_mut(place)?;
        let turn = pump.turn(&mut self.ticker, plumbing);
        pause(turn, pump.pipe(), output_token(id, place), poller, &mut self.paused[place]);
        pump.take_news().map(|news| (Stream::ALL[place], news))
    }

    /// The terminal has something to read, or may be tried again.
    pub(crate) fn relay(
        &mut self,
        id: u32,
        poller: &mut Poller,
        plumbing: &mut Plumbing,
    ) -> Option<(Stream, LogState)> {
        let (terminal, pump) = (self.terminal.as_ref()?, self.outputs.first_mut()?);
        let turn = pump.relay_turn(terminal, &mut self.ticker, plumbing);
        // The place of stderr, which a terminal doesn't have.
        pause(turn, terminal.master(), Token::Terminal(id), poller, &mut self.paused[1]);
        pump.take_news().map(|news| (Stream::Stdout, news))
    }

    /// The process has ended: takes what is left in the pipes, as far as the disk lets it.
    pub(crate) fn drain_last(&mut self, poller: &Poller, plumbing: &mut Plumbing) {
        if let (Some(terminal), Some(pump)) = (&self.terminal, self.outputs.first_mut()) {
            // A hung-up terminal is always ready, so it is no longer waited for.
            poller.unwatch(terminal.master());
            for _ in 0..LAST_TURNS {
                if pump.relay_turn(terminal, &mut self.ticker, plumbing) != Turn::More {
                    break;
                }
            }
        }
        for place in 0..self.outputs.len() {
            for _ in 0..LAST_TURNS {
                if self.outputs[place].turn(&mut self.ticker, plumbing) != Turn::More {
                    break;
                }
            }
        }
        self.stdin = None;
    }
}

/// Stops watching what must not be read before some time, and watches it again afterwards.
fn pause(turn: Turn, fd: BorrowedFd<'_>, token: Token, poller: &mut Poller, paused: &mut bool) {
    match (turn, *paused) {
        (Turn::NotBefore(at), _) => {
            poller.unwatch(fd);
            poller.wake_at(at, token);
            *paused = true;
        }
        (_, true) => *paused = poller.watch(fd, token).is_err(),
        (_, false) => {}
    }
}

fn output_token(id: u32, place: usize) -> Token {
    Token::Output(id, u8::try_from(place).unwrap_or(u8::MAX))
}

/// Opens the segments of all streams of an instance, where they end.
pub(crate) fn open_writers(streams: &[Stream], log: Option<&LogSpec>) -> io::Result<Vec<Option<Writer>>> {
    let open = |stream: &Stream| log.map(|log| Writer::open(&log.dir, *stream, log.limits)).transpose();
    streams.iter().map(open).collect()
}
