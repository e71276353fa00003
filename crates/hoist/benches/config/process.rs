//! What a process costs: its time, and the most memory that it, or a child it waited for, held at once.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) time: Duration,
    pub(crate) peak_kib: u64,
}

/// Longer than this nobody waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a command to its end; why it failed, otherwise.
pub(crate) fn run(mut command: Command) -> Result<Cost, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let stderr = child.stderr.take();
    let (finished, ended) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut said = String::new();
        let _ = stderr.map(|mut stderr| stderr.read_to_string(&mut said));
        let _ = finished.send(());
        said
    });
    // Its end closes the stream.
    if ended.recv_timeout(PATIENCE).is_err() {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("it hadn't ended after {} s", PATIENCE.as_secs()));
    }
    let said = reader.join().unwrap_or_default();
    let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    let mut status = 0;
    // SAFETY: all zero bytes are a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of ours, and `child`, dropped after this, isn't waited for again.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    let time = began.elapsed();
    if waited != pid || status != 0 {
        return Err(said.lines().last().unwrap_or("it says nothing").to_owned());
    }
    Ok(Cost { time, peak_kib: u64::try_from(usage.ru_maxrss).unwrap_or_default() })
}
