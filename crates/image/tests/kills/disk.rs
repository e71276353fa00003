//! A disk without a byte left.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::Command;

use hoist_image::Store;

use crate::Scene;
use crate::support::{chain, sh};
use crate::work::{Place, ROLES, Role};

/// Bytes left free, before each operation is tried.
const LEFT: [u64; 7] = [0, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 19, 1 << 20];

#[test]
fn a_full_disk_leaves_the_store_sound_and_with_room_the_next_operation_finishes() {
    on_small_disks("child_fills_the_disk");
}

#[test]
fn what_nothing_needs_can_be_taken_out_of_a_full_disk() {
    on_small_disks("child_makes_room");
}

/// Runs one of the tests below with its store on a small disk, of each kind that can be mounted here.
fn on_small_disks(child: &str) {
    let Some(scene) = Scene::new() else { return };
    let at = scene.tmp.path().display().to_string();
    let me = std::env::current_exe().unwrap().display().to_string();
    sh(&format!("mkdir {at}/disk; truncate -s 48M {at}/ext4; mkfs.ext4 -q -N 4096 {at}/ext4"));
    let place = Place { store: format!("{at}/disk/store").into(), ..scene.place("") };
    for mount in
        [format!("mount -t tmpfs -o size=32m full {at}/disk"), format!("mount -o loop {at}/ext4 {at}/disk")]
    {
        let possible = Command::new("unshare").args(["-m", "sh", "-c", &mount]).output().unwrap();
        if !possible.status.success() {
            eprintln!("{child}: skipped, because {mount:?} is not possible here");
            continue;
        }
        let script = format!("{mount}; exec {me} --ignored --exact --nocapture disk::{child}");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-euc", &script]).env("DISK", format!("{at}/disk"));
        place.tell(&mut command);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{mount}: {}", String::from_utf8_lossy(&said));
    }
}

/// Not a test of its own: it works on the small disk.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn child_makes_room() {
    let place = Place::read();
    let filler = Path::new(&std::env::var_os("DISK").unwrap()).join("filler");
    let store = Store::open(&place.store).unwrap();
    // The room that is kept back serves more than once.
    for _ in 0..3 {
        place.perform(&store, Role::Load).unwrap();
        place.perform(&store, Role::Build).unwrap();
        fill(&filler, 0);
        assert!(place.perform(&store, Role::Build).is_err(), "the disk is full");
        store.remove(&"loaded:1".parse().unwrap(), &[]).unwrap();
        store.forget_builds(&store.builds().unwrap()).unwrap();
        let collected = store.gc(&[]).unwrap();
        assert!(collected.bytes > 100_000 && store.verify().unwrap().is_empty(), "{collected:?}");
        store.remove_id(store.list().unwrap()[0].id, true, &[]).unwrap();
        assert!(store.gc(&[]).unwrap().bytes > 100_000);
        fs::remove_file(&filler).unwrap();
    }
}

/// Not a test of its own: it works on the small disk.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn child_fills_the_disk() {
    let place = Place::read();
    let filler = Path::new(&std::env::var_os("DISK").unwrap()).join("filler");
    let store = Store::open(&place.store).unwrap();
    place.perform(&store, Role::Load).unwrap();
    let mut failures = 0;
    for left in LEFT {
        for role in ROLES {
            fill(&filler, left);
            match place.perform(&store, role) {
                Ok(()) => {}
                Err(error) => {
                    failures += 1;
                    let text = chain(&*error);
                    assert!(text.contains("No space left on device"), "{role:?}: {text}");
                }
            }
            let faults = store.verify().unwrap();
            assert!(faults.is_empty(), "{role:?} with {left} bytes: {faults:?}");
            assert!(store.resolve(&"loaded:1".parse().unwrap()).unwrap().is_some());
            // A store opens on a full disk too: what was half made is cleared.
            Store::open(&place.store).unwrap();
            forget(&place, &store, role, &filler);
        }
    }
    fs::remove_file(&filler).ok();
    assert!(failures >= LEFT.len(), "only {failures} operations met the full disk");
    for role in ROLES {
        place.perform(&store, role).unwrap();
    }
    assert!(store.verify().unwrap().is_empty());
    assert!(store.resolve(&place.reference).unwrap().is_some());
}

/// With room again, takes out what the operation made, so that the next one has something to do.
fn forget(place: &Place, store: &Store, role: Role, filler: &Path) {
    fs::remove_file(filler).unwrap();
    for name in place.names(role).iter().filter(|_| role != Role::Load) {
        if let Some(image) = store.resolve(name).unwrap() {
            store.remove_id(image.id, true, &[]).unwrap();
        }
    }
    store.forget_builds(&store.builds().unwrap()).unwrap();
    store.gc(&[]).unwrap();
}

/// Fills the disk to its last byte, then gives so many back.
fn fill(filler: &Path, left: u64) {
    let mut file = File::create(filler).unwrap();
    for size in [1 << 16, 1 << 10, 1] {
        let piece = vec![0; size];
        loop {
            match file.write(&piece) {
                Ok(n) if n > 0 => {}
                Err(error) if error.kind() != ErrorKind::StorageFull => panic!("{error}"),
                _ => break,
            }
        }
    }
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(left)).unwrap();
}
