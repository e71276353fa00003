//! docker compose, the old one and the new one, beside a Docker daemon of the bench's own. Several benches have this file.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::docker::{Docker, is_there};

/// The program that says so is the newer docker compose; `cargo xtask bench` fetches it.
const COMPOSE2: &str = "HOIST_BENCH_COMPOSE2";

/// Which docker compose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 1.29, in Python.
    One,
    /// 2.31, in Go.
    Two,
}

/// The programs that are there; says which one is skipped.
pub(super) fn programs() -> Vec<(Version, PathBuf)> {
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

/// More services than docker-compose 1.29 has workers (64) may wait for each other for ever, hence their number.
pub(super) fn command(docker: &Docker, program: &Path, file: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg("300")
        .arg(program)
        .env("DOCKER_HOST", &docker.host)
        .env("COMPOSE_HTTP_TIMEOUT", "300")
        .env("COMPOSE_PARALLEL_LIMIT", "256")
        .arg("-f")
        .arg(file)
        .args(words);
    command
}
