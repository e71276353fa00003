//! Graphs are performed as they say, and what is done once is not done again.

#![allow(clippy::unwrap_used, reason = "test set-up")]

#[path = "support/runner.rs"]
mod runner;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use hoist_image::builder::Ignore;
use hoist_image::builder::context::Local;
use hoist_image::builder::exchange::Caches;
use hoist_image::builder::execute::{
    Build, BuildError, BuildEvent, BuildProgress, Built, ContextSource, Options,
};
use hoist_image::builder::graph::{
    Action, Copy, Graph, History, Mount, MountKind, Network, Run, Security, Sharing, Source, Step, StepId,
    Tree,
};
use hoist_image::{Digest, Image, Store};
use hoist_model::RunSettings;
use support::{chain, have, sh, tree};

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    options: Options,
    ignore: String,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        fs::create_dir(dir.path().join("context")).unwrap();
        Self { dir, store, options: Options::default(), ignore: String::new() }
    }

    fn context(&self) -> PathBuf {
        self.dir.path().join("context")
    }

    /// Runs a script in the context's folder.
    fn set(&self, script: &str) {
        sh(&format!("cd {} && umask 022 && {script}", self.context().display()));
    }

    fn build(&self, steps: Vec<Step>) -> Result<(Built, String), BuildError> {
        let events = Events::default();
        let built = self.build_told(steps, &events)?;
        Ok((built, String::from_utf8(events.0.into_inner().unwrap()).unwrap()))
    }

    fn build_told(&self, steps: Vec<Step>, progress: &dyn BuildProgress) -> Result<Built, BuildError> {
        let ignore = Ignore::parse(&self.ignore).unwrap();
        let context = ContextSource { folder: Box::new(Local(self.context())), ignore };
        let contexts = BTreeMap::from([(String::new(), context)]);
        let (secrets, ssh) =
            (BTreeMap::from([("key".to_owned(), b"s3cr3t-value".to_vec())]), BTreeMap::new());
        let build = Build {
            store: &self.store,
            runner: &runner::Chroot,
            contexts: &contexts,
            secrets: &secrets,
            ssh: &ssh,
            options: &self.options,
            caches: &Caches::default(),
            progress,
        };
        build.perform(&graph(steps))
    }

    fn image(&self, steps: Vec<Step>) -> Image {
        let (built, _) = self.build(steps).unwrap();
        self.store.image_by_id(built.id).unwrap().unwrap()
    }

    fn refusal(&self, steps: Vec<Step>) -> String {
        chain(&self.build(steps).unwrap_err())
    }

    /// The image's merged tree, without times.
    fn tree(&self, image: &Image) -> String {
        let into = self.dir.path().join("merged");
        let _ = fs::remove_dir_all(&into);
        let lower: Vec<_> = image.layers.iter().map(|layer| layer.display().to_string()).collect();
        let (mnt, out, none) = (into.join("mnt"), into.join("out"), into.join("none"));
        sh(&format!(
            "mkdir -p {mnt} {out} {none}; unshare -m sh -euc 'mount -t overlay overlay -o lowerdir={}:{none} {mnt}
             cp -a {mnt}/. {out}; chmod --reference={mnt} {out}'",
            lower.join(":"),
            mnt = mnt.display(),
            out = out.display(),
            none = none.display(),
        ));
        let plain = |line: &str| {
            let mut words: Vec<&str> = line.split(' ').collect();
            words.remove(3);
            words.join(" ")
        };
        tree(&out).lines().filter(|line| !line.contains("/bin")).map(|line| plain(line) + "\n").collect()
    }
}

/// Cancels the build once a file below the store's `tmp` is so long.
struct CancelAt<'a> {
    store: &'a Store,
    /// Where the file is below an entry of a session's folder; empty for the entry itself.
    file: &'static str,
    cancelled: AtomicBool,
}

impl BuildProgress for CancelAt<'_> {
    fn event(&self, _: BuildEvent<'_>) {}

    fn is_cancelled(&self) -> bool {
        let inside =
            |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let sessions = inside(&self.store.root().join("tmp"));
        let is_long = |path: PathBuf| {
            fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() > 1 << 20)
        };
        let mut entries = sessions.flat_map(|session| inside(&session).collect::<Vec<_>>());
        let mut long =
            || entries.any(|entry| is_long(if self.file.is_empty() { entry } else { entry.join(self.file) }));
        let cancelled = self.cancelled.load(Ordering::Relaxed) || long();
        self.cancelled.store(cancelled, Ordering::Relaxed);
        cancelled
    }
}

#[derive(Default)]
struct Events(Mutex<Vec<u8>>);

impl BuildProgress for Events {
    fn event(&self, event: BuildEvent<'_>) {
        if let BuildEvent::Output(_, bytes) = event {
            self.0.lock().unwrap().extend_from_slice(bytes);
        }
    }
}

fn graph(steps: Vec<Step>) -> Graph {
    let history =
        (0..steps.len()).map(|at| History { created_by: format!("step {at}"), step: Some(StepId(at)) });
    let config = serde_json::json!({ "architecture": "amd64", "os": "linux", "config": { "Env": ["A=b"] } });
    let serde_json::Value::Object(config) = config else { unreachable!() };
    Graph { target: Tree::Step(StepId(steps.len() - 1)), config, history: history.collect(), steps }
}

fn step(base: Tree, action: Action) -> Step {
    Step { title: "a step".to_owned(), base, action, line: 7 }
}

fn after(at: usize) -> Tree {
    Tree::Step(StepId(at))
}

fn files(path: &str) -> Source {
    Source::Files { from: Tree::Context(String::new()), path: path.to_owned(), unpack: false }
}

fn copy(sources: Vec<Source>, destination: &str) -> Copy {
    Copy {
        sources,
        destination: destination.to_owned(),
        owner: None,
        mode: None,
        link: false,
        parents: false,
        exclude: Vec::new(),
    }
}

fn run(command: &str) -> Run {
    Run {
        command: ["/bin/sh", "-euc", command].map(str::to_owned).to_vec(),
        environment: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
        hidden_environment: BTreeMap::new(),
        user: None,
        working_dir: "/".to_owned(),
        mounts: Vec::new(),
        network: Network::None,
        files: BTreeMap::new(),
        security: Security::Sandbox,
        settings: RunSettings::default(),
    }
}

/// A step that gives its image busybox.
fn busybox(bench: &Bench) -> Step {
    bench.set("mkdir -p bb/bin; cp /bin/busybox bb/bin/; for i in sh mkdir cat date ls touch rm mv ln chmod; do ln -sf busybox bb/bin/$i; done");
    step(Tree::Empty, Action::Copy(copy(vec![files("bb")], "/")))
}

#[test]
fn copies_land_where_buildkits_do() {
    let bench = Bench::new();
    bench.set("mkdir -p d/sub; echo a > a.txt; echo b > b.txt; echo c > d/c; echo s > d/sub/s; chmod 700 d/sub; ln -s c d/link; ln -s a.txt top; chmod 4755 b.txt");
    let (empty, one) = (Tree::Empty, |copy| vec![step(Tree::Empty, Action::Copy(copy))]);
    let show = |copy: Copy| bench.tree(&bench.image(one(copy)));
    let a = "file 2 87428fc52280";
    assert_eq!(show(copy(vec![files("a.txt")], "/x")), format!("/ 755 0:0 dir\n/x 644 0:0 {a}\n"));
    assert_eq!(
        show(copy(vec![files("a.txt")], "/x/")),
        format!("/ 755 0:0 dir\n/x 755 0:0 dir\n/x/a.txt 644 0:0 {a}\n")
    );
    assert_eq!(
        show(copy(vec![files("top")], "/")),
        format!("/ 755 0:0 dir\n/top 644 0:0 {a}\n"),
        "links are followed"
    );
    let folder = show(copy(vec![files("d")], "/n"));
    assert_eq!(
        folder,
        "/ 755 0:0 dir\n/n 755 0:0 dir\n/n/c 644 0:0 file 2 a3a5e715f0cc\n/n/link 777 0:0 -> c\n/n/sub 700 0:0 dir\n/n/sub/s 644 0:0 file 2 cbc80bb5c0c0\n"
    );
    let several = show(copy(vec![files("*.txt"), files("none*")], "/t/"));
    assert_eq!(
        several,
        format!(
            "/ 755 0:0 dir\n/t 755 0:0 dir\n/t/a.txt 644 0:0 {a}\n/t/b.txt 4755 0:0 file 2 0263829989b6\n"
        )
    );
    let owned = show(Copy {
        owner: Some("5:6".into()),
        mode: Some("u=rwX,go=".into()),
        ..copy(vec![files("d/sub")], "/o/p")
    });
    assert_eq!(
        owned,
        "/ 755 0:0 dir\n/o 755 5:6 dir\n/o/p 755 5:6 dir\n/o/p/s 600 5:6 file 2 cbc80bb5c0c0\n"
    );
    let parents = show(Copy { parents: true, ..copy(vec![files("d/./sub/s"), files("./d/c")], "/p/") });
    assert_eq!(
        parents,
        "/ 755 0:0 dir\n/p 755 0:0 dir\n/p/d 755 0:0 dir\n/p/d/c 644 0:0 file 2 a3a5e715f0cc\n/p/sub 700 0:0 dir\n/p/sub/s 644 0:0 file 2 cbc80bb5c0c0\n"
    );
    let excluded = show(Copy { exclude: vec!["sub".into(), "link".into()], ..copy(vec![files("d")], "/e/") });
    assert_eq!(excluded, "/ 755 0:0 dir\n/e 755 0:0 dir\n/e/c 644 0:0 file 2 a3a5e715f0cc\n");
    let inline = Source::Inline { name: "h".into(), content: "a\n".into() };
    assert_eq!(show(copy(vec![inline], "/i/")), format!("/ 755 0:0 dir\n/i 755 0:0 dir\n/i/h 644 0:0 {a}\n"));
    let missing = bench.refusal(one(copy(vec![files("nope")], "/")));
    assert_eq!(
        missing,
        "line 7: a step: \"nope\" is not there: it does not exist, or .dockerignore leaves it out"
    );
    let base = step(empty, Action::Copy(copy(vec![files("d")], "/n")));
    let onto = step(after(0), Action::Copy(copy(vec![files("a.txt")], "/n/sub")));
    let image = bench.image(vec![base.clone(), onto]);
    assert!(
        bench.tree(&image).contains("/n/sub 700 0:0 dir\n/n/sub/a.txt 644"),
        "a folder takes files by their names"
    );
    let folder_on_file = step(after(0), Action::Copy(copy(vec![files("d/sub")], "/n/c")));
    assert_eq!(bench.refusal(vec![base, folder_on_file]), "line 7: a step: /n/c is not a directory");
}

#[test]
fn links_of_an_image_lead_nowhere_else() {
    let bench = Bench::new();
    let outside = bench.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    bench.set(&format!(
        "echo a > a; mkdir l; ln -s {0} l/abs; ln -s ../../../../../..{0} l/up; ln -s {0}/secret l/read",
        outside.display()
    ));
    fs::write(outside.join("secret"), "x").unwrap();
    let links = step(Tree::Empty, Action::Copy(copy(vec![files("l")], "/l")));
    for link in ["abs", "up"] {
        let through = step(after(0), Action::Copy(copy(vec![files("a")], &format!("/l/{link}/a"))));
        let image = bench.image(vec![links.clone(), through]);
        assert!(!outside.join("a").exists());
        let inside = format!("{}/a 644", outside.display());
        assert!(bench.tree(&image).contains(&inside), "{}", bench.tree(&image));
    }
    let read = step(Tree::Empty, Action::Copy(copy(vec![files("l/read")], "/r")));
    assert!(bench.refusal(vec![read]).contains("is not there"));
    let stage = Source::Files { from: after(0), path: "/l/read".into(), unpack: false };
    let read = step(Tree::Empty, Action::Copy(copy(vec![stage], "/r")));
    assert!(bench.refusal(vec![links, read]).contains("is not there"));
    let up = step(Tree::Empty, Action::Copy(copy(vec![files("../outside/secret")], "/r")));
    assert!(bench.refusal(vec![up]).contains("is not there"));
}

#[test]
fn nothing_is_done_again_for_a_new_time_alone() {
    if !have("nothing_is_done_again_for_a_new_time_alone", "busybox") {
        return;
    }
    let bench = Bench::new();
    bench.set("mkdir src; echo 1 > src/a; echo 2 > src/b");
    let steps = || {
        vec![
            busybox(&bench),
            step(after(0), Action::Copy(copy(vec![files("src")], "/src/"))),
            step(after(1), Action::Run(run("cat /src/* > /all; date +%s%N > /when"))),
            step(
                Tree::Empty,
                Action::Copy(copy(
                    vec![Source::Files { from: after(2), path: "/all".into(), unpack: false }],
                    "/out",
                )),
            ),
        ]
    };
    let (first, _) = bench.build(steps()).unwrap();
    assert_eq!((first.steps, first.cached), (4, 0));
    bench.set("touch -d '2001-01-01' src/a");
    let (second, _) = bench.build(steps()).unwrap();
    assert_eq!(second, Built { cached: 4, ..first.clone() }, "the very same image");
    bench.set("echo 3 > src/b");
    let (third, _) = bench.build(steps()).unwrap();
    assert_eq!(third.cached, 1);
    bench.set("echo 2 > src/b");
    let (fourth, _) = bench.build(steps()).unwrap();
    assert_eq!(fourth.cached, 4, "what was built before is still there");
    bench.store.gc(&[]).unwrap();
    assert_eq!(bench.build(steps()).unwrap().0.cached, 4, "records keep their layers");
    bench.store.forget_builds(&bench.store.builds().unwrap()).unwrap();
    assert_eq!(bench.build(steps()).unwrap().0.cached, 0);
    assert!(bench.store.verify().unwrap().is_empty());
}

#[test]
fn commands_run_on_what_is_below_and_leave_only_what_they_changed() {
    if !have("commands_run_on_what_is_below", "busybox") {
        return;
    }
    let bench = Bench::new();
    let base = busybox(&bench);
    let make = step(after(0), Action::Run(run("mkdir /d; echo x > /d/x; echo y > /y; echo said")));
    let change = step(after(1), Action::Run(run("rm /d/x; mv /y /z; mkdir /n; ln -s /z /n/l")));
    let nothing = step(after(2), Action::Run(run("true")));
    let (built, said) = bench.build(vec![base.clone(), make, change, nothing]).unwrap();
    assert_eq!(said, "said\n");
    let image = bench.store.image_by_id(built.id).unwrap().unwrap();
    assert_eq!(
        bench.tree(&image),
        "/ 755 0:0 dir\n/d 755 0:0 dir\n/n 755 0:0 dir\n/n/l 777 0:0 -> /z\n/z 644 0:0 file 2 3bb2abb69ebb\n"
    );
    assert_eq!(image.layers.len(), 3, "a command that changes nothing makes no layer");
    let history: Vec<_> =
        image.config.history().iter().flatten().map(|line| line.empty_layer().unwrap_or(false)).collect();
    assert_eq!(history, [false, false, false, true]);
    let failing = step(after(0), Action::Run(run("exit 3")));
    assert_eq!(bench.refusal(vec![base.clone(), failing]), "line 7: a step: the command ended with status 3");
    let deleted = step(after(0), Action::Run(run("rm -r /bin/..?* /bin/ls")));
    assert!(bench.refusal(vec![base, deleted]).contains("status"));
}

/// More than any disk here holds, if it was written.
const HUGE: &str = "/bin/busybox truncate -s 5000G /big";

#[test]
fn cancelling_ends_packing_and_unpacking_and_leaves_nothing() {
    let bench = Bench::new();
    for (command, file) in [(HUGE, ""), ("/bin/busybox truncate -s 64M /big", "fs/big")] {
        let steps = vec![busybox(&bench), step(after(0), Action::Run(run(command)))];
        let cancel = CancelAt { store: &bench.store, file, cancelled: AtomicBool::new(false) };
        let ended = bench.build_told(steps, &cancel);
        assert!(matches!(ended, Err(BuildError::Cancelled)), "{file}: {ended:?}");
        assert!(cancel.cancelled.into_inner(), "{file} was never seen");
        assert_eq!(sh(&format!("ls {}/tmp", bench.store.root().display())), "", "{file}");
        bench.store.gc(&[]).unwrap();
        let left = sh(&format!("find {} -type f -size +4M", bench.store.root().display()));
        assert_eq!(left, "", "{file}");
    }
}

#[test]
fn the_same_inputs_give_the_same_digest() {
    if !have("the_same_inputs_give_the_same_digest", "busybox") {
        return;
    }
    let ids: Vec<Digest> = (0..2)
        .map(|_| {
            let mut bench = Bench::new();
            bench.options.epoch = Some(1_600_000_000);
            bench.set("echo 1 > a");
            let steps = vec![
                busybox(&bench),
                step(after(0), Action::Folder { path: "/w/x".into(), owner: Some("7".into()) }),
                step(after(1), Action::Copy(copy(vec![files("a")], "/w/x/"))),
                step(after(2), Action::Run(run("mkdir /m; echo b > /m/b; ln /m/b /m/c"))),
            ];
            let image = bench.image(steps);
            assert!(
                bench.tree(&image).contains("/w 755 7:7 dir\n/w/x 755 7:7 dir\n"),
                "{}",
                bench.tree(&image)
            );
            image.id
        })
        .collect();
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn archives_are_unpacked_inside() {
    let bench = Bench::new();
    bench.set("mkdir t; echo a > t/a; mkdir t/d; ln t/a t/d/hard; ln -s ../a t/d/l; chown 3:4 t/a; tar -C t -cf p.tar .; tar -C t -czf z.tgz .; tar -C t -cJf x.txz . ; tar -C t -cjf b.tbz .; tar -C t --zstd -cf s.tzst .; echo no > plain.tar");
    let add =
        |path: &str| Source::Files { from: Tree::Context(String::new()), path: path.into(), unpack: true };
    for name in ["p.tar", "z.tgz", "x.txz", "b.tbz", "s.tzst"] {
        let image = bench.image(vec![step(Tree::Empty, Action::Copy(copy(vec![add(name)], "/u")))]);
        let a = &Digest::of(b"a\n").hex()[..12];
        let expected = format!(
            "/ 755 0:0 dir\n/u 755 0:0 dir\n/u/a 644 3:4 file 2 {a}\n/u/d 755 0:0 dir\n/u/d/hard 644 3:4 file 2 {a} = /u/a\n/u/d/l 777 0:0 -> ../a\n"
        );
        assert_eq!(bench.tree(&image), expected, "{name}");
    }
    let image = bench.image(vec![step(Tree::Empty, Action::Copy(copy(vec![add("plain.tar")], "/u")))]);
    assert!(bench.tree(&image).contains("/u 644 0:0 file 3"));
    let outside = bench.dir.path().join("o");
    fs::create_dir(&outside).unwrap();
    bench.set(&format!("mkdir e; ln -s {} e/l; tar -C e -cf 1.tar l; rm e/l; mkdir e/l; echo x > e/l/f; tar -C e -rf 1.tar l/f; tar -cPf 2.tar --transform 's,^,../,' plain.tar", outside.display()));
    let image = bench.image(vec![step(Tree::Empty, Action::Copy(copy(vec![add("1.tar")], "/u")))]);
    assert!(!outside.join("f").exists() && bench.tree(&image).contains("/o/f 644"), "{}", bench.tree(&image));
    assert!(
        bench
            .refusal(vec![step(Tree::Empty, Action::Copy(copy(vec![add("2.tar")], "/u")))])
            .contains("is refused")
    );
}

#[test]
fn what_is_ignored_is_not_there() {
    let mut bench = Bench::new();
    bench.ignore = "secret\n*.log\nbig\n!big/keep\n".to_owned();
    bench.set(
        "echo s > secret; echo l > x.log; mkdir -p big/more; echo k > big/keep; echo n > big/no; echo a > a",
    );
    let image = bench.image(vec![step(Tree::Empty, Action::Copy(copy(vec![files(".")], "/")))]);
    let names: Vec<_> =
        bench.tree(&image).lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["/", "/a", "/big", "/big/keep"]);
    assert!(
        bench
            .refusal(vec![step(Tree::Empty, Action::Copy(copy(vec![files("secret")], "/")))])
            .contains(".dockerignore")
    );
}

#[test]
fn linked_copies_do_not_depend_on_what_is_below() {
    if !have("linked_copies", "busybox") {
        return;
    }
    let bench = Bench::new();
    bench.set("echo a > a");
    let link = |base| Copy { link: true, ..copy(vec![files("a")], base) };
    let steps = |command: &str| {
        vec![
            busybox(&bench),
            step(after(0), Action::Run(run(command))),
            step(after(1), Action::Copy(link("/usr/share/x/"))),
        ]
    };
    let first = bench.build(steps("mkdir -p /usr/share/x; echo 1 > /usr/share/x/b")).unwrap().0;
    let second = bench.build(steps("mkdir -p /usr/share/x; echo 2 > /usr/share/x/b")).unwrap().0;
    assert_eq!((first.cached, second.cached), (0, 2));
    let image = bench.store.image_by_id(second.id).unwrap().unwrap();
    assert!(
        bench.tree(&image).contains("/usr/share/x/a 644")
            && bench.tree(&image).contains("/usr/share/x/b 644")
    );
}

#[test]
fn cache_mounts_outlive_builds_and_stay_out_of_layers() {
    if !have("cache_mounts", "busybox") {
        return;
    }
    let bench = Bench::new();
    let kind = MountKind::Cache {
        id: "c".into(),
        from: Tree::Empty,
        source: String::new(),
        sharing: Sharing::Locked,
        readonly: false,
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
    let env = MountKind::Secret {
        id: "key".into(),
        env: Some("KEY".into()),
        required: true,
        mode: 0o400,
        uid: 0,
        gid: 0,
    };
    let steps = |command: &str| {
        let mounts = vec![
            Mount { target: "/cache".into(), kind: kind.clone() },
            Mount { target: String::new(), kind: env.clone() },
        ];
        vec![busybox(&bench), step(after(0), Action::Run(Run { mounts, ..run(command) }))]
    };
    let (built, said) = bench.build(steps("echo kept > /cache/f; echo $KEY")).unwrap();
    assert_eq!(said, "s3cr3t-value\n");
    let image = bench.store.image_by_id(built.id).unwrap().unwrap();
    assert!(!bench.tree(&image).contains("cache"), "{}", bench.tree(&image));
    assert_eq!(bench.build(steps("cat /cache/f")).unwrap().1, "kept\n");
    let store = sh(&format!("grep -rl s3cr3t-value {} || true", bench.dir.path().join("store").display()));
    assert_eq!(store, "", "a secret is nowhere in the store");
}

#[test]
fn thirty_steps_are_found_again_at_once() {
    let bench = Bench::new();
    let script: String =
        (0..30).map(|n| format!("mkdir d{n}; for i in 1 2 3 4 5; do echo {n} > d{n}/$i; done;")).collect();
    bench.set(&script);
    let steps = || {
        (0..30)
            .map(|n: usize| {
                let base = n.checked_sub(1).map_or(Tree::Empty, after);
                step(base, Action::Copy(copy(vec![files(&format!("d{n}"))], &format!("/d{n}/"))))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(bench.build(steps()).unwrap().0.cached, 0);
    assert_eq!(bench.build(steps()).unwrap().0.cached, 30);
    assert!(Path::new(&bench.context()).exists());
}
