//! Revisions: history tells what was brought up and how it ended, and a rollback brings all of it back, without the files,
//! without a registry, and without a lost request.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hoist_tests::{Host, Outcome, SOON, Stack, eventually};
use serde_json::Value;

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");

/// A copy of this folder on a host, whose files are changed and then removed.
struct Sources<'h> {
    host: &'h Host,
    folder: PathBuf,
}

impl<'h> Sources<'h> {
    fn new(host: &'h Host, name: &str) -> Self {
        let folder = host.folder().join("sources");
        fs::create_dir(&folder).expect("a folder can be made");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("revisions").join(name);
        fs::copy(file, folder.join("stack.yaml")).expect("the file can be copied");
        Self { host, folder }
    }

    fn stack(&self) -> Stack<'h> {
        self.host.stack_named(&self.folder.join("stack.yaml").display().to_string())
    }

    /// As editors do: another file takes the place of the one that was there.
    fn put(&self, name: &str, text: &str) {
        let beside = self.folder.join("beside");
        fs::write(&beside, text).expect("a file can be written");
        fs::rename(&beside, self.folder.join(name)).expect("it can be renamed");
    }

    fn write(&self, page: &str, key: &str) {
        fs::write(self.folder.join("page.html"), page).expect("a file can be written");
        fs::write(self.folder.join("key.txt"), key).expect("a file can be written");
    }

    /// An image of this content by the name that the stack uses: an older one of that name loses it.
    fn image(&self, release: &str) {
        let at = self.folder.display();
        self.host
            .shell(&format!(
                "set -e; rm -rf {at}/tree; mkdir -p {at}/tree/bin {at}/tree/www; cp $(command -v busybox) {at}/tree/bin/
                 echo {release} > {at}/tree/release; tar -C {at}/tree -cf {at}/tree.tar ."
            ))
            .ok();
        self.host.hoist(&["image", "import", &format!("{at}/tree.tar"), "app:1"]).ok();
    }
}

/// What runs now: page, key and release.
fn there(host: &Host, stack: &Stack<'_>) -> [String; 3] {
    let read = |path: &str| {
        let words = ["exec", "-T", "web", "/bin/busybox", "cat", path];
        stack.by_name("revisions", &words).success().text().to_owned()
    };
    [host.answer_from_outside(8091).trim().to_owned(), read("/run/secrets/key"), read("/release")]
}

fn history(stack: &Stack<'_>) -> Vec<Value> {
    let outcome = stack.by_name("revisions", &["history", "--format", "json"]).success();
    outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("history prints JSON")).collect()
}

fn field<'v>(rows: &'v [Value], key: &str) -> Vec<&'v Value> {
    rows.iter().map(|row| &row[key]).collect()
}

/// A client that opens a connection for each request, until the file `stop` is there.
fn load(host: &Host, stop: &Path) -> hoist_tests::Running {
    let mut command = Command::new("perl");
    command.arg(format!("{PROGRAMS}/load.pl")).args(["new", "127.0.0.1", "8091"]).arg(stop);
    command.stdin(Stdio::null());
    host.start(command)
}

fn none_failed(outcome: &Outcome) {
    let last = outcome.text().lines().last().unwrap_or_default();
    let failed = last.split(", ").find_map(|part| part.strip_prefix("failed "));
    assert_eq!(failed.map(str::trim), Some("0"), "{outcome}");
}

#[test]
fn a_rollback_brings_back_file_contents_and_image_without_a_lost_request() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let sources = Sources::new(&host, "stack.yaml");
    let stack = sources.stack();
    sources.image("first");
    sources.write("one", "key-one");
    stack.up(&[]).ok();
    assert_eq!(there(&host, &stack), ["one", "key-one", "first"]);
    sources.image("second");
    sources.write("two", "key-two");
    stack.up(&[]).ok();
    stack.with("VERSION", "3").up(&[]).ok();
    assert_eq!(there(&host, &stack), ["two", "key-two", "second"]);

    let rows = history(&stack);
    assert_eq!(field(&rows, "revision"), [3, 2, 1]);
    assert_eq!(field(&rows, "verdict"), ["succeeded"; 3]);
    assert_eq!(rows[0]["changes"][0], "web: environment");
    assert_eq!(rows[1]["changes"][0], "web: configs, image, secrets");
    assert_eq!(rows[2]["changes"][0], "+web");
    let told = stack.by_name("revisions", &["diff", "1", "3"]).success().stdout;
    assert!(told.contains("services.web.environment.VERSION: 1 => 3"), "{told}");
    assert!(told.contains("services.web.secrets./run/secrets/key: *** => ***"), "{told}");
    assert!(!told.contains("key-"), "{told}");

    fs::remove_file(sources.folder.join("key.txt")).expect("a file can be removed");
    let unnamed = stack.hoist(&["rollback"]).ended_with(2);
    assert!(unnamed.stderr.contains("key.txt") && unnamed.stderr.contains("-p NAME"), "{unnamed}");
    fs::remove_dir_all(&sources.folder).expect("the files can be removed");
    host.hoist(&["image", "prune", "--all", "--force"]).ok();
    let foreseen = stack.by_name("revisions", &["rollback", "1", "--dry-run"]).success();
    assert!(foreseen.stdout.contains("revision 1") && foreseen.stdout.contains("web: "), "{foreseen}");
    assert_eq!(history(&stack).len(), 3, "a dry run changes nothing");
    let stop = host.folder().join("stop");
    let client = load(&host, &stop);
    stack.by_name("revisions", &["rollback", "1"]).ok();
    assert_eq!(there(&host, &stack), ["one", "key-one", "first"]);
    fs::write(&stop, "").expect("a file can be written");
    none_failed(&client.finish(SOON));

    let rows = history(&stack);
    assert_eq!((&rows[0]["command"], &rows[0]["goes_back_to"]), (&"rollback 1".into(), &1.into()));
    let missing = stack.by_name("revisions", &["rollback", "9"]).ended_with(1);
    assert!(
        missing.stderr.contains("has no revision 9") && missing.stderr.contains("1, 2, 3, 4"),
        "{missing}"
    );
    stack.by_name("revisions", &["down"]).ok();
}

#[test]
fn history_says_why_a_revision_failed_and_the_default_goes_back_before_it() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let sources = Sources::new(&host, "stack.yaml");
    let stack = sources.stack();
    sources.image("first");
    sources.write("one", "key-one");
    stack.up(&[]).ok();
    let refused = stack.with("PROGRAM", "false").hoist(&["up", "-d"]).ended_with(1);
    assert!(refused.stderr.contains("web-1"), "{refused}");
    let rows = history(&stack);
    let failed = rows.iter().find(|row| row["revision"] == 2).expect("it is told of");
    assert!(["failed", "rolled-back"].contains(&failed["verdict"].as_str().unwrap_or_default()), "{failed}");
    assert!(failed["reason"].as_str().is_some_and(|why| why.contains("web-1")), "{failed}");
    if failed["verdict"] == "failed" {
        stack.by_name("revisions", &["rollback"]).ok();
    }
    let rows = history(&stack);
    assert_eq!(field(&rows, "goes_back_to")[0], 1);
    let failed = rows.iter().find(|row| row["revision"] == 2).expect("it is told of");
    assert_eq!((&failed["verdict"], &failed["rolled_back_to"]), (&"rolled-back".into(), &1.into()));
    assert_eq!(host.answer_from_outside(8091).trim(), "one");
    for _ in 0..2 {
        let _ = stack.with("TAG", "missing").hoist(&["up", "-d"]).ended_with(1);
    }
    let after = history(&stack);
    assert_eq!(after.len(), rows.len() + 1, "the same again is told of once");
    assert_eq!((&after[0]["verdict"], &after[0]["kept"]), (&"failed".into(), &false.into()));
    assert!(after[0]["reason"].as_str().is_some_and(|why| why.contains("app:missing")), "{}", after[0]);
    stack.down().ok();
}

#[test]
fn other_content_makes_anew_or_is_put_in_place_with_a_signal_or_waits() {
    let Some(host) = Host::new() else { return };
    let sources = Sources::new(&host, "contents.yaml");
    let stack = sources.stack();
    let write = |text: &str| {
        sources.put("one.txt", &format!("one-{text}"));
        sources.put("two.txt", &format!("two-{text}"));
    };
    let ids = || ["told", "left", "anew"].map(|service| stack.instance(service).id);
    let read = |service: &str| {
        stack.hoist(&["exec", "-T", service, "cat", "/etc/one", "/etc/two"]).success().text().to_owned()
    };
    write("a");
    stack.up(&[]).ok();
    ["told", "left", "anew"].iter().for_each(|service| {
        eventually("the program traps the signal", SOON, || stack.logs(service).contains("ready"));
    });
    let before = ids();
    stack.up(&[]).ok();
    assert_eq!(ids(), before, "nothing has changed");
    write("b");
    stack.up(&[]).ok();
    eventually("the program was told", SOON, || stack.logs("told").contains("got one-b two-b"));
    stack.wait_for_drains();
    let after = ids();
    assert_eq!((&after[0], &after[1]), (&before[0], &before[1]));
    assert_ne!(after[2], before[2]);
    assert_eq!(["told", "left", "anew"].map(read), ["one-btwo-b", "one-atwo-a", "one-btwo-b"]);
    write("c");
    stack.up(&[]).ok();
    eventually("it was told again", SOON, || stack.logs("told").contains("got one-c two-c"));
    stack.hoist(&["restart", "left"]).ok();
    assert_eq!(read("left"), "one-ctwo-c");
    assert_eq!(stack.logs("told").matches("got").count(), 2, "it is told once for each change");
    stack.down().ok();
}
