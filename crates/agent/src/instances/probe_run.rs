//! One run of a health check's command, or of a hook, inside an instance: what it wrote, how it ended, and the end of everything that
//! it made when it took too long. When it runs and what that means is `planner`'s.

use std::fs::File;
use std::io::ErrorKind as Io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{Exit, InstanceUid, ProbeRecord, Template};
use hoist_wire::{ApiError, ErrorKind, ExecRequest};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use crate::host::Host;
use crate::instances::exec::{self, internal};

/// How long a probe that was ended may take to be gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// What stands at the end of output that was cut off, as in Docker.
const CUT: &str = "...";

/// How a probe ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Probed {
    /// By itself, with this status and output.
    Ended(i32, String),
    /// It took too long, and was ended with all it had made.
    TooLong(String),
    /// It can't be run in this instance: says why.
    Refused(String),
    /// Nothing is known of it, and the instance is not to blame: keeper or agent were in the way.
    Unknown,
}

/// Runs a health check's command inside an instance.
pub(crate) async fn run(host: &Host, uid: InstanceUid, command: Vec<String>, timeout: Duration) -> Probed {
    let Some((template, pid)) = host.running(uid) else {
        tracing::debug!("probe: {}", exec::unavailable(uid));
        return Probed::Unknown;
    };
    let request = ExecRequest {
        instance: uid,
        command,
        environment: Default::default(),
        user: None,
        working_dir: None,
        tty: None,
        stdin: false,
        privileged: false,
        detach: false,
    };
    run_in(host, template, pid, request, timeout).await
}

/// Runs a command inside an instance of this definition, with this first process, and ends it with all it has made when
/// it takes too long.
pub(crate) async fn run_in(
    host: &Host,
    template: Arc<Template>,
    pid: i32,
    request: ExecRequest,
    timeout: Duration,
) -> Probed {
    let uid = request.instance;
    match begin(host, template, pid, request).await {
        Ok(running) => running.follow(host, timeout).await,
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid) => {
            Probed::Refused(error.message)
        }
        Err(error) => {
            tracing::debug!(instance = %uid.short(), "probe: {error}");
            Probed::Unknown
        }
    }
}

struct Running {
    uid: InstanceUid,
    name: String,
    pid: i32,
    output: pipe::Receiver,
    ended: oneshot::Receiver<Exit>,
}

async fn begin(
    host: &Host,
    template: Arc<Template>,
    pid: i32,
    request: ExecRequest,
) -> Result<Running, ApiError> {
    let uid = request.instance;
    let mut plan = exec::plan_in(host, template, pid, &request).await?;
    plan.exec.init = true;
    let name = plan.name.clone();
    let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| internal("pipe", &error))?;
    let output = pipe::Receiver::from_owned_fd(reading).map_err(|error| internal("pipe", &error))?;
    let second = writing.try_clone().map_err(|error| internal("pipe", &error))?;
    let null = File::open("/dev/null").map_err(|error| internal("/dev/null", &error))?;
    let ended = host.execs.expect(uid, name.clone());
    let started = exec::start(host, uid, plan, vec![OwnedFd::from(null), writing, second]).await?;
    Ok(Running { uid, name, pid: started.pid, output, ended })
}

impl Running {
    async fn follow(mut self, host: &Host, timeout: Duration) -> Probed {
        let mut output = Output::default();
        match tokio::time::timeout(timeout, self.wait(&mut output)).await {
            Ok(exit) => {
                // All that it wrote is in the pipe by now; what it left in the background may write on.
                output.take_what_is_there(&self.output);
                match exit {
                    Exit::Unknown => Probed::Unknown,
                    exit => Probed::Ended(exit.status(), output.text()),
                }
            }
            Err(_) => {
                self.end(host).await;
                output.take_what_is_there(&self.output);
                Probed::TooLong(output.text())
            }
        }
    }

    async fn wait(&mut self, output: &mut Output) -> Exit {
        let mut buffer = [0; ProbeRecord::OUTPUT];
        let mut open = true;
        loop {
            tokio::select! {
                exit = &mut self.ended => return exit.unwrap_or(Exit::Unknown),
                read = self.output.read(&mut buffer), if open => match read {
                    Ok(n) if n > 0 => output.add(&buffer[..n]),
                    _ => open = false,
                },
            }
        }
    }

    /// Ends it with all below it: killing the first process alone would leave the rest running, one more at each probe.
    async fn end(&mut self, host: &Host) {
        let pid = self.pid;
        let _ = tokio::task::spawn_blocking(move || crate::instances::descendants::end(pid)).await;
        // Its reaper ends by itself, once it has reaped them all.
        if tokio::time::timeout(PATIENCE, &mut self.ended).await.is_err() {
            exec::signal(host, self.uid, &self.name, 9).await;
        }
    }
}

/// The first bytes of what a probe writes.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    cut: bool,
}

impl Output {
    fn add(&mut self, bytes: &[u8]) {
        let room = ProbeRecord::OUTPUT - self.bytes.len();
        self.bytes.extend(&bytes[..bytes.len().min(room)]);
        self.cut |= bytes.len() > room;
    }

    fn take_what_is_there(&mut self, pipe: &pipe::Receiver) {
        let mut buffer = [0; ProbeRecord::OUTPUT];
        while !self.cut {
            match pipe.try_read(&mut buffer) {
                Ok(n) if n > 0 => self.add(&buffer[..n]),
                Err(error) if error.kind() == Io::Interrupted => {}
                _ => return,
            }
        }
    }

    /// As text. A character that the cut went through is left out; what is no UTF-8 is replaced.
    fn text(&self) -> String {
        let whole = match std::str::from_utf8(&self.bytes) {
            Err(error) if self.cut && error.error_len().is_none() => &self.bytes[..error.valid_up_to()],
            _ => &self.bytes,
        };
        let text = String::from_utf8_lossy(whole);
        if self.cut { format!("{text}{CUT}") } else { text.into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_bounded_and_any_bytes_are_text() {
        let mut output = Output::default();
        output.add(b"\xff\0plain");
        assert_eq!(output.text(), "\u{fffd}\0plain");
        let mut output = Output::default();
        (0..5000).for_each(|_| output.add("é".as_bytes()));
        let text = output.text();
        assert_eq!(text.len(), ProbeRecord::OUTPUT + CUT.len());
        assert!(text.ends_with("éé..."), "{text}");
        let mut odd = Output::default();
        odd.add(b"x");
        (0..5000).for_each(|_| odd.add("é".as_bytes()));
        assert!(odd.text().ends_with("é..."), "{}", odd.text());
    }
}
