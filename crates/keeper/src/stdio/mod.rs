//! The ends of a container's standard streams.
//!
//! stdout and stderr are FIFOs in the instance's run folder. The container has them open for reading *and*
//! writing, so that a pipe always has a reader, whoever of ours is dead: no SIGPIPE, no lost byte. A full
//! pipe makes the container wait, as everywhere. Keeper and agent open the same FIFOs by name; a third process keeps
//! them open for when all of these are killed ([`crate::holder`]).
//!
//! A terminal is a pseudo terminal of which keeper and agent hold the master. What comes out of it goes
//! through the `stdout` FIFO too, by `splice(2)`: were it read into memory first, a kill would lose it.
//!
//! Owns: making and opening the ends ([`fifo`], [`terminal`]) and draining them ([`pump`]).

pub(crate) mod fifo;
pub(crate) mod pump;
pub(crate) mod terminal;

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::segments::Stream;

/// What standard streams a container gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StdioSpec {
    /// The run folder, for the FIFOs. It is made when absent, and belongs to this instance alone.
    pub dir: PathBuf,
    /// Whom the streams belong to: the process's user, as the host numbers it. A program may open
    /// `/dev/stdout` again, and may only if it owns it.
    pub uid: u32,
    /// The group they belong to, as the host numbers it.
    pub gid: u32,
    /// Pipes or a terminal.
    pub kind: StdioKind,
}

/// The two ways a container is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StdioKind {
    /// stdout and stderr apart. Without `stdin` it reads the end of file at once, from `/dev/null`.
    Pipes {
        /// Whether there is a FIFO `stdin` to write to.
        stdin: bool,
    },
    /// One stream both ways.
    Terminal(WindowSize),
}

/// The size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
}

impl StdioSpec {
    /// The streams that are drained.
    pub(crate) fn streams(&self) -> &'static [Stream] {
        match self.kind {
            StdioKind::Pipes { .. } => &Stream::ALL,
            StdioKind::Terminal(_) => &Stream::ALL[..1],
        }
    }
}

/// What the container gets.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) stdio: [OwnedFd; 3],
    /// The slave once more, when there is a terminal.
    pub(crate) terminal: Option<OwnedFd>,
}

/// What the keeper keeps, to drain and to hold open.
#[derive(Debug)]
pub(crate) struct Kept {
    /// One per stream of [`StdioSpec::streams`].
    pub(crate) outputs: Vec<OwnedFd>,
    /// The writing end of `stdin`.
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) terminal: Option<terminal::Terminal>,
}

/// Makes all ends afresh: what an earlier process of the same folder still holds is cut off from it. A terminal is one of
/// `devpts`, when the container has its own.
pub(crate) fn make(spec: &StdioSpec, devpts: Option<BorrowedFd<'_>>) -> io::Result<(Given, Kept)> {
    DirBuilder::new().recursive(true).mode(0o700).create(&spec.dir)?;
    let make = |stream: &Stream| fifo::make(&spec.dir.join(stream.name()), spec, fifo::OUTPUT_MODE);
    let outputs = spec.streams().iter().map(make).collect::<io::Result<_>>()?;
    match spec.kind {
        StdioKind::Pipes { stdin } => make_pipes(spec, stdin, outputs),
        StdioKind::Terminal(size) => make_terminal(spec, size, devpts, outputs),
    }
}

fn make_pipes(spec: &StdioSpec, with_stdin: bool, outputs: Vec<OwnedFd>) -> io::Result<(Given, Kept)> {
    let (stdin, kept_stdin) = if with_stdin {
        let path = spec.dir.join(STDIN);
        let _reader = fifo::make(&path, spec, fifo::INPUT_MODE)?;
        let (read, write) = fifo::open_input(&path)?;
        (read, Some(write))
    } else {
        (fifo::open_null()?, None)
    };
    let output = |stream: Stream| fifo::open_for_container(&spec.dir.join(stream.name()));
    let stdio = [stdin, output(Stream::Stdout)?, output(Stream::Stderr)?];
    let kept = Kept { outputs, stdin: kept_stdin, terminal: None };
    Ok((Given { stdio, terminal: None }, kept))
}

fn make_terminal(
    spec: &StdioSpec,
    size: WindowSize,
    devpts: Option<BorrowedFd<'_>>,
    outputs: Vec<OwnedFd>,
) -> io::Result<(Given, Kept)> {
    let terminal = match devpts {
        Some(devpts) => terminal::Terminal::of_devpts(devpts, size)?,
        None => terminal::Terminal::make(size)?,
    };
    let slave = terminal.slave_for(spec.uid)?;
    let stdio = [slave.try_clone()?, slave.try_clone()?, slave.try_clone()?];
    let kept = Kept { outputs, stdin: None, terminal: Some(terminal) };
    Ok((Given { stdio, terminal: Some(slave) }, kept))
}

/// Opens again what has a name: all but the terminal's master, which the agent may hand back.
pub(crate) fn reopen(spec: &StdioSpec, stdin_open: bool) -> io::Result<Kept> {
    let stdin = match spec.kind {
        StdioKind::Pipes { stdin: true } if stdin_open => open_stdin(&spec.dir)?,
        _ => None,
    };
    Ok(Kept { outputs: open_outputs(spec)?, stdin, terminal: None })
}

fn open_outputs(spec: &StdioSpec) -> io::Result<Vec<OwnedFd>> {
    spec.streams().iter().map(|stream| fifo::open_output(&spec.dir.join(stream.name()))).collect()
}

const STDIN: &str = "stdin";

/// Opens the writing end of an instance's `stdin`, without blocking; `None` when the container has closed
/// it. The container reads the end of file when keeper and agent have both closed theirs.
///
/// # Errors
///
/// When there is no such FIFO, or it can't be opened.
pub fn open_stdin(dir: &Path) -> io::Result<Option<OwnedFd>> {
    fifo::open_input_writer(&dir.join(STDIN))
}
