//! docker-compose with a Docker daemon of its own, in the bench's namespaces and folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::contain;
use super::place::Place;

const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Docker<'a> {
    place: &'a Place,
    daemon: Child,
    host: String,
}

impl<'a> Docker<'a> {
    /// Starts a daemon and gives it the image.
    pub(super) fn start(place: &'a Place) -> Result<Self, String> {
        for program in ["dockerd", "docker", "docker-compose"] {
            let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
            if !found.is_ok_and(|output| output.status.success()) {
                return Err(format!("{program} is not installed (Debian: docker.io, docker-compose)"));
            }
        }
        let dir = place.dir.join("docker");
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
        let mut docker = Self { place, daemon, host };
        docker.wait()?;
        docker.import()?;
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

    fn import(&self) -> Result<(), String> {
        let tar = self.place.dir.join("rootfs.tar");
        let made =
            Command::new("tar").arg("-C").arg(self.place.rootfs()).arg("-cf").arg(&tar).arg(".").status();
        let imported = self.docker(&["import"]).arg(&tar).arg("hoist-bench:1").output();
        match (made, imported) {
            (Ok(made), Ok(imported)) if made.success() && imported.status.success() => Ok(()),
            _ => Err("docker import failed".to_owned()),
        }
    }

    fn docker(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["-H", &self.host]).args(words);
        command
    }

    /// More services than docker-compose 1.29 has workers (64) may wait for each other for ever, hence their number.
    pub(super) fn compose(&self, file: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["300", "docker-compose"])
            .env("DOCKER_HOST", &self.host)
            .env("COMPOSE_HTTP_TIMEOUT", "300")
            .env("COMPOSE_PARALLEL_LIMIT", "256")
            .arg("-f")
            .arg(file)
            .args(words);
        command
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.daemon.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.daemon.wait();
    }
}
