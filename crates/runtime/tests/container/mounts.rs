//! Volumes, file systems and devices.

use std::fs;
use std::os::unix::fs::MetadataExt;

use hoist_runtime::defaults;
use oci_spec::runtime::{LinuxDeviceBuilder, LinuxDeviceType};

use crate::world::*;

#[test]
fn volumes_are_writable_or_not() {
    let Some(world) = World::new("volumes_are_writable_or_not") else { return };
    let volume = tempfile::tempdir().unwrap();
    fs::write(volume.path().join("config"), "setting\n").unwrap();
    let mut spec = shell(
        "cat /etc/app/config; echo data > /var/data/new; (echo x > /ro/x) 2>&1; (echo x > /etc/app/config) 2>&1; true",
    );
    add_mount(&mut spec, defaults::mount("/var/data", "bind", volume.path(), &["rbind", "rw", "rprivate"]));
    add_mount(&mut spec, defaults::mount("/ro", "bind", volume.path(), &["rbind", "ro", "noexec"]));
    add_mount(
        &mut spec,
        defaults::mount("/etc/app/config", "bind", volume.path().join("config"), &["bind", "ro"]),
    );
    let text = world.run(spec).ok();
    let expected = "setting\n/bin/sh: can't create /ro/x: Read-only file system\n\
                    /bin/sh: can't create /etc/app/config: Read-only file system\n";
    assert_eq!(text, expected);
    assert_eq!(fs::read_to_string(volume.path().join("new")).unwrap(), "data\n");
    // The targets were made in the container's own layer, not in the image.
    assert!(!world.base().join("var").exists());
}

#[test]
fn mount_options_hold() {
    let Some(world) = World::new("mount_options_hold") else { return };
    let mut spec = shell("true");
    edit_process(&mut spec, |process| {
        let script =
            "grep -E ' (/scratch|/dev/shm) ' /proc/self/mountinfo; stat -c '%a %u %g' /scratch /sticky";
        process.set_args(Some(["/bin/sh", "-c", script].map(str::to_owned).into()));
    });
    fs::create_dir(world.base().join("sticky")).unwrap();
    fs::set_permissions(world.base().join("sticky"), std::os::unix::fs::PermissionsExt::from_mode(0o1777))
        .unwrap();
    let options = ["nosuid", "nodev", "noexec", "noatime", "size=1m", "mode=750", "uid=7", "gid=8"];
    add_mount(&mut spec, defaults::mount("/scratch", "tmpfs", "tmpfs", &options));
    add_mount(&mut spec, defaults::mount("/sticky", "tmpfs", "tmpfs", &[]));
    let text = world.run(spec).ok();
    assert!(
        text.contains(
            " /scratch rw,nosuid,nodev,noexec,noatime - tmpfs tmpfs rw,size=1024k,mode=750,uid=7,gid=8"
        ),
        "{text}"
    );
    assert!(text.contains(" /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k"), "{text}");
    assert!(text.ends_with("750 7 8\n1777 0 0\n"), "{text}");
}

#[test]
fn a_recursive_bind_takes_what_is_below() {
    let Some(world) = World::new("a_recursive_bind_takes_what_is_below") else { return };
    let source = tempfile::tempdir().unwrap();
    let below = source.path().join("below");
    fs::create_dir(&below).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", &below, "tmpfs", flags, None).unwrap();
    fs::write(below.join("file"), "deep").unwrap();
    let mut spec = shell("ls /one/below; ls /all/below; touch /all/below/x 2>/dev/null || echo refused");
    add_mount(&mut spec, defaults::mount("/one", "bind", source.path(), &["bind"]));
    add_mount(&mut spec, defaults::mount("/all", "bind", source.path(), &["rbind", "rro"]));
    let text = world.run(spec).ok();
    rustix::mount::unmount(&below, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(text, "file\nrefused\n");
}

#[test]
fn a_read_only_root_refuses_and_its_mounts_do_not() {
    let Some(world) = World::new("a_read_only_root_refuses_and_its_mounts_do_not") else { return };
    let mut spec = shell("touch /x 2>&1; touch /new/target/x && echo wrote; touch /dev/shm/x && echo wrote");
    spec.root_mut().as_mut().unwrap().set_readonly(Some(true));
    add_mount(&mut spec, defaults::mount("/new/target", "tmpfs", "tmpfs", &[]));
    assert_eq!(world.run(spec).ok(), "touch: /x: Read-only file system\nwrote\nwrote\n");
}

#[test]
fn devices_are_the_default_ones_and_those_asked_for() {
    let Some(world) = World::new("devices_are_the_default_ones_and_those_asked_for") else { return };
    let script = "cd /dev; stat -c '%n %F %t:%T %a' null zero full random urandom tty loop-control2
        for l in fd stdin ptmx; do readlink $l; done; echo gone > null; head -c 4 zero | wc -c; ls pts; (echo x > full) 2>&1";
    let mut spec = shell(script);
    let device = LinuxDeviceBuilder::default()
        .path("/dev/loop-control2")
        .typ(LinuxDeviceType::C)
        .major(10)
        .minor(237)
        .file_mode(0o640_u32)
        .uid(0_u32)
        .gid(6_u32)
        .build()
        .unwrap();
    edit_linux(&mut spec, |linux| {
        linux.set_devices(Some(vec![device]));
    });
    let text = world.run(spec).text;
    let expected = "null character special file 1:3 666\nzero character special file 1:5 666\n\
                    full character special file 1:7 666\nrandom character special file 1:8 666\n\
                    urandom character special file 1:9 666\ntty character special file 5:0 666\n\
                    loop-control2 character special file a:ed 640\n\
                    /proc/self/fd\n/proc/self/fd/0\npts/ptmx\n4\nptmx\n\
                    sh: write error: No space left on device\n";
    assert_eq!(text, expected);
}

#[test]
fn the_working_directory_is_made() {
    let Some(world) = World::new("the_working_directory_is_made") else { return };
    let mut spec = shell("pwd; stat -c %a .");
    edit_process(&mut spec, |process| {
        process.set_cwd("/srv/app".into());
    });
    assert_eq!(world.run(spec).ok(), "/srv/app\n755\n");
    assert_eq!(fs::metadata(world.dir.path().join("upper/srv/app")).unwrap().uid(), 0);
}

#[test]
fn the_cgroup_tree_shows_the_containers_own() {
    let Some(world) = World::new("the_cgroup_tree_shows_the_containers_own") else { return };
    let parents = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let name = format!("hoist-runtime-test-{}", std::process::id());
    let groups: Vec<_> = parents
        .iter()
        .map(std::path::PathBuf::from)
        .filter(|parent| parent.join("cgroup.procs").exists())
        .map(|parent| parent.join(&name))
        .collect();
    if groups.is_empty() || groups.iter().any(|group| fs::create_dir(group).is_err()) {
        println!("skipped the_cgroup_tree_shows_the_containers_own, because no cgroup can be made here");
        return;
    }
    let script = "echo ready; grep -E ':(memory|):' /proc/self/cgroup; \
                  grep -c . /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null; \
                  mkdir /sys/fs/cgroup/memory/x /sys/fs/cgroup/x 2>/dev/null; true";
    let (mut input, output) = world.input(shell(script));
    input.cgroups = groups.clone();
    let output = finish(prepare(input).unwrap(), output);
    for group in &groups {
        fs::remove_dir(group).unwrap();
    }
    let text = output.ok();
    let own: Vec<_> = text.lines().filter(|line| line.ends_with(":/")).collect();
    assert_eq!(own.len(), groups.len(), "{text}");
    // The shell and its grep.
    assert_eq!(text.lines().filter(|line| line.ends_with("cgroup.procs:2")).count(), groups.len(), "{text}");
}
