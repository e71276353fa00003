//! `config --resolve-image-digests` and `--lock-image-digests`: registries say what their tags stand for now.

use std::fs;

use hoist_tests::{Host, Stack};

use super::APP;
use super::registry::{NAME, PROGRAMS, Registry};

const PINNED: &str =
    "localhost:5443/team/app@sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// A stack of its own in the registry's host; `DOCKER_CONFIG` is the registry's user's.
fn stack<'h>(host: &'h Host, registry: &Registry<'h>, text: &str) -> Stack<'h> {
    let file = host.folder().join("pins.yaml");
    fs::write(&file, text).expect("the folder is there");
    let config = registry.path("docker").display().to_string();
    host.stack(file.to_str().expect("made here")).with("DOCKER_CONFIG", &config)
}

#[test]
fn config_gives_images_the_digests_that_their_registry_has() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let mut registry = Registry::start(&host);
    registry.import(APP, 1000);
    registry.login("password").ok();
    let pushed = registry.hoist(&["image", "push", APP]).success();
    let digest = pushed.text().split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest");
    registry.hoist(&["image", "rm", APP]).ok();
    let text = format!(
        "name: pins\nservices:\n  web: {{image: '{APP}', command: [a]}}\n  twin: {{image: '{APP}'}}\n  pinned: {{image: '{PINNED}'}}\n  built: {{build: /srv}}\n"
    );
    let stack = stack(&host, &registry, &text);

    let whole = stack.hoist(&["config", "--resolve-image-digests"]).success().stdout;
    assert_eq!(whole.matches(&format!("image: {APP}@{digest}\n")).count(), 2, "{whole}");
    assert!(whole.contains(&format!("image: {PINNED}\n")) && whole.contains("context: /srv"), "{whole}");
    let locked = stack.hoist(&["config", "--lock-image-digests"]).success().stdout;
    let lines = [
        "services:".to_owned(),
        format!("  pinned:\n    image: {PINNED}"),
        format!("  twin:\n    image: {APP}@{digest}"),
        format!("  web:\n    image: {APP}@{digest}\n"),
    ];
    assert_eq!(locked, lines.join("\n"));
    assert_eq!(registry.hoist(&["image", "ls", "-aq"]).success().text(), "", "nothing was fetched");

    let lock = registry.path("lock.yaml");
    fs::write(&lock, &locked).expect("the folder is there");
    let lock = lock.display().to_string();
    let over = stack.hoist(&["-f", &lock, "config", "--images"]).success().stdout;
    assert!(over.contains(&format!("{APP}@{digest}\n")) && !over.contains(&format!("{APP}\n")), "{over}");

    registry.hoist(&["logout", NAME]).ok();
    let refused = stack.hoist(&["config", "--lock-image-digests"]).ended_with(1);
    assert!(refused.stderr.contains("hoist login localhost:5443") && refused.stdout.is_empty(), "{refused}");
    registry.stop();
    let gone = stack.hoist(&["config", "--resolve-image-digests"]).ended_with(1);
    assert!(gone.stderr.contains("services.twin.image: image localhost:5443/team/app:1"), "{gone}");
    assert!(gone.stderr.contains("can't be reached"), "{gone}");
}

#[test]
fn a_tag_that_no_registry_knows_pins_nothing() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let registry = Registry::start(&host);
    registry.login("password").ok();
    let stack =
        stack(&host, &registry, "name: pins\nservices: {web: {image: 'localhost:5443/none:${TAG:-1}'}}\n");
    let unknown = stack.hoist(&["config", "--lock-image-digests"]).ended_with(1);
    assert!(unknown.stderr.contains("services.web.image: image localhost:5443/none:1"), "{unknown}");
    assert!(unknown.stderr.contains("has no localhost:5443/none:1"), "{unknown}");
    assert!(unknown.stderr.contains("check the name and the tag"), "{unknown}");
    let template = stack.hoist(&["config", "--no-interpolate", "--resolve-image-digests"]).ended_with(2);
    assert!(template.stderr.contains("${TAG:-1} has variables"), "{template}");
}
