//! Dockerfiles of the kinds people write, built here and with buildah: the same trees (names, kinds, modes, owners, times,
//! extended attributes, contents, hard links) and configurations, but for what `docs/build-differences.md` lists.
//!
//! A case is a folder of `crates/image/tests/dockerfiles`: a Dockerfile and its context. To add one, write the folder;
//! `UPDATE_EXPECT=1 cargo test -p hoist-image --test plans` writes its plan; run this test. Comments at the Dockerfile's top:
//!
//! - `# Shows: …` what it is there for.
//! - `# Build: --target T --build-arg K=V --label K=V --build-context NAME=FOLDER --secret id=I,src=FILE` how it is built.
//! - `# Prepare: …` shell commands that make what a checkout can't hold (modes, devices, archives), in the context.
//! - `# Not in buildah 1.28: …` what buildah doesn't know. `Dockerfile.buildah` beside it says the same in words that it
//!   knows; without one the case is built here alone, and told.
//!
//! Bases are `base/debian:12` and `base/busybox:1`, made from Debian packages by `bases.sh`; nothing else can be reached.
//! A difference where Hoist isn't as BuildKit is a defect here. Any other is explained in the list, which holds exactly
//! what is found: an item without a difference fails the test too.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod compare;
mod tree;

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use cases::Case;
use compare::{Difference, Listed};
use hoist_tests::{Host, LATER, Running, eventually, images};
use serde_json::Value;
use tree::{Layers, Layout};

/// Fewer would not show what this test is there for.
const AT_LEAST: usize = 60;
const PROGRAMS: [&str; 8] = ["buildah", "skopeo", "mmdebstrap", "busybox", "python3", "bzip2", "xz", "zstd"];
const NAME: &str = "io.containerd.image.name";
const REFERENCE: &str = "org.opencontainers.image.ref.name";

#[test]
fn dockerfiles_come_to_the_images_that_buildah_makes_of_them() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let bases = images::bases().display().to_string();
    // Bases that are made just now are older than what is built of them.
    let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let cases = cases::prepare(&host);
    let theirs = buildah(&host, &bases);
    let ours = ours(&host, &cases, &bases);
    theirs.finish(Duration::from_secs(300)).ok();
    let theirs = Layout::new(host.folder().join("theirs/layout"));

    let (listed, mut layers, mut unlisted, mut compared) = (Listed::read(), Layers::default(), Vec::new(), 0);
    for case in &cases {
        let ours =
            ours.image(NAME, &format!("docker.io/{}", case.image()), &mut layers).expect("it was saved");
        let config = fs::read(host.folder().join(format!("theirs/{}.json", case.name)));
        let found = match (config, &case.unknown) {
            (Ok(config), None) => {
                compared += 1;
                let config: Value = serde_json::from_slice(&config).unwrap();
                let tree = theirs.image(REFERENCE, &case.name, &mut layers).expect("it was pushed").1;
                let trees = compare::trees(&ours.1, &tree, start);
                [compare::configs(&ours.0, &config["Docker"]), trees].concat()
            }
            (Ok(_), Some(_)) => {
                vec![("built by buildah, though marked as not in it".to_owned(), String::new())]
            }
            (Err(_), Some(unknown)) => {
                println!("{}: built here alone, because buildah 1.28 doesn't know {unknown}", case.name);
                continue;
            }
            (Err(_), None) => vec![("not built by buildah".to_owned(), log(&host, case))],
        };
        let new = |(what, _): &&Difference| !listed.has(&case.name, what);
        let new = found.iter().filter(new).map(|(what, how)| format!("- `{}: {what}`\n    {how}", case.name));
        unlisted.extend(new.collect::<Vec<_>>());
    }
    println!("{} Dockerfiles, {compared} of them compared", cases.len());
    assert!(unlisted.is_empty(), "{} differences are not listed:\n{}", unlisted.len(), unlisted.join("\n"));
    assert!(listed.unseen().is_empty(), "listed, but the same:\n{}", listed.unseen().join("\n"));
    assert!(compared >= AT_LEAST, "only {compared} Dockerfiles were compared");
}

fn buildah(host: &Host, bases: &str) -> Running {
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/dockerfiles/buildah.sh"));
    script.arg(host.folder()).arg(bases).current_dir("/");
    host.start(script)
}

/// The end of what buildah said.
fn log(host: &Host, case: &Case) -> String {
    let text =
        fs::read_to_string(host.folder().join(format!("theirs/{}.log", case.name))).unwrap_or_default();
    text.lines().rev().take(3).collect::<Vec<_>>().join("\n    ")
}

/// Builds all cases, and saves the images.
fn ours(host: &Host, cases: &[Case], bases: &str) -> Layout {
    let file = host.folder().join("stack.yaml");
    fs::write(&file, cases::stack(cases, &host.folder().join("cases"))).unwrap();
    let stack = host.stack(file.to_str().unwrap());
    // One that stays: an agent that a command starts ends when there is nothing to do.
    let agent = stack.start(&["agent"]);
    eventually("the agent answers", LATER, || stack.hoist(&["agent", "status"]).code == 0);
    stack.hoist(&["load", "-i", bases]).ok();
    let failed = |case: &&Case| {
        Some((case.name.clone(), stack.hoist(&["build", &case.name]))).filter(|(_, built)| built.code != 0)
    };
    let failed: Vec<_> =
        cases.iter().filter_map(|case| failed(&case)).map(|(name, how)| format!("{name}: {how}")).collect();
    assert!(failed.is_empty(), "not built here:\n{}", failed.join("\n"));
    let (archive, folder) = (host.folder().join("ours.tar"), host.folder().join("ours"));
    let names: Vec<String> = cases.iter().map(Case::image).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let archive = archive.to_str().unwrap();
    stack.hoist(&[&["save", "-o", archive], &names[..]].concat()).ok();
    fs::create_dir(&folder).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-xf", archive, "-C"]).arg(&folder);
    host.run_for(tar, LATER).ok();
    stack.hoist(&["agent", "stop", "--force"]).ok();
    agent.finish(LATER).ok();
    Layout::new(folder)
}
