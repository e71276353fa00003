//! `hoist build` by its flags.

use std::fs;

use hoist_tests::Host;
use serde_json::Value;

use super::registry::{NAME, PROGRAMS, Registry};

#[test]
fn check_says_what_is_odd_and_changes_nothing() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "check");
    let text = "name: n\nservices:\n  web:\n    build: { context: web }\n";
    fs::write(folder.join("stack.yaml"), text).unwrap();
    let stack = host.stack(folder.to_str().unwrap());
    let check = |dockerfile: &str| {
        fs::write(folder.join("web/Dockerfile"), dockerfile).unwrap();
        stack.hoist(&["build", "--check"])
    };
    let fine = check("FROM scratch\nCOPY busybox /\n").success();
    assert!(fine.stderr.contains("web: no problems found"), "{fine}");
    let odd = check("FROM scratch\nENV PASSWORD=x\nCOPY $nothing/busybox /\n").ended_with(1);
    assert!(odd.stderr.contains("warning: web: Dockerfile: line 2: "), "{odd}");
    assert!(odd.stderr.contains("(SecretsUsedInArgOrEnv)") && odd.stderr.contains("(UndefinedVar)"), "{odd}");
    let wrong = check("FROM scratch\nCOPI busybox /\n").ended_with(1);
    assert!(wrong.stderr.contains("error: web: Dockerfile: line 2"), "{wrong}");
    let elsewhere = check("FROM nowhere.invalid/base:1\nCOPY $of_the_base/busybox /\n").success();
    assert!(elsewhere.stderr.contains("nowhere.invalid/base:1"), "{elsewhere}");
    assert_eq!(stack.hoist(&["image", "ls", "-aq"]).success().text(), "", "nothing was built");
}

#[test]
fn print_shows_the_builds_for_bake() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "print");
    let stack = host.stack(folder.to_str().unwrap());
    let printed = stack.hoist(&["build", "--print", "--build-arg", "GREETING=hi", "--no-cache"]).success();
    let bake: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(bake["group"]["default"]["targets"], serde_json::json!(["job", "web"]));
    let web = &bake["target"]["web"];
    assert_eq!(web["context"], folder.join("web").to_str().unwrap());
    assert_eq!(web["args"]["GREETING"], "hi");
    assert_eq!((&web["target"], &web["no-cache"]), (&Value::from("final"), &Value::from(true)));
    assert_eq!(web["tags"], serde_json::json!(["builds-web"]));
    let secret = format!("id=token,type=file,src={}", folder.join("token").display());
    assert_eq!(web["secret"], serde_json::json!([secret]));
    assert_eq!(bake["target"]["job"]["contexts"]["base"], "target:web");
    assert!(!printed.stdout.contains("s3cr3t"), "{printed}");
    assert_eq!(stack.hoist(&["image", "ls", "-aq"]).success().text(), "", "nothing was built");
}

#[test]
fn memory_is_limited_and_what_has_no_effect_is_told() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "memory");
    let stack = host.stack(folder.to_str().unwrap());
    fs::write(
        folder.join("web/Dockerfile"),
        "FROM scratch AS final\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"busybox cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; busybox true\"]\n",
    )
    .unwrap();
    let built = stack
        .hoist(&["build", "-m", "64m", "--builder", "other", "--provenance", "true", "--sbom=false", "web"])
        .success();
    assert!(built.stderr.contains("| 67108864\n"), "{built}");
    assert!(built.stderr.contains("warning: --builder has no effect"), "{built}");
    assert!(built.stderr.contains("warning: --provenance has no effect"), "{built}");
    assert!(!built.stderr.contains("--sbom"), "{built}");
    let wrong = stack.hoist(&["build", "-m", "much", "web"]).ended_with(2);
    assert!(wrong.stderr.contains("is not a size"), "{wrong}");
}

#[test]
fn no_cache_filter_does_the_steps_of_a_stage_again() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "filter");
    let text = "name: n\nservices:\n  web:\n    build: { context: web, no_cache_filter: [second, third] }\n";
    fs::write(folder.join("stack.yaml"), text).unwrap();
    fs::write(
        folder.join("web/Dockerfile"),
        "FROM scratch AS first\nCOPY busybox /bin/busybox\nFROM first AS second\nRUN [\"/bin/busybox\", \"true\"]\n",
    )
    .unwrap();
    let stack = host.stack(folder.to_str().unwrap());
    stack.hoist(&["build"]).ok();
    let again = stack.hoist(&["build"]).success();
    assert!(again.stderr.contains("2 steps, 1 cached"), "{again}");
    assert!(again.stderr.contains("has no stage third"), "{again}");
}

#[test]
fn an_image_is_pushed_and_a_new_base_is_pulled_where_that_is_asked() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let registry = Registry::start(&host);
    registry.login("password").ok();
    let base = format!("{NAME}/team/base:1");
    registry.import(&base, 1000);
    registry.hoist(&["image", "push", &base]).ok();
    let (folder, _kept) = super::project(&host, "push");
    let text = format!(
        "name: n\nservices:\n  web:\n    image: {NAME}/team/built:1\n    build:\n      context: web\n      tags: [\"{NAME}/team/built:2\"]\n      dockerfile_inline: |\n        FROM {base}\n        RUN [\"/bin/busybox\", \"touch\", \"/made\"]\n  job: {{ build: {{ context: web, additional_contexts: {{ other: \"docker-image://{base}\" }}, dockerfile_inline: \"FROM other\" }} }}\n"
    );
    fs::write(folder.join("stack.yaml"), text).unwrap();
    let docker = host.folder().join("docker").display().to_string();
    let stack = host.stack(folder.to_str().unwrap()).with("DOCKER_CONFIG", &docker);
    let built = stack.hoist(&["build", "--push"]).success();
    assert!(built.stderr.contains("job is not pushed: it has no `image`"), "{built}");
    let pushed = stack.hoist(&["push"]).success();
    assert!(pushed.stderr.contains("job skipped: it has no `image`"), "{pushed}");
    registry.skopeo("team/built:1", "one").ok();
    registry.skopeo("team/built:2", "two").ok();

    // Somebody else pushes another base.
    let other = registry.stack.in_root("other");
    host.shell(&format!("cd {}; mkdir -p other; cp root/registries.yaml other/", host.folder().display()))
        .ok();
    let tree = host.folder().join("tree.tar").display().to_string();
    host.shell(&format!(
        "cd {at}; head -c 2000 /dev/urandom > tree/ballast; tar -C tree -cf tree.tar .",
        at = host.folder().display()
    ))
    .ok();
    other.hoist(&["image", "import", &tree, &base]).ok();
    other.hoist(&["image", "push", &base]).ok();

    let here = stack.hoist(&["build", "web"]).success();
    assert!(here.stderr.contains("all cached"), "the base that is here is as good: {here}");
    let pulled = stack.hoist(&["build", "--pull", "web"]).success();
    assert!(pulled.stderr.contains("1 steps, 0 cached"), "{pulled}");
}
