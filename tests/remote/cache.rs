//! The user's cache: what is fixed is fetched once, by however many commands, and also after one was killed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use hoist_tests::command::Signal;
use hoist_tests::{Host, LATER, SOON, eventually};

use crate::site::{PROGRAMS, SHOP, Site};

#[test]
fn a_commit_is_fetched_once_and_needs_no_server_then() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let mut site = Site::start(&host);
    let commit = site.commit("shop", "main");
    let (whole, short) = (format!("{SHOP}#{commit}:deploy"), format!("{SHOP}#{}", &commit[..10]));
    let commands: Vec<_> = (0..8).map(|_| site.stack(&whole).start(&["config", "--services"])).collect();
    for command in commands {
        assert_eq!(command.finish(LATER).success().text(), "db\nweb");
    }
    assert_eq!(site.requests("GET /smart/shop.git/info/refs"), 1, "one fetched, the others waited");
    assert_eq!(site.cached("git").join(" "), commit);
    assert_eq!(site.services(&short).success().text(), "top");
    assert_eq!(fs::metadata(site.path("cache/hoist")).unwrap().permissions().mode() & 0o077, 0);

    site.stop();
    assert_eq!(site.services(&whole).success().text(), "db\nweb");
    assert_eq!(site.services(&short).success().text(), "top", "what a short hash means was noted");
    assert_eq!(site.services(&format!("{SHOP}?commit={commit}")).success().text(), "top");
    site.refused(&format!("{SHOP}#main"), "git says: ");
}

#[test]
fn eight_commands_on_a_cold_cache_find_a_branch() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let site = Site::start(&host);
    let commands: Vec<_> =
        (0..8).map(|_| site.stack(&format!("{SHOP}#main:deploy")).start(&["config", "--services"])).collect();
    for command in commands {
        assert_eq!(command.finish(LATER).success().text(), "db\nweb");
    }
    assert_eq!(site.cached("git"), [site.commit("shop", "main")]);
}

#[test]
fn a_fetch_that_is_killed_is_not_taken_for_a_checkout() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let site = Site::start(&host);
    let at = host.folder().display();
    host.shell(&format!(
        r#"set -e; mkdir {at}/slow; cat > {at}/slow/git <<'END'
#!/bin/sh
PATH=${{PATH#*:}}
case "$*" in *" checkout "*) git "$@"; rm "$2/compose.yaml"; exec sleep 1000 ;; esac
exec git "$@"
END
           chmod +x {at}/slow/git"#
    ))
    .ok();
    let path = std::env::var("PATH").unwrap_or_default();
    let stack = site.stack(&format!("{SHOP}#main"));
    let slow = stack.with("PATH", &format!("{at}/slow:{path}")).start(&["-p", "x", "config", "--services"]);
    let is_part = |name: &String| name.contains(".part-");
    let half = || {
        let part = site.cached("git").into_iter().find(is_part);
        part.is_some_and(|part| site.path("cache/hoist/git").join(part).join("deploy").exists())
    };
    eventually("half a checkout is there", SOON, half);
    slow.signal(Signal::KILL);
    assert_eq!(slow.finish(SOON).code, 137);
    assert_eq!(site.services(&format!("{SHOP}#main")).success().text(), "top");
    assert_eq!(site.cached("git"), [site.commit("shop", "main")], "what was half made is gone");
}

#[test]
fn without_git_or_a_folder_it_is_said_what_is_missing() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let site = Site::start(&host);
    let stack = site.stack(&format!("{SHOP}#main"));
    let none = stack.with("PATH", "/nowhere").hoist(&["config"]).ended_with(2);
    assert!(none.stderr.contains("git is not installed") && none.stderr.contains("package git"), "{none}");
    let nowhere = stack.with("XDG_CACHE_HOME", "relative").with("HOME", "").hoist(&["config"]).ended_with(2);
    assert!(nowhere.stderr.contains("set XDG_CACHE_HOME or HOME"), "{nowhere}");
}
