//! Programs run inside a throwaway host: what they printed, how they ended, and never longer than a bound.

use std::fmt;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::namespaces::Namespaces;
use crate::terminal::Terminal;
use crate::wait::wait_for;

/// How a program ended and what it printed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line.
    pub command: String,
    /// The exit code; 128 + n for a signal, as a shell says it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Outcome {
    /// The same, which must have succeeded.
    ///
    /// # Panics
    /// When it has not.
    #[track_caller]
    #[must_use]
    pub fn success(self) -> Self {
        self.ended_with(0)
    }

    /// The same, which must have ended with this exit code.
    ///
    /// # Panics
    /// When it has not.
    #[track_caller]
    #[must_use]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Asserts success where nothing else is asked of the outcome.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn ok(self) {
        assert_eq!(self.code, 0, "{self}");
    }

    /// Standard output without the last line end.
    #[must_use]
    pub fn text(&self) -> &str {
        self.stdout.trim_end()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { command, code, took, .. } = self;
        let (stdout, stderr) = (end_of(&self.stdout), end_of(&self.stderr));
        write!(f, "`{command}` ended with {code} after {took:?}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// The last lines of a text: what a person wants to see of much.
fn end_of(text: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let left_out = lines.len().saturating_sub(LINES);
    let note = if left_out > 0 { format!("({left_out} lines before)\n") } else { String::new() };
    note + &lines[left_out..].concat()
}

/// A program that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    command: String,
    began: Instant,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    /// Starts `command` in `namespaces`, with nothing on its standard input unless the command says otherwise.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start(namespaces: &Namespaces, mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(namespaces, command)
    }

    /// Starts `command` with its standard streams on a terminal.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn on_terminal(namespaces: &Namespaces, mut command: Command) -> (Self, Terminal) {
        let terminal = Terminal::of(&mut command);
        (Self::spawn(namespaces, command), terminal)
    }

    fn spawn(namespaces: &Namespaces, mut command: Command) -> Self {
        let shown = shown(&command);
        // SAFETY: the two system calls are async-signal-safe and touch no memory.
        unsafe { command.pre_exec(own_session) };
        let (child, began) = namespaces.run(move || {
            let began = Instant::now();
            (command.spawn(), began)
        });
        let mut child = child.unwrap_or_else(|error| panic!("can't start `{shown}`: {error}"));
        let stdout = Stream::of(child.stdout.take());
        let stderr = Stream::of(child.stderr.take());
        Self { child, command: shown, began, stdout, stderr }
    }

    /// Its process id, as this test sees it.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has printed so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has printed so far to standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Its standard input, if it was given one.
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits until it has printed `text`.
    ///
    /// # Panics
    /// When it hasn't within `bound`.
    #[track_caller]
    pub fn wait_for_output(&self, text: &str, bound: Duration) {
        let deadline = Instant::now() + bound;
        if !self.stdout.wait(deadline, |bytes| String::from_utf8_lossy(bytes).contains(text)) {
            let (stdout, stderr) = (end_of(&self.stdout()), end_of(&self.stderr()));
            panic!(
                "`{}` hasn't printed {text:?} within {bound:?}, or has ended:\n{stdout}{stderr}",
                self.command
            );
        }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap_or_else(|error| panic!("`{}`: {error}", self.command));
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// When the kernel doesn't say.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it hasn't ended within `bound`, or somebody else keeps its output open.
    #[track_caller]
    #[must_use]
    pub fn finish(mut self, bound: Duration) -> Outcome {
        let deadline = self.began + bound.max(self.began.elapsed() + bound);
        let ended = loop {
            match self.child.try_wait().expect("a child of ours") {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => break None,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let took = self.began.elapsed();
        let Some(status) = ended else {
            self.kill();
            panic!("not ended within {bound:?}: {}", self.outcome(None, took));
        };
        let closed = self.stdout.close(Duration::from_secs(5)) && self.stderr.close(Duration::from_secs(5));
        let outcome = self.outcome(Some(status), took);
        assert!(closed, "a process that it left behind holds its output open: {outcome}");
        outcome
    }

    fn outcome(&self, status: Option<ExitStatus>, took: Duration) -> Outcome {
        let code = status.map_or(-1, |status| status.code().unwrap_or(128 + status.signal().unwrap_or(0)));
        Outcome { command: self.command.clone(), code, stdout: self.stdout(), stderr: self.stderr(), took }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A session of its own, as on a host: this test's is outside the host's process namespace and would read as 0. A terminal
/// on standard input becomes the session's, so that it gets the terminal's signals.
fn own_session() -> std::io::Result<()> {
    rustix::process::setsid()?;
    let _ = rustix::process::ioctl_tiocsctty(rustix::stdio::stdin());
    Ok(())
}

/// The command line as a person would type it, program by its last name.
fn shown(command: &Command) -> String {
    let name = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args()).map(|word| word.to_string_lossy());
    words.collect::<Vec<_>>().join(" ")
}

/// An output stream, read as it comes so that the program never waits for the test.
#[derive(Debug)]
struct Stream {
    read: Arc<(Mutex<Received>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    ended: bool,
}

impl Stream {
    fn of(source: Option<impl Read + Send + 'static>) -> Self {
        let none = Received { ended: source.is_none(), ..Received::default() };
        let read = Arc::new((Mutex::new(none), Condvar::new()));
        let reader = source.map(|mut source| {
            let read = Arc::clone(&read);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 64 << 10];
                loop {
                    let count = source.read(&mut buffer).unwrap_or(0);
                    let mut so_far = lock(&read.0);
                    so_far.bytes.extend_from_slice(&buffer[..count]);
                    so_far.ended = count == 0;
                    read.1.notify_all();
                    if count == 0 {
                        return;
                    }
                }
            })
        });
        Self { read, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.read.0).bytes).into_owned()
    }

    /// Waits until `enough`, or the end of the stream, or `deadline`; whether it was enough.
    fn wait(&self, deadline: Instant, enough: impl Fn(&[u8]) -> bool) -> bool {
        let mut read = lock(&self.read.0);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if enough(&read.bytes) {
                return true;
            }
            if read.ended || left.is_zero() {
                return false;
            }
            read = self
                .read
                .1
                .wait_timeout(read, left)
                .map_or_else(|poison| poison.into_inner().0, |(read, _)| read);
        }
    }

    /// Reads what is left; false when nobody closed the stream in time.
    fn close(&mut self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        let ended = || lock(&self.read.0).ended;
        while !ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        let closed = ended();
        if let (true, Some(reader)) = (closed, self.reader.take()) {
            let _ = reader.join();
        }
        closed
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits until `probe`, a command run over and over, says yes.
///
/// # Panics
/// When it doesn't within `bound`; the message shows the last outcome.
#[track_caller]
pub fn wait_for_outcome(
    what: &str,
    bound: Duration,
    mut probe: impl FnMut() -> Outcome,
    satisfied: impl Fn(&Outcome) -> bool,
) -> Outcome {
    let mut last = None;
    let deadline = Instant::now() + bound;
    wait_for(what, bound * 2, || {
        let outcome = probe();
        let done = satisfied(&outcome);
        assert!(done || Instant::now() < deadline, "not within {bound:?}: {what}; last: {outcome}");
        last = Some(outcome);
        done.then_some(())
    });
    last.expect("it was asked at least once")
}
