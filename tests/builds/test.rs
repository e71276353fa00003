//! Images that a stack file says how to make: built by `up` where they are missing and by `build`, one on another, from
//! several folders, with secrets that stay out of them; what did not change is not done again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod again;
mod downloads;
mod flags;
mod interrupted;
mod live;
#[expect(dead_code, reason = "the tests of images stop it")]
#[path = "../images/registry.rs"]
mod registry;
mod repositories;
mod server;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hoist_tests::{Host, SOON, Stack, eventually};

/// The scenario's folder, copied to where it can be changed, with the one program that its images need.
fn project(host: &Host, name: &str) -> (PathBuf, tempfile::TempDir) {
    let _ = host;
    let folder = tempfile::TempDir::with_prefix(format!("hoist-{name}-")).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("builds/.");
    let copied = Command::new("cp").arg("-R").arg(from).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    fs::copy("/bin/busybox", folder.path().join("web/busybox")).unwrap();
    (folder.path().to_owned(), folder)
}

fn said(stack: &Stack<'_>, service: &str, text: &str) {
    eventually("the service has said it", SOON, || stack.logs(service) == text);
}

#[test]
fn up_builds_what_is_missing_and_nothing_twice() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = project(&host, "builds");
    let stack = host.stack(folder.to_str().unwrap());
    let up = stack.up(&[]);
    assert!(up.stderr.contains("built builds-web:latest: "), "{up}");
    said(&stack, "web", "hello\nmore\nDockerfile\nbusybox\npage\n");
    said(&stack, "job", "600 7:8\n");
    let before = stack.instance("web").id;

    let again = stack.up(&[]);
    assert!(!again.stderr.contains("built "), "what is here is not built: {again}");
    fs::rename(folder.join("web"), folder.join("away")).unwrap();
    stack.up(&[]);
    let refused = stack.hoist(&["up", "--detach", "--build"]);
    assert!(refused.code == 2 && refused.stderr.contains("web is not a folder"), "{refused}");
    fs::rename(folder.join("away"), folder.join("web")).unwrap();
    let rebuilt = stack.up(&["--build"]);
    assert!(rebuilt.stderr.contains("built builds-web:latest, all cached"), "{rebuilt}");
    assert!(rebuilt.stderr.contains("built builds/job:1, all cached"), "{rebuilt}");
    assert_eq!(stack.instance("web").id, before, "the same image replaces nothing");

    fs::write(folder.join("web/page"), "another\n").unwrap();
    fs::write(folder.join("web/new"), "").unwrap();
    let changed = stack.up(&["--build"]);
    assert!(changed.stderr.contains("built builds-web:latest: 6 steps, 5 cached"), "{changed}");
    said(&stack, "web", "hello\nmore\nDockerfile\nbusybox\nnew\npage\n");
    assert_ne!(stack.instance("web").id, before);
    stack.down();

    let grep = Command::new("grep").args(["-rl", "s3cr3t-v4lue"]).arg(stack.root()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&grep.stdout), "", "a secret is in no file below the root");
}

/// Services of one Dockerfile, as of a program that is run in several ways.
const ALIKE: &str = r#"
x-build: &build
  context: web
  dockerfile_inline: |
    FROM scratch
    COPY busybox /bin/busybox
    RUN --mount=type=cache,target=/cache ["/bin/busybox", "sh", "-c", "echo x >> /cache/runs; busybox sleep 1"]
    RUN --mount=type=cache,target=/cache ["/bin/busybox", "sh", "-c", "echo runs: $(busybox wc -l < /cache/runs)"]
services:
  one: { build: *build }
  two: { build: *build }
  three: { build: *build }
"#;

#[test]
fn services_of_one_dockerfile_do_each_step_once() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = project(&host, "alike");
    fs::write(folder.join("stack.yaml"), ALIKE).unwrap();
    let stack = host.stack(folder.to_str().unwrap());
    let built = stack.hoist(&["build"]).success();
    assert_eq!(built.stderr.matches("| runs: ").count(), 1, "{built}");
    assert!(built.stderr.contains("| runs: 1\n"), "{built}");
    assert_eq!(
        built.stderr.matches("3 steps, ").count() + built.stderr.matches("all cached").count(),
        3,
        "{built}"
    );
}

#[test]
fn build_says_what_it_does_and_why_it_does_not() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = project(&host, "build");
    let stack = host.stack(folder.to_str().unwrap());
    let built = stack.hoist(&["build", "--build-arg", "GREETING=hi", "web"]).success();
    assert!(built.stderr.contains("[final 2/4] RUN --mount=type=bind"), "{built}");
    assert!(built.stderr.contains(" | 1\n"), "what the command wrote is shown: {built}");
    let quiet = stack.hoist(&["build", "-q", "web"]).success();
    assert!(quiet.stdout.starts_with("sha256:") && quiet.stderr.is_empty(), "{quiet}");
    let anew = stack.hoist(&["build", "--no-cache", "web"]).success();
    assert!(
        anew.stderr.contains(" | 2\n") || anew.stderr.contains(" | 3\n"),
        "cache mounts outlive builds: {anew}"
    );

    fs::write(folder.join("web/Dockerfile"), "FROM scratch AS final\nCOPY nothing /\n").unwrap();
    let missing = stack.hoist(&["build", "--build-arg", "A=1", "web"]);
    assert_eq!(missing.code, 1, "{missing}");
    assert!(missing.stderr.contains("service web can't be built: Dockerfile: line 2: "), "{missing}");
    fs::write(folder.join("web/Dockerfile"), "FORM scratch\n").unwrap();
    let misspelt = stack.hoist(&["build", "web"]);
    assert!(misspelt.stderr.contains("Dockerfile: line 1"), "{misspelt}");
    fs::write(
        folder.join("web/Dockerfile"),
        "FROM scratch AS final\nCOPY busybox /sh\nRUN [\"/sh\", \"-c\", \"echo oh no; exit 7\"]\n",
    )
    .unwrap();
    let failed = stack.hoist(&["build", "web"]);
    assert!(failed.stderr.contains("oh no") && failed.stderr.contains("status 7"), "{failed}");
}

#[test]
fn plain_output_names_a_step_once_however_much_it_writes() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = project(&host, "once");
    let stack = host.stack(folder.to_str().unwrap());
    let script = "for n in $(/busybox seq 200); do echo $n; done; : a long instruction";
    let file = format!(
        "FROM scratch AS final\nCOPY busybox /busybox\nRUN [\"/busybox\", \"sh\", \"-c\", \"{script}\"]\n"
    );
    fs::write(folder.join("web/Dockerfile"), file).unwrap();
    let built = stack.hoist(&["build", "web"]).success();
    assert_eq!(built.stderr.matches("a long instruction").count(), 1, "{built}");
    let said = built.stderr.lines().filter(|line| line.contains("#2 | "));
    let numbers: Vec<&str> = said.filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(numbers, (1..=200).map(|n| n.to_string()).collect::<Vec<_>>(), "each line with its number");
    assert!(built.stderr.lines().any(|line| line.contains("#2 done in")), "{built}");
}

#[test]
fn what_builds_leave_is_shown_and_pruned_and_what_images_have_stays() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = project(&host, "builds");
    let stack = host.stack(folder.to_str().unwrap());
    let build = || stack.hoist(&["build", "web"]).success();
    let cache = || {
        let listed = stack.hoist(&["system", "df", "--format", "json"]).success();
        let row = listed.stdout.lines().find(|line| line.contains("Build Cache")).unwrap().to_owned();
        let row: serde_json::Value = serde_json::from_str(&row).unwrap();
        ["TotalCount", "Active"].map(|key| row[key].as_str().unwrap().parse::<u64>().unwrap())
    };
    let prune = |words: &[&str]| {
        let pruned = stack.hoist(&[&["system", "prune", "-f"], words].concat()).success();
        pruned
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("Deleted build cache objects: ")?.parse().ok())
    };
    build();
    let [before, shared] = cache();
    assert!(shared > 2 && before > shared, "cache mounts and other stages are no image's");
    fs::write(folder.join("web/page"), "another\n").unwrap();
    build();
    let [more, active] = cache();
    assert!(more > before, "the former layer is still there");
    assert_eq!(prune(&["--filter", "until=1h"]), None, "all of it was used just now");
    assert!(prune(&[]) > Some(0_u64));
    assert_eq!(cache(), [more - 1, active - 1], "the former image's own layer; what the other has is of use");
    assert!(build().stderr.contains("cached"));
    assert!(prune(&["-a"]) > Some(0_u64));
    assert_eq!(cache(), [0, 0]);
    let anew = build();
    assert!(anew.stderr.contains("6 steps, 0 cached") && anew.stderr.contains(" | 1\n"), "{anew}");
}
