//! Each file of the state truncated, emptied, removed and filled with garbage while nobody of Hoist runs: what runs
//! runs on and is known, with its ports and names, and whoever asks is told where the damaged file is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hoist_tests::{Host, SOON, Stack, eventually};

const PORT: u16 = 8150;

/// Files of the state, as `docs/architecture.md` lists them. `*` is an instance's folder.
const FILES: [&str; 10] = [
    "store.redb",
    "ledger.json",
    "journal.json",
    "endpoints.json",
    "image-times.json",
    "fabric/ranges.json",
    "fabric/zone.json",
    "fabric/dns.lock",
    "keeper/instances/*/instance.json",
    "keeper/instances/*/launch.json",
];

/// Of these nobody is told: they say nothing that is not read elsewhere, and are written anew.
const UNTOLD: [&str; 5] =
    ["fabric/zone.json", "fabric/dns.lock", "image-times.json", "keeper/", "endpoints.json"];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    Half,
    Empty,
    Gone,
    Garbage,
    /// In its middle.
    Flipped,
}

impl Damage {
    const ALL: [Self; 5] = [Self::Half, Self::Empty, Self::Gone, Self::Garbage, Self::Flipped];

    fn hit(self, path: &Path) {
        let content = fs::read(path).unwrap();
        match self {
            Self::Half => fs::write(path, &content[..content.len() / 2]),
            Self::Empty => fs::write(path, ""),
            Self::Gone => fs::remove_file(path),
            Self::Flipped => {
                let mut content = content;
                let middle = content.len() / 2;
                content.iter_mut().skip(middle).take(64).for_each(|byte| *byte ^= 0xff);
                fs::write(path, content)
            }
            Self::Garbage => {
                let garbage: Vec<u8> = (0..content.len().max(1000)).map(|n| (n * 7919 % 251) as u8).collect();
                fs::write(path, garbage)
            }
        }
        .unwrap();
    }
}

fn found(root: &Path, name: &str) -> Vec<PathBuf> {
    let Some((folder, file)) = name.split_once("*/") else { return vec![root.join(name)] };
    let folders = fs::read_dir(root.join(folder)).unwrap();
    folders.map(|entry| entry.unwrap().path().join(file)).collect()
}

/// Each running instance's process: its number and when it began.
fn processes(host: &Host, stack: &Stack<'_>) -> BTreeMap<String, (i64, String)> {
    let began = |pid: i64| host.shell(&format!("cut -d' ' -f22 /proc/{pid}/stat")).stdout;
    stack.pids().into_iter().map(|(uid, pid)| (uid, (pid, began(pid)))).collect()
}

fn states(stack: &Stack<'_>) -> Vec<(String, String, String)> {
    stack.ps().into_iter().map(|row| (row.service, row.id, row.state)).collect()
}

/// What is not there, or cut off at a line's end, can't be told from what was never written.
fn is_told(name: &str, damage: Damage) -> bool {
    let untold = UNTOLD.iter().any(|untold| name.starts_with(untold));
    let shows = match damage {
        Damage::Garbage => true,
        Damage::Half => name != "journal.json",
        // It may be where the store keeps nothing.
        Damage::Flipped => name != "store.redb",
        Damage::Empty | Damage::Gone => false,
    };
    shows && !untold
}

#[test]
fn an_instance_whose_files_are_gone_starts_again_and_the_operator_is_told() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("state-damage");
    stack.up(&["always"]).ok();
    let instance = stack.instance("always");
    let folders = fs::read_dir(stack.root().join("instances")).unwrap().map(|entry| entry.unwrap().path());
    folders.for_each(|folder| fs::remove_dir_all(folder).unwrap());
    assert_eq!(stack.instance("always").state, "running", "it runs on");
    let pid = *stack.pids().values().next().unwrap();
    host.kill(pid, hoist_tests::command::Signal::KILL);
    stack.wait_for_instance("always", "runs again", |row| {
        row.id == instance.id
            && row.state == "running"
            && stack.pids().values().next().is_some_and(|now| *now != pid)
    });
    let told = stack.hoist(&["agent", "logs"]).success().stdout;
    assert!(told.contains("were removed: it starts with new ones"), "{told}");
    stack.hoist(&["exec", "-T", "always", "touch", "/tmp/x"]).ok();
    stack.down().ok();
}

#[test]
fn nothing_is_recreated_whatever_file_is_damaged() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("state-damage");
    let before = stack.listing();
    stack.up(&[]).ok();
    stack.hoist(&["stop", "stopped"]).ok();
    let _ready = host.answer_from_outside(PORT);
    let (running, shown) = (processes(&host, &stack), states(&stack));
    assert_eq!(running.len(), 2);
    for name in FILES {
        for damage in Damage::ALL {
            println!("{name} {damage:?}");
            let files: Vec<PathBuf> =
                found(stack.root(), name).into_iter().filter(|path| path.exists()).collect();
            stack.kill_daemons();
            files.iter().for_each(|path| damage.hit(path));
            // Starts an agent at once.
            host.hoist(&["image", "ls"]).ok();
            assert_eq!(states(&stack), shown, "{name} {damage:?}: `ps` knows all");
            assert_eq!(processes(&host, &stack), running, "{name} {damage:?}: they are the same processes");
            let told = stack.hoist(&["ps"]).success().stderr;
            assert!(
                !is_told(name, damage) || told.contains(&format!("{name}.damaged-")),
                "{name} {damage:?}: {told}"
            );
            let answers = || host.get_from_outside(PORT, "/").code == 0;
            eventually(&format!("{name} {damage:?}: the port answers"), SOON, answers);
            let names =
                || stack.hoist(&["exec", "-T", "always", "perl", "-e", "exit !gethostbyname(q(web))"]);
            eventually(&format!("{name} {damage:?}: names resolve"), SOON, || names().code == 0);
        }
    }
    // What a person asks for is done to what ran all the time.
    stack.up(&["web", "always"]).ok();
    assert_eq!(processes(&host, &stack), running);
    stack.down().ok();
    eventually("nothing is left", SOON, || {
        let now = stack.listing();
        ["control group", "process", "link", "mount"].iter().all(|kind| now.kind(kind) == before.kind(kind))
    });
}
