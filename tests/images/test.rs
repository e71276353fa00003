//! Images go to a registry and come back: by command, by `up` as each pull policy says, and after a kill.

mod digests;
mod registry;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hoist_tests::command::Signal;
use hoist_tests::{Host, LATER, eventually};
use registry::{NAME, PROGRAMS, Registry};

const APP: &str = "localhost:5443/team/app:1";

#[test]
fn an_image_goes_to_a_registry_and_comes_back_by_tag_and_digest() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let registry = Registry::start(&host);
    registry.import(APP, 100_000);
    let refused = registry.hoist(&["image", "push", APP]).ended_with(1);
    assert!(refused.stderr.contains("hoist login localhost:5443"), "{refused}");

    let wrong = registry.login("wrong").ended_with(1);
    assert!(wrong.stderr.contains("check name and password"), "{wrong}");
    let config = registry.path("docker/config.json");
    assert!(!config.exists(), "what a registry refuses is not kept");
    assert_eq!(registry.login("password").success().text(), "Login Succeeded");
    assert_eq!(fs::metadata(&config).expect("kept").permissions().mode() & 0o777, 0o600);

    let pushed = registry.hoist(&["image", "push", APP]).success();
    let digest = pushed.text().split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest");
    registry.skopeo("team/app:1", "copied").ok();
    let manifest = host.run("sha256sum", &[&registry.path("copied/manifest.json").display().to_string()]);
    assert!(manifest.stdout.starts_with(&digest["sha256:".len()..]), "{manifest}");

    registry.hoist(&["image", "rm", APP]).ok();
    assert_eq!(registry.hoist(&["image", "ls", "-aq"]).success().text(), "");
    registry.hoist(&["image", "pull", APP]).ok();
    registry.hoist(&["image", "rm", APP]).ok();
    let pinned = format!("{NAME}/team/app@{digest}");
    registry.hoist(&["image", "pull", &pinned]).ok();
    let shown = registry.hoist(&["image", "inspect", &pinned]).success();
    assert!(shown.stdout.contains(r#""sleep""#) && shown.stdout.contains(digest), "{shown}");

    registry.hoist(&["image", "rm", &pinned]).ok();
    let out = registry.hoist(&["logout", NAME]).success();
    assert!(out.stdout.contains("Removing login credentials"), "{out}");
    let refused = registry.hoist(&["image", "pull", APP]).ended_with(1);
    assert!(refused.stderr.contains("wants a login"), "{refused}");
    registry.hoist(&["system", "check"]).ok();
}

#[test]
fn names_go_one_by_one_and_a_bare_name_means_all_tags() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let registry = Registry::start(&host);
    registry.import("local", 10_000);
    registry.hoist(&["image", "tag", "local", "local:2"]).ok();
    registry.hoist(&["image", "tag", "local", APP]).ok();
    registry.login("password").ok();
    registry.hoist(&["image", "push", APP]).ok();
    let listed = || registry.hoist(&["image", "ls"]).success().stdout;
    assert!(["local ", "2 ", "team/app"].iter().all(|name| listed().contains(name)), "{}", listed());

    let gone = registry.hoist(&["image", "rm", APP]).success();
    assert!(!gone.stdout.contains("Deleted"), "{gone}");
    assert!(!listed().contains("team/app") && listed().contains("local"), "{}", listed());
    let id = registry.hoist(&["image", "ls", "-q"]).success().text().to_owned();
    assert_eq!(id.lines().count(), 2, "one image by two names: {id}");
    let several = registry.hoist(&["image", "rm", id.lines().next().unwrap_or_default()]).ended_with(1);
    assert!(several.stderr.contains("several names"), "{several}");

    let archive = registry.path("all.tar");
    registry.hoist(&["save", "-o", archive.to_str().unwrap(), "local"]).ok();
    let tags = host.shell(&format!("tar -xOf {} manifest.json", archive.display())).success().stdout;
    assert!(tags.contains("local:2") && tags.contains("local:latest"), "{tags}");
    registry.hoist(&["image", "rm", "local"]).ok();
    registry.hoist(&["save", "-o", archive.to_str().unwrap(), "local"]).ok();
    let tags = host.shell(&format!("tar -xOf {} manifest.json", archive.display())).success().stdout;
    assert!(tags.contains("local:2") && !tags.contains("latest"), "{tags}");
    let last = registry.hoist(&["image", "rm", "local:2"]).success();
    assert!(last.stdout.contains("Deleted: sha256:"), "{last}");
}

#[test]
fn up_pulls_as_each_policy_says_and_a_missing_image_is_explained() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let mut registry = Registry::start(&host);
    registry.import(APP, 1000);
    registry.login("password").ok();
    registry.hoist(&["image", "push", APP]).ok();
    registry.hoist(&["image", "rm", APP]).ok();

    let stack = registry.stack.clone();
    let never = stack.with("POLICY", "never");
    let refused = never.hoist(&["up", "-d"]).ended_with(1);
    assert!(refused.stderr.contains("there is no image localhost:5443/team/app:1"), "{refused}");
    let unknown = stack.with("IMAGE", "localhost:5443/team/none:1").hoist(&["up", "-d"]).ended_with(1);
    assert!(unknown.stderr.contains("has no localhost:5443/team/none:1"), "{unknown}");
    assert!(stack.ps().is_empty(), "nothing was changed");

    let pulled = stack.up(&["--wait"]);
    assert!(pulled.stderr.contains("image localhost:5443/team/app:1 pulled"), "{pulled}");
    assert!(!stack.up(&[]).stderr.contains("pull"), "it is here now");
    let always = stack.with("POLICY", "always");
    assert!(always.up(&[]).stderr.contains("app:1 pulled"));
    assert!(stack.up(&["--pull", "always"]).stderr.contains("app:1 pulled"));
    assert!(!always.up(&["--quiet-pull"]).stderr.contains("pull"));
    registry.stop();
    let gone = always.hoist(&["up", "-d"]).ended_with(1);
    assert!(gone.stderr.contains("can't be reached"), "{gone}");
    always.up(&["--pull", "never"]);
    never.up(&[]);

    let listed = stack.hoist(&["images"]).success();
    assert!(
        listed.stdout.contains("images-web-1") && listed.stdout.contains("localhost:5443/team/app"),
        "{listed}"
    );
    let used = stack.hoist(&["image", "rm", APP]).ended_with(1);
    assert!(used.stderr.contains("in use"), "{used}");
    let kept = stack.hoist(&["system", "prune", "-af"]).success();
    assert!(kept.stdout.contains("Total reclaimed space: 0B"), "{kept}");
    stack.down();
    let pruned = stack.hoist(&["system", "prune", "-af"]).success();
    assert!(pruned.stdout.contains("Deleted: sha256:"), "{pruned}");
}

#[test]
fn an_agent_killed_in_a_pull_leaves_a_sound_store_and_the_next_pull_finishes() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let registry = Registry::start(&host);
    registry.import(APP, 150_000_000);
    registry.login("password").ok();
    registry.hoist(&["image", "push", APP]).ok();
    registry.hoist(&["image", "rm", APP]).ok();

    // A pull may be over before it is cut; then it is tried again.
    let cut = (0..5).any(|_| {
        let _ = registry.hoist(&["image", "rm", APP]);
        cut_pull(&registry)
    });
    assert!(cut, "no pull was under way when the agent was killed");

    registry.hoist(&["image", "pull", APP]).ok();
    let sound = registry.hoist(&["system", "check"]).success();
    assert_eq!(sound.text(), "the image store is sound");
    registry.hoist(&["agent", "stop", "--force"]).ok();
}

/// Kills the agent once bytes come in; whether the pull failed for it.
fn cut_pull(registry: &Registry<'_>) -> bool {
    registry.hoist(&["agent", "stop"]).ok();
    let agent = registry.stack.start(&["agent"]);
    eventually("the agent answers", LATER, || registry.hoist(&["agent", "status"]).code == 0);
    let pull = registry.stack.start(&["image", "pull", APP]);
    eventually("bytes come in", LATER, || pull.stderr().contains("downloading"));
    agent.signal(Signal::KILL);
    let pulled = pull.finish(LATER);
    assert!(pulled.code == 0 || pulled.stderr.contains("the agent"), "{pulled}");
    pulled.code == 1
}

#[test]
fn a_credential_helper_keeps_a_login_gives_it_and_forgets_it() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let mut registry = Registry::start(&host);
    let at = host.folder().display();
    host.shell(&format!(
        r#"set -e; mkdir {at}/docker {at}/helper
           cat > {at}/helper/docker-credential-test <<'END'
#!/bin/sh
case $1 in
store) cat > {at}/kept ;;
get) cat > /dev/null; cat {at}/kept 2> /dev/null || {{ echo credentials not found in native keychain; exit 1; }} ;;
erase) cat > /dev/null; rm {at}/kept ;;
esac
END
           chmod +x {at}/helper/docker-credential-test"#
    ))
    .ok();
    let path = std::env::var("PATH").unwrap_or_default();
    registry.stack = registry.stack.with("PATH", &format!("{at}/helper:{path}"));
    registry.import(APP, 1000);
    for config in
        [r#"{"credsStore": "test"}"#, r#"{"credsStore": "none", "credHelpers": {"localhost:5443": "test"}}"#]
    {
        fs::write(registry.path("docker/config.json"), config).expect("the folder is there");
        registry.login("password").ok();
        let config = fs::read_to_string(registry.path("docker/config.json")).expect("made above");
        assert!(!config.contains("auth"), "the helper has it: {config}");
        registry.hoist(&["image", "push", APP]).ok();
        registry.hoist(&["logout", NAME]).ok();
        let refused = registry.hoist(&["image", "push", APP]).ended_with(1);
        assert!(refused.stderr.contains("wants a login"), "{refused}");
    }
}
