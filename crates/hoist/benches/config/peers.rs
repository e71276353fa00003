//! The other tools: docker-compose as the distribution has it, podman-compose from PyPI where it isn't installed.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) program: PathBuf,
}

/// Those that can be had; the others are skipped by name.
pub(crate) fn find() -> Vec<Peer> {
    let docker = on_path("docker-compose").ok_or("it is not installed (Debian: docker-compose)".to_owned());
    let podman = on_path("podman-compose").map_or_else(install_podman_compose, Ok);
    let found = [("docker-compose", docker), ("podman-compose", podman)];
    let peer = |(name, program): (&'static str, Result<PathBuf, String>)| match program
        .and_then(|program| Ok((version(&program)?, program)))
    {
        Ok((version, program)) => Some(Peer { name, version, program }),
        Err(why) => {
            println!("{name}: skipped, because {why}");
            None
        }
    };
    found.into_iter().filter_map(peer).collect()
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Into a virtual environment below the build's own folder, once.
fn install_podman_compose() -> Result<PathBuf, String> {
    on_path("podman").ok_or("podman is not installed")?;
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("podman-compose");
    let program = place.join("bin/podman-compose");
    if !program.is_file() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
        done(Command::new(place.join("bin/pip")).args(["--quiet", "install", "podman-compose"]))?;
    }
    Ok(program)
}

fn version(program: &Path) -> Result<String, String> {
    let said = done(Command::new(program).arg("version"))?;
    let number = said.split_whitespace().map(|word| word.trim_end_matches(','));
    let number = number.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    Ok(number.unwrap_or("of unknown version").to_owned())
}

/// What a command prints, when it succeeds.
fn done(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim_end())),
    }
}
