//! Who redeploys.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::compose::{self, Version};
use super::docker::Docker;
use super::podman::Podman;
use super::site::Site;

pub(super) enum Side<'a> {
    Hoist,
    Compose(&'a Docker, Version, &'a Path),
    Podman(&'a Podman),
}

impl Side<'_> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Side::Hoist => "hoist",
            Side::Compose(_, Version::One, _) => "docker-compose 1.29",
            Side::Compose(_, Version::Two, _) => "docker compose 2.31",
            Side::Podman(_) => "podman-compose",
        }
    }

    /// Brings up what the file says, as of that redeploy.
    pub(super) fn up(&self, site: &Site, redeploy: u32) -> Result<Duration, String> {
        let mut command = self.command(site, &["up", "-d"]);
        command.env("VERSION", (redeploy % 2).to_string());
        let began = Instant::now();
        let output = command.output().map_err(|error| error.to_string())?;
        let took = began.elapsed();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let last =
            || said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned();
        if output.status.success() { Ok(took) } else { Err(last()) }
    }

    pub(super) fn down(&self, site: &Site) {
        let _ = self.command(site, &["down"]).env("VERSION", "0").output();
        if let Side::Hoist = self {
            let _ = hoist(site).args(["agent", "stop", "--force"]).output();
        }
    }

    fn command(&self, site: &Site, words: &[&str]) -> Command {
        match self {
            Side::Hoist => {
                let mut command = hoist(site);
                command.args(["--progress", "quiet", "-f"]).arg(site.file()).args(words);
                command
            }
            Side::Compose(docker, _, program) => compose::command(docker, program, &site.file(), words),
            Side::Podman(podman) => podman.compose(&site.file(), words),
        }
    }
}

fn hoist(site: &Site) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
    command.arg("--root").arg(site.dir.join("hoist"));
    command
}
