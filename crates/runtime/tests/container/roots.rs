//! Root file systems, assembled without a place.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use hoist_runtime::rootfs::view::{Part, ROOT, Sight, View};
use hoist_runtime::rootfs::{self, Layers, Rootfs};

use crate::world::*;

fn read(root: &impl AsFd, path: &str) -> Option<String> {
    let content = rootfs::read(root.as_fd(), Path::new(path), 1 << 20).unwrap();
    content.map(|content| String::from_utf8(content).unwrap())
}

#[test]
fn upper_layers_hide_lower_ones() {
    let Some(world) = World::new("upper_layers_hide_lower_ones") else { return };
    // Names with a meaning to overlayfs, and longer in sum than any option string may be.
    let long = "long,name:with\\everything".repeat(9);
    let mut layers = world.layers();
    layers.lower.clear();
    for number in 0..40 {
        let layer = world.dir.path().join(format!("{long}{number}"));
        fs::create_dir(&layer).unwrap();
        fs::write(layer.join("who"), number.to_string()).unwrap();
        fs::write(layer.join(format!("only{number}")), "").unwrap();
        layers.lower.push(layer);
    }
    let root = rootfs::assemble(&Rootfs::Layers(layers)).unwrap();
    assert_eq!(read(&root, "/who").as_deref(), Some("0"));
    assert!((0..40).all(|number| read(&root, &format!("/only{number}")).is_some()));
}

#[test]
fn the_hosts_root_can_be_a_layer_with_the_writable_one_below_it() {
    let Some(world) = World::new("the_hosts_root_can_be_a_layer_with_the_writable_one_below_it") else {
        return;
    };
    let layers = Layers { lower: vec!["/".into()], ..world.layers() };
    let mut input = world.input(shell("echo mine > /etc/hostname; cat /etc/hostname")).0;
    input.rootfs = rootfs::assemble(&Rootfs::Layers(layers)).unwrap();
    let before = fs::read_to_string("/etc/hostname").ok();
    let (reading, writing) = rustix::pipe::pipe().unwrap();
    input.stdio = stdio(&writing);
    drop(writing);
    assert_eq!(finish(prepare(input).unwrap(), reading).ok(), "mine\n");
    assert_eq!(fs::read_to_string("/etc/hostname").ok(), before);
    assert_eq!(fs::read_to_string(world.dir.path().join("upper/etc/hostname")).unwrap(), "mine\n");
}

#[test]
fn a_directory_is_used_as_it_is() {
    let Some(world) = World::new("a_directory_is_used_as_it_is") else { return };
    let (mut input, output) = world.input(shell("echo written > /tmp/file"));
    input.rootfs = rootfs::assemble(&Rootfs::Directory(world.base())).unwrap();
    finish(prepare(input).unwrap(), output).ok();
    assert_eq!(fs::read_to_string(world.base().join("tmp/file")).unwrap(), "written\n");
}

#[test]
fn a_look_into_the_root_stays_there() {
    let Some(world) = World::new("a_look_into_the_root_stays_there") else { return };
    std::os::unix::fs::symlink("/../../etc/shadow", world.base().join("etc/out")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, world.base().join("etc/fifo"), rustix::fs::Mode::RUSR).unwrap();
    let root = world.root();
    assert_eq!(read(&root, "/etc/out"), None);
    assert!(read(&root, "/bin/../../../etc/passwd").unwrap().contains("app:x:1000"));
    assert!(rootfs::read(root.as_fd(), Path::new("/etc/fifo"), 10).is_err());
    let error = rootfs::read(root.as_fd(), Path::new("/etc/passwd"), 10).unwrap_err();
    assert_eq!(error.to_string(), "/etc/passwd of the root file system is larger than 10 bytes");
}

#[test]
fn a_view_shows_its_parts_and_never_what_comes_later() {
    let Some(world) = World::new("a_view_shows_its_parts_and_never_what_comes_later") else { return };
    let base = world.base();
    for folder in ["home/ann", "srv/db", "etc/app", "etc/keys", "opt/hoist", ROOT] {
        fs::create_dir_all(base.join(folder)).unwrap();
        fs::write(base.join(folder).join("secret"), "").unwrap();
    }
    fs::write(base.join("etc/app/conf"), "shown\n").unwrap();
    fs::write(base.join("etc/shadow"), "").unwrap();
    fs::set_permissions(base.join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    std::os::unix::fs::symlink("bin", base.join("sbin")).unwrap();
    let part = |path: &str, sight| Part { path: path.into(), sight };
    let parts = vec![
        part("bin", Sight::Shown),
        part("etc", Sight::Shown),
        part("etc/app/secret", Sight::Hidden),
        part("etc/keys", Sight::Hidden),
        part("etc/later", Sight::Hidden),
        part("etc/no/such", Sight::Hidden),
        part("etc/shadow", Sight::Hidden),
        part("home", Sight::Empty),
        part("opt", Sight::Shown),
        part("opt/hoist", Sight::Hidden),
        part("proc", Sight::Empty),
        part("sbin", Sight::Shown),
        part("tmp", Sight::Empty),
    ];
    let Layers { upper, work, .. } = world.layers();
    let view = Rootfs::View(View { base: base.clone(), parts, upper: upper.clone(), work });
    let script = "echo ready; read go; find / -xdev -name 'secret*' -o -xdev -name shadow -o -xdev -name later; ls /
        stat -c %a /tmp; ls /home /etc/keys; cat /etc/app/conf; echo mine > /etc/app/conf; echo mine > /tmp/file; /sbin/true && echo ran";
    let (mut input, output) = world.input(shell(script));
    let (reading, writing) = rustix::pipe::pipe().unwrap();
    input.stdio[0] = reading;
    input.rootfs = rootfs::assemble(&view).unwrap();
    let started = start(prepare(input).unwrap()).unwrap();
    assert_eq!(read_line(&output), "ready");
    // What comes while it runs.
    for folder in ["data", ROOT] {
        fs::create_dir_all(base.join(folder)).unwrap();
    }
    for path in [
        "data/secret",
        "secret",
        "home/ann/secret2",
        "home/secret",
        "etc/keys/secret2",
        "etc/later",
        "opt/hoist/secret2",
        ".hoist-root/secret",
    ] {
        fs::write(base.join(path), "").unwrap();
    }
    rustix::io::write(&writing, b"go\n").unwrap();
    assert_eq!(wait(&started), 0);
    let expected = "bin\ndev\netc\nhome\nopt\nproc\nsbin\nsys\ntmp\n1777\n/etc/keys:\n\n/home:\nshown\nran\n";
    assert_eq!(read_all(output), expected);
    assert_eq!(fs::read_to_string(base.join("etc/app/conf")).unwrap(), "shown\n");
    assert_eq!(fs::read_to_string(upper.join(ROOT).join("etc/app/conf")).unwrap(), "mine\n");
    assert_eq!(fs::read_to_string(upper.join(ROOT).join("tmp/file")).unwrap(), "mine\n");
}

#[test]
fn a_view_has_empty_files_for_mounts_where_the_base_has_none() {
    let Some(world) = World::new("a_view_has_empty_files_for_mounts_where_the_base_has_none") else { return };
    let file = |path: &str| Part { path: path.into(), sight: Sight::File };
    for etc in ["etc", "none/etc"] {
        let parts = [
            Part { path: "etc".into(), sight: Sight::Shown },
            file("etc/hosts"),
            file(&format!("{etc}/own")),
        ];
        let Layers { upper, work, .. } = world.layers();
        let view = View { base: world.base(), parts: parts.into(), upper: upper.clone(), work };
        let root = rootfs::assemble(&Rootfs::View(view)).unwrap();
        assert_eq!(read(&root, "/etc/hosts").as_deref(), Some(""));
        assert_eq!(read(&root, &format!("/{etc}/own")).as_deref(), Some(""));
        assert!(
            read(&root, "/etc/passwd").unwrap().contains("app:x:1000"),
            "the folder's own are there as well"
        );
        drop(root);
        assert!(!upper.join(ROOT).join("etc").exists(), "nothing is made in the instance's own layer");
    }
}

#[test]
fn a_missing_layer_is_named() {
    let Some(world) = World::new("a_missing_layer_is_named") else { return };
    let layers = Layers { lower: vec!["/no/such/layer".into()], ..world.layers() };
    let error = rootfs::assemble(&Rootfs::Layers(layers)).unwrap_err();
    assert_eq!(error.to_string(), "can't open /no/such/layer");
}
