//! Redeploys under load: how many requests are lost while one replica on a fixed host port is replaced again and again.
//!
//! The same stack file, nginx and clients with Hoist and its peers, one after the other, in namespaces of their own that are
//! ended with the bench. What can't run is skipped by name.

#[path = "../stacks/compose.rs"]
mod compose;
#[path = "../../../image/benches/images/contain.rs"]
mod contain;
#[path = "../stacks/docker.rs"]
mod docker;
mod load;
mod podman;
mod side;
mod site;
mod tally;

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use docker::Docker;
use load::Load;
use podman::Podman;
use side::Side;
use site::Site;
use tally::Tally;

/// How many requests Hoist must answer before the bench ends.
const REQUESTS: u64 = 1_000_000;
/// How many redeploys of a peer are measured; it fails in each of them.
const REDEPLOYS: u32 = 5;
/// Between two redeploys.
const PAUSE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says so; a test runner that tries every target doesn't.
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    if let Some(why) = missing() {
        println!("skipped, because {why}: redeploy");
        return ExitCode::SUCCESS;
    }
    match contain::folder() {
        Some(folder) => run(&Site::new(folder), number(&words)),
        None => contain::again(),
    }
}

fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root");
    }
    (!Path::new(site::NGINX).exists()).then_some("nginx is not installed (Debian: nginx-light)")
}

/// How many requests are asked for, by `--requests N`.
fn number(words: &[String]) -> u64 {
    let after = words.iter().skip_while(|word| *word != "--requests").nth(1);
    after.and_then(|number| number.parse().ok()).filter(|number| *number > 0).unwrap_or(REQUESTS)
}

fn run(site: &Site, requests: u64) -> ExitCode {
    println!(
        "| | redeploys | requests | refused | cut or unanswered | retried | longest time without an answer | \
         a redeploy, median |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let lost = measure(site, &Side::Hoist, |redeploys, asked| redeploys > 0 && asked >= requests);
    let some = |redeploys, _| redeploys >= REDEPLOYS;
    match Docker::start(&site.dir, &site.rootfs()) {
        Ok(docker) => {
            for (version, program) in compose::programs() {
                measure(site, &Side::Compose(&docker, version, &program), some);
            }
        }
        Err(why) => println!("docker compose: skipped, because {why}"),
    }
    match Podman::new(&site.dir, &site.rootfs()) {
        Ok(podman) => _ = measure(site, &Side::Podman(&podman), some),
        Err(why) => println!("podman-compose: skipped, because {why}"),
    }
    if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Redeploys under load until there is enough of it, prints the row, and says how many requests were lost.
fn measure(site: &Site, side: &Side<'_>, enough: impl Fn(u32, u64) -> bool) -> u64 {
    if let Err(why) = side.up(site, 0) {
        println!("{}: skipped, because {why}", side.name());
        return 0;
    }
    site.wait_for_version(0);
    let load = Load::start();
    let mut times = Vec::new();
    let mut redeploys = 0;
    while !enough(redeploys, load.asked()) {
        redeploys += 1;
        match side.up(site, redeploys) {
            Ok(took) => times.push(took),
            Err(why) => eprintln!("{}: redeploy {redeploys} failed: {why}", side.name()),
        }
        site.wait_for_version(redeploys);
        thread::sleep(PAUSE);
    }
    let tally = load.end();
    side.down(site);
    println!("{}", row(side, redeploys, &tally, times));
    tally.lost()
}

fn row(side: &Side<'_>, redeploys: u32, tally: &Tally, mut times: Vec<Duration>) -> String {
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    format!(
        "| {} | {redeploys} | {} | {} | {} | {} | {} ms | {} ms |",
        side.name(),
        tally.requests,
        tally.refused,
        tally.cut,
        tally.retried,
        tally.gap.as_millis(),
        median.as_millis()
    )
}
