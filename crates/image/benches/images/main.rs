//! Pulling and unpacking an image of ten layers and 500 MB from a registry on this machine, beside Docker, podman, and
//! skopeo with umoci, in turns; then a second image that shares nine layers.
//!
//! All happens in namespaces and a folder of its own. What is not installed is skipped by name.

mod contain;
mod image;
mod peers;
mod registry;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use hoist_image::platform::Platform;
use hoist_image::progress::Event;
use hoist_image::registry::{Registries, RegistryConfig};
use hoist_image::{Reference, Store};

use peers::Measured;

const ROUNDS: usize = 5;
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

/// A fresh file system for all of them, mounted from a file. What a machine's own is busy with, removing for one, and how
/// it is mounted, tells nothing of who is measured.
const DISK: &str = r#"
cd "$1"; mkdir disk; truncate -s 40G disk.img
mkfs.ext4 -q -N 500000 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard disk.img
mount -o loop disk.img disk
"#;

fn disk(folder: &Path) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(folder)?;
    match image::shell(DISK, &[&folder.display().to_string()]) {
        Ok(_) => Ok(folder.join("disk")),
        Err(why) => {
            println!("on this machine's own file system, because {why}");
            Ok(folder.to_owned())
        }
    }
}

fn run(folder: &Path) -> Result<(), Failure> {
    let folder = &disk(folder)?;
    let images = image::make(folder)?;
    let _registry = registry::start(folder)?;
    let floor = image::Floor { folder };
    let mut peers = peers::ALL.map(|(name, _)| (name, Vec::new()));
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        floors.push(alone(|| floor.measure(round))?);
        ours.push(alone(|| hoist(folder, round, registry::FIRST))?.0);
        for ((name, make), (_, measured)) in peers::ALL.iter().zip(&mut peers) {
            let taken =
                make(&folder.join(format!("{name}{round}"))).and_then(|peer| alone(|| peer.measure()));
            match taken {
                Ok(one) => measured.push(one),
                Err(why) => println!("{name}: left out of a round, because {why}"),
            }
        }
    }
    table::print(&images, &floors, &ours, &peers, ROUNDS);
    let (again, moved) = alone(|| hoist(folder, 0, registry::SECOND))?;
    let (time, moved) = (again.time, moved.trim());
    println!("\nA second image that shares nine layers: {moved} blobs and bytes, in {time:.2?}.");
    println!("Its tenth layer has {} bytes, its configuration {}.", images.tenth, images.config);
    Ok(())
}

/// Measures when nothing of what came before is still being written. Nothing is removed before the end either: ext4 looks
/// twice at what was removed within the last minutes before it uses it again, and whoever comes next would pay for that.
fn alone<T>(measure: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    rustix::fs::sync();
    measure()
}

/// Our pull, into the store of a round: what it took, and what moved.
fn hoist(folder: &Path, round: usize, reference: &str) -> Result<(Measured, String), Failure> {
    let store = folder.join(format!("hoist{round}"));
    let mut command = Command::new(std::env::current_exe()?);
    peers::measured(command.arg(PULL).arg(&store).arg(reference))
}
