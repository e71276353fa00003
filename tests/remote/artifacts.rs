//! Stack files that are artifacts of a registry, as `docker compose publish` writes them.

use hoist_tests::{Host, SOON, eventually};

use crate::site::{PROGRAMS, REGISTRY, Site};

const PROJECT: &str = "application/vnd.docker.compose.project";

/// A stack with a file to extend, variables of its own, and an override.
fn publish(site: &Site<'_>, name: &str, kind: &str) -> String {
    let main = "name: published\nservices:\n  web:\n    extends: { file: abc.yaml, service: base }\n    \
                env_file: def.env\n    command: [sh, -c, 'echo $$FROM $$MODE; exec sleep 100000']\n";
    let base = "services: { base: { x-hoist: { rootfs: / }, stop_grace_period: 1s, init: true } }\n";
    let over = "services: { web: { environment: { MODE: override } } }\n";
    let layers = [
        format!("file:compose.yaml={}", site.write("main.yaml", main)),
        format!("extends:abc.yaml={}", site.write("base.yaml", base)),
        format!("envfile:def.env={}", site.write("def", "FROM=registry\n")),
        format!("file:over.yaml={}", site.write("over.yaml", over)),
    ];
    site.publish(name, kind, &layers.each_ref().map(String::as_str))
}

#[test]
fn a_stack_of_a_registry_comes_up_and_its_digest_needs_no_registry_then() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let mut site = Site::start(&host);
    site.serve_registry();
    let digest = publish(&site, "team/stack:1", PROJECT);
    let stack = site.stack(&format!("oci://{REGISTRY}/team/stack:1"));
    stack.up(&[]);
    eventually("web has its variables", SOON, || stack.logs("web") == "registry override\n");
    stack.down();
    assert_eq!(site.cached("oci"), [digest["sha256:".len()..].to_owned()]);

    let old = publish(&site, "team/old:1", "1.0");
    assert_eq!(site.services(&format!("oci://{REGISTRY}/team/old:1")).success().text(), "web");
    let own = site.write(
        "stack.yaml",
        &format!(
            "include: ['oci://{REGISTRY}/team/stack:1']\nservices:\n  own:\n    extends: {{ file: \
             'oci://{REGISTRY}/team/old@{old}', service: web }}\n"
        ),
    );
    assert_eq!(site.services(&own).success().text(), "own\nweb");
    let commands: Vec<_> = (0..8).map(|_| site.stack(&own).start(&["config", "--services"])).collect();
    commands.into_iter().for_each(|command| drop(command.finish(SOON).success()));

    site.stop_registry();
    assert_eq!(site.services(&format!("oci://{REGISTRY}/team/stack@{digest}")).success().text(), "web");
    site.refused(&format!("oci://{REGISTRY}/team/stack:1"), "can't be reached");
}

#[test]
fn what_is_no_stack_is_refused() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let mut site = Site::start(&host);
    site.serve_registry();
    let file = format!("file:compose.yaml={}", site.write("main.yaml", "services: { a: { image: x } }"));
    site.publish("team/other:1", "application/x.other", &[&file]);
    site.refused(&format!("oci://{REGISTRY}/team/other:1"), "application/x.other");
    let out = format!("envfile:../../x.env={}", site.write("out", "A=1"));
    site.publish("team/out:1", PROJECT, &[&file, &out]);
    site.refused(&format!("oci://{REGISTRY}/team/out:1"), "has a file \"../../x.env\"");
    site.publish("team/empty:1", PROJECT, &[]);
    site.refused(&format!("oci://{REGISTRY}/team/empty:1"), "has no stack file in it");
    site.refused(&format!("oci://{REGISTRY}/team/none:1"), "team/none:1");
    site.refused("oci://-x", "it names no host");
    assert!(site.cached("oci").is_empty());
}
