//! The throwaway host itself: it is apart from this machine, joined to its outside, and gone when the test is.

use std::path::Path;

use hoist_tests::{Host, Listing, SOON, eventually};

#[test]
fn a_host_is_apart_and_reaches_its_outside() {
    let Some(host) = Host::new() else { return };
    assert_eq!(host.run("cat", &["/proc/1/comm"]).success().text(), "throwaway-host");
    // 7: refused, and not 28, which is silence.
    let _refused = host.get_from_outside(1, "/").ended_with(7);
    let links = host.shell("ip -o link | wc -l").success();
    assert_eq!(links.text(), "2", "lo and the link to the outside");
}

#[test]
fn a_listing_shows_what_is_left_behind() {
    let Some(host) = Host::new() else { return };
    let root = host.root("root");
    let before = Listing::of(&host, &root);
    assert_eq!(Listing::of(&host, &root).changes_since(&before), "");
    host.shell(&format!(
        "set -e
        mkdir {root} && touch {root}/left
        ip link add left type veth peer name left2
        nft add table ip left
        mount -t tmpfs left /mnt
        setsid sleep 1000 >/dev/null 2>&1 &
        setsid unshare -n sleep 1001 >/dev/null 2>&1 &",
        root = root.display()
    ))
    .ok();
    eventually("a namespace more", SOON, || {
        Listing::of(&host, &root).changes_since(&before).contains("+ network namespace")
    });
    let changes = Listing::of(&host, &root).changes_since(&before);
    for left in ["+ link left2", "+ firewall table ip left", "+ mount / /mnt", "sleep 1001", "/root/left"] {
        assert!(changes.contains(left), "{left:?} is not in\n{changes}");
    }
}

#[test]
fn nothing_outlives_a_host() {
    let Some(host) = Host::new() else { return };
    let folder = host.folder().to_owned();
    let running = host.shell("setsid sleep 1002 >/dev/null 2>&1 & ip netns add left; mount -t tmpfs x /mnt");
    running.ok();
    let init = format!("/proc/{}", host.init());
    assert!(Path::new(&init).exists());
    drop(host);
    assert!(!Path::new(&init).exists(), "its first process is gone");
    assert!(!folder.exists(), "its folder is gone");
    assert!(!Path::new("/run/netns/left").exists());
}

#[test]
fn a_reboot_leaves_the_disk_and_nothing_else() {
    let Some(host) = Host::new() else { return };
    let kept = host.root("kept");
    let boot = || host.shell("cat /proc/sys/kernel/random/boot_id").success().stdout;
    let before = boot();
    let script = format!("touch {}; setsid sleep 1003 >/dev/null 2>&1 & ip netns add left", kept.display());
    host.shell(&script).ok();
    host.reboot();
    assert_ne!(boot(), before);
    assert!(kept.exists());
    let listing = Listing::of(&host, &host.root("root"));
    assert!(!listing.kind("process").iter().any(|process| process.contains("1003")), "{listing:?}");
    assert_eq!(host.shell("ip netns").success().text().split(' ').next(), Some("outside"));
}
