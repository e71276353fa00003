//! Binds: what of the host they show, and what can't be reached through them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hoist_runtime::launch::BENEATH;
use hoist_runtime::{capabilities, defaults};
use oci_spec::runtime::Spec;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

use crate::world::*;

/// A folder with a file system of its own in it.
fn with_inner(world: &World) -> std::path::PathBuf {
    let source = world.dir.path().join("source");
    let inner = source.join("inner");
    fs::create_dir_all(&inner).unwrap();
    mount("tmpfs", &inner, "tmpfs", MountFlags::empty(), None).unwrap();
    source
}

fn refused(world: &World, spec: Spec) -> (String, String) {
    let error = match prepare(world.input(spec).0) {
        Err(error) => return (error.to_string(), String::new()),
        Ok(launch) => start(launch).unwrap_err(),
    };
    assert!(error.lasting, "{error}");
    (error.to_string(), error.advice.unwrap_or_default())
}

#[test]
fn the_hosts_root_is_the_hosts_and_read_only_all_the_way_down() {
    let Some(world) = World::new("the_hosts_root_is_the_hosts_and_read_only_all_the_way_down") else {
        return;
    };
    let source = with_inner(&world);
    fs::write(source.join("inner/seen"), "host").unwrap();
    let inner = source.join("inner");
    let script = format!(
        "cat /rootfs{0}/seen; test -e /rootfs/rootfs && echo own
         for file in /rootfs/x /rootfs{0}/x /rootfs/dev/shm/x; do (: > $file) 2>/dev/null && echo wrote $file; done
         for file in core_pattern hostname; do (: >> /rootfs/proc/sys/kernel/$file) 2>/dev/null && echo opened $file; done
         (: >> /proc/sys/kernel/core_pattern) 2>/dev/null && echo opened its own; true",
        inner.display()
    );
    let mut spec = shell(&script);
    add_mount(&mut spec, defaults::mount("/rootfs", "bind", "/", &["rbind", "rprivate", "rro"]));
    assert_eq!(world.run(spec).ok(), "host");
    // Without the option, it is writable: the test above is about the option.
    let mut spec = shell(&format!("echo x > /rootfs{}/written", inner.display()));
    add_mount(&mut spec, defaults::mount("/rootfs", "bind", "/", &["rbind", "rprivate", "rw"]));
    world.run(spec).ok();
    assert!(inner.join("written").exists());
    unmount(&inner, UnmountFlags::DETACH).unwrap();
}

#[test]
fn parts_of_the_host_are_shown_beside_each_other() {
    let Some(world) = World::new("parts_of_the_host_are_shown_beside_each_other") else { return };
    let socket = world.dir.path().join("app.sock");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let script = "stat -c %F /app.sock; test -e /host/proc/1/stat -a -d /host/sys/class/net && echo both
         (: > /host/proc/sys/kernel/core_pattern) 2>&1; mkdir /host/sys/x 2>&1; true";
    let mut spec = shell(script);
    for (target, source) in [("/host/proc", "/proc"), ("/host/sys", "/sys")] {
        add_mount(&mut spec, defaults::mount(target, "bind", source, &["rbind", "rprivate", "rro"]));
    }
    add_mount(&mut spec, defaults::mount("/app.sock", "bind", &socket, &["rbind", "rprivate", "rw"]));
    let text = world.run(spec).ok();
    let expected = "socket\nboth\n/bin/sh: can't create /host/proc/sys/kernel/core_pattern: Read-only file system\n\
                    mkdir: can't create directory '/host/sys/x': Read-only file system\n";
    assert_eq!(text, expected);
}

#[test]
fn a_path_beneath_a_source_does_not_leave_it() {
    let Some(world) = World::new("a_path_beneath_a_source_does_not_leave_it") else { return };
    let source = with_inner(&world);
    let secret = world.dir.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::create_dir(source.join("real,odd")).unwrap();
    symlink(&secret, source.join("absolute")).unwrap();
    symlink("../secret", source.join("up")).unwrap();
    symlink("/proc/self/root", source.join("magic")).unwrap();
    symlink("real,odd", source.join("inside")).unwrap();
    let beneath = |path: &str| {
        let mut spec = shell("touch /m/written");
        let option = format!("{BENEATH}{path}");
        add_mount(&mut spec, defaults::mount("/m", "bind", &source, &["rbind", "rprivate", "rw", &option]));
        spec
    };
    for path in ["absolute", "up", "magic", "inside/../up"] {
        let (error, advice) = refused(&world, beneath(path));
        if path.contains("..") {
            assert_eq!(error, format!("mounts: /m: {path} does not stay inside the volume"));
            continue;
        }
        assert_eq!(error, format!("can't clone all of {} at {path} below it for /m", source.display()));
        assert!(advice.starts_with("the path leads out of the volume"), "{advice}");
    }
    for path in ["..", "/etc", "../secret", ""] {
        assert!(refused(&world, beneath(path)).0.ends_with("does not stay inside the volume"), "{path}");
    }
    assert!(refused(&world, beneath("no/such")).0.contains("no/such below it"));
    assert_eq!(fs::read_dir(&secret).unwrap().count(), 0);
    // A link that stays inside, a comma in a name, and a file system mounted in the volume are all right.
    for (path, written) in [("inside", "real,odd"), ("real,odd", "real,odd"), ("inner", "inner")] {
        world.run(beneath(path)).ok();
        fs::remove_file(source.join(written).join("written")).unwrap();
    }
    unmount(source.join("inner"), UnmountFlags::DETACH).unwrap();
}

#[test]
fn nothing_is_mounted_over_the_kernels_files() {
    let Some(world) = World::new("nothing_is_mounted_over_the_kernels_files") else { return };
    let volume = tempfile::tempdir().unwrap();
    let bind = |target: &str, source: &Path| {
        let mut spec = shell("true");
        add_mount(&mut spec, defaults::mount(target, "bind", source, &["rbind", "rprivate", "rw"]));
        spec
    };
    for target in ["/proc/self/attr", "/proc/sys", "/proc/../proc/acpi", "/./proc/1"] {
        let (error, _) = refused(&world, bind(target, volume.path()));
        assert!(error.ends_with("nothing may be mounted over the kernel's own files"), "{error}");
    }
    for (target, source) in
        [("/proc", volume.path()), ("/sys", volume.path()), ("/proc", Path::new("/proc/sys"))]
    {
        let (_, advice) = refused(&world, bind(target, source));
        assert!(advice.contains("only the host's own /proc or /sys"), "{target}: {advice}");
    }
    let mut spec = shell("true");
    add_mount(&mut spec, defaults::mount("/proc", "tmpfs", "tmpfs", &[]));
    assert!(refused(&world, spec).0.ends_with("nothing may be mounted over the kernel's own files"));
}

#[test]
fn no_link_leads_a_mount_over_the_kernels_files_or_the_root() {
    let Some(world) = World::new("no_link_leads_a_mount_over_the_kernels_files_or_the_root") else { return };
    let volume = tempfile::tempdir().unwrap();
    fs::create_dir(volume.path().join("attr")).unwrap();
    let links = [
        ("whole", "/proc"),
        ("part", "/proc/sys/kernel"),
        ("kernel", "/sys/kernel"),
        ("top", "/"),
        ("up", "/srv/.."),
    ];
    for (name, target) in links {
        symlink(target, world.base().join(name)).unwrap();
    }
    fs::create_dir(world.base().join("srv")).unwrap();
    // Not only the image can hold such a link, but also a volume that is mounted before.
    symlink("/proc/sys", volume.path().join("link")).unwrap();
    for target in ["/whole", "/whole/sys", "/part", "/kernel", "/top", "/up", "/vol/link"] {
        let mut spec = shell("true");
        for at in ["/vol", target] {
            let options = ["rbind", "rprivate", "rw"];
            add_mount(&mut spec, defaults::mount(at, "bind", volume.path(), &options));
        }
        let (error, advice) = refused(&world, spec);
        assert!(
            advice.starts_with("the target leads over a link of the image"),
            "{target}: {error}: {advice}"
        );
    }
}

#[test]
fn the_kernels_files_that_may_be_stood_in_for_are() {
    let Some(world) = World::new("the_kernels_files_that_may_be_stood_in_for_are") else { return };
    let file = world.dir.path().join("meminfo");
    fs::write(&file, "MemTotal: 1 kB\n").unwrap();
    let mut spec = shell(
        "cat /proc/meminfo; test -d /sys/class/net && echo sys; grep -c ' /proc ' /proc/self/mountinfo",
    );
    spec.mounts_mut().as_mut().unwrap().retain(|mount| mount.destination() != Path::new("/proc"));
    let mounts = spec.mounts_mut().as_mut().unwrap();
    mounts.insert(0, defaults::mount("/proc", "bind", "/proc", &["rbind", "rprivate", "rw"]));
    add_mount(&mut spec, defaults::mount("/proc/meminfo", "bind", &file, &["bind", "ro"]));
    assert_eq!(world.run(spec).ok(), "MemTotal: 1 kB\nsys\n1\n");
}

#[test]
fn what_is_mounted_later_travels_as_far_as_it_is_meant_to() {
    let Some(world) = World::new("what_is_mounted_later_travels_as_far_as_it_is_meant_to") else { return };
    let source = with_inner(&world);
    let inner = source.join("inner");
    mount_change(&inner, MountPropagationFlags::SHARED).unwrap();
    fs::create_dir(inner.join("later")).unwrap();
    let bind = |script: &str, propagation: &str| {
        let mut spec = shell(script);
        add_mount(&mut spec, defaults::mount("/m", "bind", &inner, &["rbind", propagation, "rw"]));
        edit_process(&mut spec, |process| {
            process.set_capabilities(Some(defaults::capabilities(capabilities::all(), 0)));
        });
        spec
    };
    // From the container to the host: with rshared alone.
    let mount_inside = "mount -t tmpfs t /m/later && touch /m/later/inside";
    for (propagation, reaches) in [("rshared", true), ("rslave", false), ("rprivate", false)] {
        world.run(bind(mount_inside, propagation)).ok();
        assert_eq!(inner.join("later/inside").exists(), reaches, "{propagation}");
        if reaches {
            unmount(inner.join("later"), UnmountFlags::DETACH).unwrap();
        }
    }
    // From the host to the container: with rslave too.
    let look =
        "echo ready; n=0; until [ -e /m/later/outside ] || [ $n = $TRIES ]; do n=$((n+1)); sleep 0.1; done
        test -e /m/later/outside && echo seen; true";
    for (propagation, tries, seen) in
        [("rslave", "100", "seen\n"), ("rshared", "100", "seen\n"), ("rprivate", "3", "")]
    {
        let (input, output) = world.input(bind(&look.replace("$TRIES", tries), propagation));
        let started = start(prepare(input).unwrap()).unwrap();
        assert_eq!(read_line(&output), "ready");
        mount("tmpfs", inner.join("later"), "tmpfs", MountFlags::empty(), None).unwrap();
        fs::write(inner.join("later/outside"), "").unwrap();
        assert_eq!(wait(&started), 0);
        unmount(inner.join("later"), UnmountFlags::DETACH).unwrap();
        assert_eq!(read_all(output), seen, "{propagation}");
    }
    unmount(&inner, UnmountFlags::DETACH).unwrap();
}

#[test]
fn a_read_only_bind_can_leave_what_is_below_it_writable() {
    let Some(world) = World::new("a_read_only_bind_can_leave_what_is_below_it_writable") else { return };
    let source = with_inner(&world);
    let table = [(["rbind", "ro"], "inner\n"), (["rbind", "rro"], ""), (["bind", "ro"], "")];
    for (options, expected) in table {
        let mut spec =
            shell("touch /m/x 2>/dev/null && echo outer; touch /m/inner/x 2>/dev/null && echo inner; true");
        add_mount(&mut spec, defaults::mount("/m", "bind", &source, &options));
        assert_eq!(world.run(spec).ok(), expected, "{options:?}");
    }
    let mut spec = shell("/m/inner/sh -c true 2>&1; true");
    fs::copy(world.base().join("bin/busybox"), source.join("inner/sh")).unwrap();
    add_mount(&mut spec, defaults::mount("/m", "bind", &source, &["rbind", "rnoexec"]));
    assert!(world.run(spec).text.contains("Permission denied"));
    unmount(source.join("inner"), UnmountFlags::DETACH).unwrap();
}

/// Answers mount_setattr(2) as a kernel without it does, for this thread and its children.
fn without_mount_setattr() {
    let word = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        // The system call's number is the first word of what the filter sees.
        word(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        word(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_mount_setattr as u32),
        word(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        word(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program is well-formed and outlives the call.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn without_the_newer_call_it_is_the_same() {
    let Some(world) = World::new("without_the_newer_call_it_is_the_same") else { return };
    let source = with_inner(&world);
    let deep = source.join("inner/with blank");
    fs::create_dir(&deep).unwrap();
    mount("tmpfs", &deep, "tmpfs", MountFlags::NODEV, None).unwrap();
    without_mount_setattr();
    let look = "for dir in /m /m/inner '/m/inner/with blank'; do touch \"$dir/x\" 2>/dev/null && echo $dir; done
        touch /x 2>/dev/null && echo root; (: >> /proc/sys/kernel/core_pattern) 2>/dev/null && echo proc
        touch /sys/x /sys/firmware/x 2>/dev/null && echo sys; grep 'with.040blank' /proc/self/mountinfo | grep -c nodev";
    for (options, expected) in [
        (["rbind", "rprivate", "rro"], "1\n"),
        (["rbind", "rprivate", "ro"], "/m/inner\n/m/inner/with blank\n1\n"),
        (["rbind", "rprivate", "rnoexec"], "/m\n/m/inner\n/m/inner/with blank\n1\n"),
    ] {
        let mut spec = shell(look);
        spec.root_mut().as_mut().unwrap().set_readonly(Some(true));
        fs::create_dir_all(world.base().join("m")).unwrap();
        add_mount(&mut spec, defaults::mount("/m", "bind", &source, &options));
        assert_eq!(world.run(spec).ok(), expected, "{options:?}");
    }
    unmount(&deep, UnmountFlags::DETACH).unwrap();
    unmount(source.join("inner"), UnmountFlags::DETACH).unwrap();
}
