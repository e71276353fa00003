//! The others: each pulls into an empty store of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::image::shell;
use crate::registry::FIRST;
use crate::{Failure, contain};

const PATIENCE: Duration = Duration::from_secs(60);

/// One pull.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) time: Duration,
    /// Most memory that one process held at once, in KiB.
    pub(crate) peak: u64,
}

/// One of the others, with an empty store.
pub(crate) struct Peer {
    folder: PathBuf,
    /// What pulls.
    pull: String,
    /// Docker's daemon does the work, and holds the memory.
    daemon: Option<Daemon>,
}

/// Gives it an empty store in a folder.
type Make = fn(&Path) -> Result<Peer, Failure>;

/// All of them, by name.
pub(crate) const ALL: [(&str, Make); 3] = [("docker", docker), ("podman", podman), ("skopeo+umoci", skopeo)];

pub(crate) fn installed(program: &str) -> bool {
    shell(&format!("command -v {program}"), &[]).is_ok()
}

fn needed(programs: &[&str], folder: &Path) -> Result<(), Failure> {
    match programs.iter().find(|program| !installed(program)) {
        Some(program) => Err(format!("{program} is not installed").into()),
        None => Ok(fs::create_dir_all(folder)?),
    }
}

fn docker(folder: &Path) -> Result<Peer, Failure> {
    needed(&["dockerd", "docker"], folder)?;
    let daemon = Daemon::start(folder)?;
    let docker = format!("docker -H unix://{}/socket", folder.display());
    Ok(Peer {
        folder: folder.to_owned(),
        pull: format!("exec {docker} pull -q {FIRST}"),
        daemon: Some(daemon),
    })
}

fn podman(folder: &Path) -> Result<Peer, Failure> {
    needed(&["podman"], folder)?;
    let policy = folder.join("policy.json");
    fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
    let podman = "podman --root $PWD/root --runroot $PWD/run --tmpdir $PWD/tmp --storage-driver overlay --events-backend none --cgroup-manager cgroupfs";
    let peer = Peer {
        folder: folder.to_owned(),
        pull: format!("exec {podman} pull -q --tls-verify=false --signature-policy $PWD/policy.json {FIRST}"),
        daemon: None,
    };
    // It makes its folders.
    peer.shell(&format!("{podman} images"))?;
    Ok(peer)
}

fn skopeo(folder: &Path) -> Result<Peer, Failure> {
    needed(&["skopeo", "umoci"], folder)?;
    Ok(Peer {
        folder: folder.to_owned(),
        pull: format!(
            "skopeo copy -q --insecure-policy --src-tls-verify=false docker://{FIRST} oci:oci:1; exec umoci unpack --image oci:1 bundle"
        ),
        daemon: None,
    })
}

impl Peer {
    fn shell(&self, script: &str) -> Result<String, Failure> {
        shell(&format!("cd \"$1\"; {script}"), &[&self.folder.display().to_string()])
    }

    pub(crate) fn measure(&self) -> Result<Measured, Failure> {
        if let Some(daemon) = &self.daemon {
            daemon.forget_peak()?;
        }
        let mut command = Command::new("bash");
        let (mut taken, _) = measured(command.args(["-euc", &self.pull]).current_dir(&self.folder))?;
        if let Some(daemon) = &self.daemon {
            taken.peak = peak(daemon.child.id()).unwrap_or(0);
        }
        Ok(taken)
    }
}

/// Runs a command to its end, watching its memory; gives what it printed.
pub(crate) fn measured(command: &mut Command) -> Result<(Measured, String), Failure> {
    let begun = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let id = child.id();
    let waiting =
        std::thread::spawn(move || child.wait_with_output().map(|output| (output, begun.elapsed())));
    let mut highest = 0;
    while !waiting.is_finished() {
        highest = highest.max(peak(id).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let (output, time) = waiting.join().map_err(|_| "waiting failed")??;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok((Measured { time, peak: highest }, String::from_utf8(output.stdout)?))
}

/// `VmHWM` of proc_pid_status(5).
fn peak(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

struct Daemon {
    child: Child,
}

impl Daemon {
    fn start(folder: &Path) -> Result<Self, Failure> {
        let log = fs::File::create(folder.join("log"))?;
        let at = folder.display();
        let mut command = Command::new("dockerd");
        for (option, value) in [
            ("-H", format!("unix://{at}/socket")),
            ("--data-root", format!("{at}/data")),
            ("--exec-root", format!("{at}/exec")),
            ("--pidfile", format!("{at}/pid")),
            ("--cgroup-parent", format!("/{}", contain::group())),
            ("--bridge", "none".to_owned()),
        ] {
            command.arg(option).arg(value);
        }
        command.args(["--iptables=false", "--ip6tables=false"]).stdout(Stdio::null()).stderr(log);
        let mut daemon = Self { child: command.spawn()? };
        let deadline = Instant::now() + PATIENCE;
        while shell(&format!("docker -H unix://{at}/socket info"), &[]).is_err() {
            if daemon.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err("dockerd does not run here".into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(daemon)
    }

    /// 5 resets the peak, see proc_pid_clear_refs(5).
    fn forget_peak(&self) -> Result<(), Failure> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // With the namespace, what it started ends too.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
