//! What a hostile image or program can't get at.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;

use hoist_runtime::{defaults, sealed};
use rustix::fs::{Mode, OFlags};

use crate::world::*;

#[test]
fn only_three_descriptors_are_inherited() {
    let Some(world) = World::new("only_three_descriptors_are_inherited") else { return };
    // One that a careless library left open across execve, leading out of every root.
    let leaked = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    assert!(leaked.as_raw_fd() > 2);
    // The fourth is the directory that ls itself is reading.
    assert_eq!(world.run(command(&["/bin/ls", "/proc/self/fd"])).ok(), "0\n1\n2\n3\n");
}

#[test]
fn a_working_directory_can_not_be_a_descriptor() {
    let Some(world) = World::new("a_working_directory_can_not_be_a_descriptor") else { return };
    let leaked = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let mut spec = shell("pwd");
    edit_process(&mut spec, |process| {
        process.set_cwd(format!("/proc/self/fd/{}", leaked.as_raw_fd()).into());
    });
    let error = start(prepare(world.input(spec).0).unwrap()).unwrap_err();
    assert!(error.doing.contains("directory /proc/self/fd/"), "{error}");
    assert_eq!(error.source, Some(rustix::io::Errno::LOOP));
}

#[test]
fn mount_targets_stay_inside_the_root() {
    let Some(world) = World::new("mount_targets_stay_inside_the_root") else { return };
    let outside = tempfile::tempdir().unwrap();
    let volume = tempfile::tempdir().unwrap();
    fs::write(volume.path().join("file"), "volume").unwrap();
    symlink(outside.path(), world.base().join("absolute")).unwrap();
    symlink(
        "../../../../../../../../../..".to_owned() + outside.path().to_str().unwrap(),
        world.base().join("up"),
    )
    .unwrap();
    symlink("missing/below", world.base().join("dangling")).unwrap();
    let mut spec =
        shell("cat /absolute/a/file /up/b/file /dangling/c/file /missing/below/c/file; readlink /up");
    for target in ["/absolute/a", "/up/b", "/dangling/c"] {
        add_mount(&mut spec, defaults::mount(target, "bind", volume.path(), &["rbind", "ro"]));
    }
    let text = world.run(spec).ok();
    assert!(text.starts_with("volumevolumevolumevolume"), "{text}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_link_for_proc_is_refused() {
    let Some(world) = World::new("a_link_for_proc_is_refused") else { return };
    fs::remove_dir(world.base().join("proc")).unwrap();
    symlink("tmp", world.base().join("proc")).unwrap();
    let error = start(prepare(world.input(shell("true")).0).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "can't mount proc at /proc (nosuid,noexec,nodev)");
    assert!(error.advice.unwrap().contains("symbolic link"));
}

#[test]
fn a_loop_of_links_is_an_error() {
    let Some(world) = World::new("a_loop_of_links_is_an_error") else { return };
    symlink("loop", world.base().join("loop")).unwrap();
    let mut spec = shell("true");
    add_mount(&mut spec, defaults::mount("/loop/x", "tmpfs", "tmpfs", &[]));
    let error = start(prepare(world.input(spec).0).unwrap()).unwrap_err();
    assert_eq!(error.source, Some(rustix::io::Errno::LOOP), "{error}");
}

#[test]
fn masked_paths_are_empty_and_read_only_ones_refuse() {
    let Some(world) = World::new("masked_paths_are_empty_and_read_only_ones_refuse") else { return };
    let script = "
        for file in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do
            [ -e $file ] || continue; [ $(head -c 64 $file | wc -c) = 0 ] || echo leaked $file; done
        for dir in /proc/acpi /proc/scsi /sys/firmware; do
            [ -e $dir ] || continue; [ -z \"$(ls $dir)\" ] || echo leaked $dir
            touch $dir/x 2>/dev/null && echo wrote $dir; done
        for file in /proc/sysrq-trigger /proc/sys/kernel/hostname /proc/irq/default_smp_affinity; do
            [ -e $file ] || continue; (echo x > $file) 2>/dev/null && echo wrote $file; done
        grep -c ' /proc/sys ro,' /proc/self/mountinfo; grep -c ' /sys ro,' /proc/self/mountinfo";
    assert_eq!(world.run(shell(script)).ok(), "1\n1\n");
}

#[test]
fn the_host_is_not_in_the_mount_table() {
    let Some(world) = World::new("the_host_is_not_in_the_mount_table") else { return };
    let text = world.run(shell("cat /proc/self/mountinfo")).ok();
    let mut targets: Vec<_> = text.lines().map(|line| line.split(' ').nth(4).unwrap()).collect();
    assert_eq!(targets.remove(0), "/");
    let known = ["/proc", "/dev", "/sys"];
    assert!(targets.iter().all(|target| known.iter().any(|known| target.starts_with(known))), "{text}");
    assert!(text.lines().all(|line| !line.contains("shared:") && !line.contains("master:")), "{text}");
}

#[test]
fn an_own_binary_is_sealed_against_writing() {
    // Not in a World: the binary's mount must be one of the caller's mount namespace.
    if !is_root("an_own_binary_is_sealed_against_writing") {
        return;
    }
    assert!(!sealed::is_sealed());
    let sealed: OwnedFd = sealed::own_binary().unwrap();
    let path = format!("/proc/self/fd/{}", sealed.as_raw_fd());
    // Any change will do. (To open a binary for writing fails while it runs, sealed or not.)
    let mode = fs::metadata(&path).unwrap().permissions();
    let error = fs::set_permissions(path, mode).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}
