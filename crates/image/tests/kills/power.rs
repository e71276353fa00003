//! Power cuts: what a disk holds at one instant, taken from below a file system that goes on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use hoist_image::Store;

use crate::support::sh;
use crate::work::{Place, Role};
use crate::{Killer, Scene, trees};

/// Cuts of each kind: in the middle of an operation, and some time after its end.
const CUTS: usize = 5;
/// Longer than what an operation made takes to settle.
const AFTERWARDS: Duration = Duration::from_millis(1500);
/// The disk, below the file system. Nothing is written to it but what somebody syncs: no timer comes in between.
const MOUNT: &str = "mkfs.ext4 -q -N 8192 disk.img && mount -o loop,commit=300 disk.img disk";

#[test]
fn after_a_power_cut_at_any_instant_the_store_is_sound_and_the_next_operation_finishes() {
    let Some(scene) = Scene::new() else { return };
    let at = scene.tmp.path().display().to_string();
    sh(&format!("cd {at}; mkdir disk cut; truncate -s 64M disk.img"));
    let (me, mount) = (std::env::current_exe().unwrap(), format!("cd {at} && {MOUNT}"));
    let possible = Command::new("unshare").args(["-m", "sh", "-c", &mount]).output().unwrap();
    if !possible.status.success() {
        eprintln!("skipped, because disks can't be mounted from files here: power cuts");
        return;
    }
    let script =
        format!("{mount}; exec {} --ignored --exact --nocapture power::child_loses_power", me.display());
    let place = Place { store: format!("{at}/disk/store").into(), ..scene.place("") };
    let mut command = Command::new("unshare");
    place.tell(command.args(["-m", "sh", "-euc", &script]).env("AT", &at));
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// Not a test of its own: it works on the disk.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn child_loses_power() {
    let (at, place) = (std::env::var("AT").unwrap(), Place::read());
    let layers = reference(&at, &place);
    let mut killer = Killer::new(place, &layers, 7);
    let mut lost = 0;
    for role in [Role::Pull, Role::Load, Role::Build] {
        killer.measure(role);
        for _ in 0..CUTS {
            killer.prepare(role);
            killer.kill(role);
            cut(&at, &killer, role);
            killer.prepare(role);
            killer.place.perform(&Store::open(&killer.place.store).unwrap(), role).unwrap();
            sleep(AFTERWARDS.mul_f64(killer.random()));
            lost += usize::from(!cut(&at, &killer, role));
        }
    }
    assert!(lost > 0, "no cut came before what was made had settled: nothing was tried");
}

fn reference(at: &str, place: &Place) -> BTreeMap<String, String> {
    let place = Place { store: format!("{at}/reference").into(), ..place.clone() };
    let store = Store::open(&place.store).unwrap();
    for role in [Role::Pull, Role::Load, Role::Build] {
        place.perform(&store, role).unwrap();
    }
    trees(&place.store)
}

/// Looks at what the disk holds now, as the next boot would find it; says whether the role's image is there.
fn cut(at: &str, killer: &Killer<'_>, role: Role) -> bool {
    sh(&format!("cd {at}; cp disk.img cut.img; mount -o loop cut.img cut"));
    let place = Place { store: format!("{at}/cut/store").into(), ..killer.place.clone() };
    another_boot(&place.store);
    let survivor = Killer { place, ..killer.clone() };
    survivor.check(role);
    let store = Store::open(&survivor.place.store).unwrap();
    let there = survivor.place.names(role).iter().all(|name| store.resolve(name).unwrap().is_some());
    survivor.place.perform(&store, role).unwrap();
    survivor.check(role);
    // Lazily: who settles a moment later may still look, and finds nothing.
    sh(&format!("cd {at}; umount -l cut"));
    there
}

/// Sessions are told apart by the boot that they began in.
fn another_boot(store: &Path) {
    for session in
        ["tmp", "settling"].into_iter().filter_map(|folder| fs::read_dir(store.join(folder)).ok()).flatten()
    {
        let boot = session.unwrap().path().join("boot");
        if boot.exists() {
            fs::write(boot, "another").unwrap();
        }
    }
}
