//! docker compose, the old one and the new one, with a Docker daemon of its own, in the bench's namespaces and folder.
//! Several benches have this file.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::contain;

const PATIENCE: Duration = Duration::from_secs(60);

/// The program that says so is the newer docker compose; `cargo xtask bench` fetches it.
const COMPOSE2: &str = "HOIST_BENCH_COMPOSE2";

/// The name of the image that the daemon is given.
pub(super) const IMAGE: &str = "hoist-bench:1";

/// Which docker compose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 1.29, in Python.
    One,
    /// 2.31, in Go.
    Two,
}

pub(super) struct Docker {
    daemon: Child,
    host: String,
    /// The programs that are there.
    composes: Vec<(Version, PathBuf)>,
}

impl Docker {
    /// Starts a daemon in a folder and gives it an image of the root file system.
    pub(super) fn start(folder: &Path, rootfs: &Path) -> Result<Self, String> {
        if let Some(program) = ["dockerd", "docker"].into_iter().find(|program| !is_there(program)) {
            return Err(format!("{program} is not installed (Debian: docker.io)"));
        }
        let dir = folder.join("docker");
        std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let host = format!("unix://{}/docker.sock", dir.display());
        let log = std::fs::File::create(dir.join("log")).map_err(|error| error.to_string())?;
        let daemon = Command::new("dockerd")
            .arg("-H")
            .arg(&host)
            .arg("--data-root")
            .arg(dir.join("data"))
            .arg("--exec-root")
            .arg(dir.join("exec"))
            .arg("--pidfile")
            .arg(dir.join("pid"))
            .arg("--cgroup-parent")
            .arg(format!("/{}", contain::group()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut docker = Self { daemon, host, composes: composes() };
        docker.wait()?;
        docker.import(rootfs, &dir.join("rootfs.tar"))?;
        Ok(docker)
    }

    fn wait(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.docker(&["info"]).output().is_ok_and(|output| output.status.success()) {
                return Ok(());
            }
            if self.daemon.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err("dockerd ended at once".to_owned());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("dockerd did not answer within a minute".to_owned())
    }

    fn import(&self, rootfs: &Path, tar: &Path) -> Result<(), String> {
        let made = Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(tar).arg(".").status();
        let imported = self.docker(&["import"]).arg(tar).arg(IMAGE).output();
        match (made, imported) {
            (Ok(made), Ok(imported)) if made.success() && imported.status.success() => Ok(()),
            _ => Err("docker import failed".to_owned()),
        }
    }

    pub(super) fn docker(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["-H", &self.host]).args(words);
        command
    }

    /// What there is of docker compose.
    pub(super) fn composes(&self) -> impl Iterator<Item = (Version, &Path)> {
        self.composes.iter().map(|(version, program)| (*version, program.as_path()))
    }

    /// More services than docker-compose 1.29 has workers (64) may wait for each other for ever, hence their number.
    pub(super) fn compose(&self, program: &Path, file: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .arg("300")
            .arg(program)
            .env("DOCKER_HOST", &self.host)
            .env("COMPOSE_HTTP_TIMEOUT", "300")
            .env("COMPOSE_PARALLEL_LIMIT", "256")
            .arg("-f")
            .arg(file)
            .args(words);
        command
    }
}

/// Says which one is skipped.
fn composes() -> Vec<(Version, PathBuf)> {
    let mut found = Vec::new();
    if is_there("docker-compose") {
        found.push((Version::One, PathBuf::from("docker-compose")));
    } else {
        println!("docker compose 1.29: skipped, because it is not installed (Debian: docker-compose)\n");
    }
    match std::env::var_os(COMPOSE2) {
        Some(program) => found.push((Version::Two, program.into())),
        None => println!("docker compose 2.31: skipped, because {COMPOSE2} names no program\n"),
    }
    found
}

fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|output| output.status.success())
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.daemon.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.daemon.wait();
    }
}
