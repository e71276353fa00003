//! Pulling and unpacking an image of ten layers and 500 MB from a registry on this machine, beside Docker, podman, and
//! skopeo with umoci, in turns; then a second image that shares nine layers.
//!
//! All happens in namespaces and a folder of its own. What is not installed is skipped by name.

mod contain;
mod image;
mod peers;
mod registry;
mod table;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::Instant;

use hoist_image::platform::Platform;
use hoist_image::progress::Event;
use hoist_image::registry::{Registries, RegistryConfig};
use hoist_image::{Reference, Store};

use peers::{Measured, Peer};

const ROUNDS: usize = 3;
/// The bench starts itself with this word to pull in a process of its own, whose memory can be told apart.
const PULL: &str = "pull-here";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match &words[..] {
        [word, store, reference] if word == PULL => pull(Path::new(store), reference),
        // `cargo bench` says so; a test runner that tries every target doesn't.
        words if !words.iter().any(|word| word == "--bench") => return ExitCode::SUCCESS,
        _ => match (missing(), contain::folder()) {
            (Some(why), _) => {
                println!("skipped, because {why}: images");
                return ExitCode::SUCCESS;
            }
            (None, Some(folder)) => run(&folder),
            (None, None) => return contain::again(),
        },
    };
    if let Err(error) = &result {
        eprintln!("{error}");
    }
    ExitCode::from(u8::from(result.is_err()))
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root".to_owned());
    }
    ["docker-registry", "skopeo", "tar", "gzip", "sha256sum"]
        .into_iter()
        .find(|program| !peers::installed(program))
        .map(|program| format!("{program} is not installed"))
}

/// Pulls one image, and says how many blobs and bytes moved.
fn pull(store: &Path, reference: &str) -> Result<(), Failure> {
    let store = Store::open(store)?;
    let reference: Reference = reference.parse()?;
    let moved = Mutex::new((0u64, 0u64));
    let count = |event| {
        if let (Event::Fetching { total, .. }, Ok(mut moved)) = (event, moved.lock()) {
            *moved = (moved.0 + 1, moved.1 + total);
        }
    };
    store.pull(&Registries::new(RegistryConfig::default())?, &reference, &Platform::host(), &count)?;
    let (blobs, bytes) = moved.into_inner()?;
    println!("{blobs} {bytes}");
    Ok(())
}

fn run(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)?;
    let images = image::make(folder)?;
    let _registry = registry::start(folder)?;
    let floor = image::Floor { folder };
    let mut peers: Vec<(Peer, Vec<Measured>)> =
        peers::all(folder).into_iter().map(|peer| (peer, Vec::new())).collect();
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(floor.measure()?);
        ours.push(hoist(folder)?.0);
        for (peer, measured) in &mut peers {
            match peer.measure() {
                Ok(one) => measured.push(one),
                Err(why) => println!("{}: left out of a round, because {why}", peer.name),
            }
        }
    }
    table::print(&images, &floors, &ours, &peers, ROUNDS);
    let (time, moved) = hoist_again(folder)?;
    println!("\nA second image that shares nine layers: {moved} blobs and bytes, in {time:.2?}.");
    println!("Its tenth layer has {} bytes, its configuration {}.", images.tenth, images.config);
    Ok(())
}

/// Our pull into an empty store.
fn hoist(folder: &Path) -> Result<(Measured, String), Failure> {
    let store = folder.join("hoist");
    std::fs::remove_dir_all(&store).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut command = Command::new(std::env::current_exe()?);
    peers::measured(command.arg(PULL).arg(&store).arg(registry::FIRST))
}

fn hoist_again(folder: &Path) -> Result<(std::time::Duration, String), Failure> {
    let begun = Instant::now();
    let mut command = Command::new(std::env::current_exe()?);
    let (_, moved) = peers::measured(command.arg(PULL).arg(folder.join("hoist")).arg(registry::SECOND))?;
    Ok((begun.elapsed(), moved.trim().to_owned()))
}
