//! A Docker daemon of the bench's own, in its namespaces and folder.
//! Several benches have this file.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::contain;

const PATIENCE: Duration = Duration::from_secs(60);

/// The name of the image that the daemon is given.
pub(super) const IMAGE: &str = "hoist-bench:1";

pub(super) struct Docker {
    daemon: Child,
    /// Where it listens, as `DOCKER_HOST` has it.
    pub(super) host: String,
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
        let mut docker = Self { daemon, host };
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
}

pub(super) fn is_there(program: &str) -> bool {
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
