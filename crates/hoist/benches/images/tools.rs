//! Who builds: each with a store of its own.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::contain;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// Runs in each round: of what takes little time, more.
    pub(crate) runs: usize,
    words: Vec<String>,
    _daemon: Option<Daemon>,
}

/// Ends with the tool.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Tool {
    pub(crate) fn build(&self) -> Result<(), String> {
        let (program, words) = self.words.split_first().ok_or("there is nothing to run")?;
        let output = Command::new(program).args(words).env("DOCKER_BUILDKIT", "0").output();
        let output = output.map_err(|error| format!("{program}: {error}"))?;
        let said = || format!("{}: {}", self.name, String::from_utf8_lossy(&output.stderr).trim());
        if output.status.success() { Ok(()) } else { Err(said()) }
    }
}

/// Hoist first, then the others.
pub(crate) fn all(folder: &Path, context: &Path) -> Vec<Result<Tool, String>> {
    vec![hoist(folder, context), docker(folder, context), buildah(folder, context), podman(folder, context)]
}

fn hoist(folder: &Path, context: &Path) -> Result<Tool, String> {
    let root = folder.join("hoist").display().to_string();
    let program = env!("CARGO_BIN_EXE_hoist");
    let file = context.join("stack.yaml").display().to_string();
    let daemon = start(Command::new(program).args(["--root", &root, "agent"]), folder, "agent")?;
    wait(&format!("{program} --root {root} agent status"))?;
    let words = [program, "--root", &root, "--progress", "plain", "-f", &file, "build"];
    Ok(Tool { name: "hoist build", runs: 5, words: owned(&words), _daemon: Some(daemon) })
}

fn docker(folder: &Path, context: &Path) -> Result<Tool, String> {
    needed(&["dockerd", "docker"])?;
    let at = folder.join("docker").display().to_string();
    fs::create_dir_all(&at).map_err(|error| error.to_string())?;
    let (host, group) = (format!("unix://{at}/socket"), format!("/{}", contain::group()));
    let mut command = Command::new("dockerd");
    command.args(["-H", &host, "--data-root", &format!("{at}/data"), "--exec-root", &format!("{at}/exec")]);
    command.args(["--pidfile", &format!("{at}/pid"), "--cgroup-parent", &group, "--bridge", "none"]);
    let daemon = start(command.args(["--iptables=false", "--ip6tables=false"]), folder, "dockerd")?;
    wait(&format!("docker -H {host} info"))?;
    let context = context.display().to_string();
    let words = ["docker", "-H", &host, "build", "-t", "again", &context];
    Ok(Tool { name: "docker build", runs: 1, words: owned(&words), _daemon: Some(daemon) })
}

fn buildah(folder: &Path, context: &Path) -> Result<Tool, String> {
    needed(&["buildah"])?;
    let (at, context) = (folder.join("buildah").display().to_string(), context.display().to_string());
    let (root, run) = (format!("{at}/root"), format!("{at}/run"));
    let words = ["buildah", "--root", &root, "--runroot", &run, "--storage-driver", "overlay", "build"];
    let more = [
        "--layers",
        "--format",
        "docker",
        "--isolation",
        "chroot",
        "--network",
        "host",
        "-t",
        "again",
        &context,
    ];
    Ok(Tool {
        name: "buildah build --layers",
        runs: 1,
        words: owned(&[&words[..], &more].concat()),
        _daemon: None,
    })
}

fn podman(folder: &Path, context: &Path) -> Result<Tool, String> {
    needed(&["podman"])?;
    let (at, context) = (folder.join("podman").display().to_string(), context.display().to_string());
    let (root, run, tmp) = (format!("{at}/root"), format!("{at}/run"), format!("{at}/tmp"));
    let words =
        ["podman", "--root", &root, "--runroot", &run, "--tmpdir", &tmp, "--storage-driver", "overlay"];
    let more = ["--events-backend", "none", "--cgroup-manager", "cgroupfs", "build", "--isolation", "chroot"];
    let last = ["--format", "docker", "--network", "host", "-t", "again", &context];
    Ok(Tool {
        name: "podman build",
        runs: 1,
        words: owned(&[&words[..], &more, &last].concat()),
        _daemon: None,
    })
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn needed(programs: &[&str]) -> Result<(), String> {
    let missing = |program: &&&str| shell(&format!("command -v {program}")).is_err();
    match programs.iter().find(missing) {
        Some(program) => Err(format!("{program} is not installed")),
        None => Ok(()),
    }
}

fn start(command: &mut Command, folder: &Path, name: &str) -> Result<Daemon, String> {
    let log = fs::File::create(folder.join(format!("{name}.log"))).map_err(|error| error.to_string())?;
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
    started.map(Daemon).map_err(|error| format!("{name}: {error}"))
}

fn wait(question: &str) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while shell(question).is_err() {
        if Instant::now() > deadline {
            return Err(format!("`{question}` is not answered"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn shell(script: &str) -> Result<(), String> {
    let output = Command::new("sh").args(["-c", script]).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(script.to_owned()) }
}
