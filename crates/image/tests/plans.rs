//! The builds that the Dockerfiles of `dockerfiles/` come to, beside their golden texts in `plans/`
//! (`UPDATE_EXPECT=1 cargo test -p hoist-image --test plans` writes them anew).

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use hoist_image::builder::dockerfile::Dockerfile;
use hoist_image::builder::graph::{Action, Graph, Source, Step, Tree};
use hoist_image::builder::plan::{Base, Bases, NamedContext, Planned, Request, needs, plan};
use hoist_image::digest::Digest;
use hoist_image::platform::Platform;
use serde_json::json;

fn folders() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dockerfiles");
    let mut folders: Vec<_> = std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// The options that a Dockerfile's first lines ask for.
fn request(text: &str) -> Request {
    let platform: Platform = "linux/amd64".parse().unwrap();
    let mut request = Request { build_platform: platform, ..Request::default() };
    let options = text.lines().find_map(|line| line.strip_prefix("# Build: ")).unwrap_or_default();
    let mut words = options.split_whitespace();
    while let (Some(option), Some(value)) = (words.next(), words.next()) {
        match option {
            "--target" => request.target = Some(value.to_owned()),
            "--build-arg" => {
                let (name, value) = value.split_once('=').unwrap();
                request.arguments.insert(name.to_owned(), value.to_owned());
            }
            "--label" => {
                let (name, value) = value.split_once('=').unwrap();
                request.labels.insert(name.to_owned(), value.to_owned());
            }
            "--build-context" => {
                let (name, place) = value.split_once('=').unwrap();
                let image = place.strip_prefix("docker-image://").map(str::to_owned);
                let context = image.map_or(NamedContext::Folder, NamedContext::Image);
                request.contexts.insert(name.to_owned(), context);
            }
            "--secret" => {}
            _ => panic!("{option} is not an option that this test knows"),
        }
    }
    request
}

fn planned(text: &str) -> Planned {
    let file = Dockerfile::parse(text).unwrap();
    let (request, mut bases) = (request(text), Bases::default());
    loop {
        let needed = needs(&file, &request, &bases).unwrap();
        if needed.is_empty() {
            return plan(&file, &request, &bases).unwrap();
        }
        for need in needed {
            let config = json!({ "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/bin/sh"] } });
            bases.insert(&need, Base { id: Digest::of(need.reference.as_bytes()), config });
        }
    }
}

fn tree(tree: &Tree) -> String {
    let names = ["base/debian:12", "base/debian:11", "base/busybox:1"];
    match tree {
        Tree::Empty => "nothing".to_owned(),
        Tree::Image(id) => {
            (*names.iter().find(|name| Digest::of(name.as_bytes()) == *id).unwrap_or(&"?")).to_owned()
        }
        Tree::Step(step) => format!("step {}", step.0),
        Tree::Context(name) => format!("context {name:?}"),
    }
}

fn source(source: &Source) -> String {
    match source {
        Source::Files { from, path, unpack } => format!("{path} of {}, unpack: {unpack}", tree(from)),
        other => format!("{other:?}"),
    }
}

fn step(out: &mut String, at: usize, step: &Step) {
    writeln!(out, "step {at} on {} (line {}): {}", tree(&step.base), step.line, step.title).unwrap();
    match &step.action {
        Action::Run(run) => {
            writeln!(out, "  {:?} as {:?} in {}", run.command, run.user, run.working_dir).unwrap();
            writeln!(out, "  environment {:?} hidden {:?}", run.environment, run.hidden_environment).unwrap();
            run.mounts.iter().for_each(|mount| writeln!(out, "  mount {mount:?}").unwrap());
            run.files.iter().for_each(|file| writeln!(out, "  file {file:?}").unwrap());
            writeln!(out, "  network {:?}", run.network).unwrap();
        }
        Action::Copy(copy) => {
            copy.sources.iter().for_each(|from| writeln!(out, "  {}", source(from)).unwrap());
            let flags = (&copy.owner, &copy.mode, copy.link, copy.parents, &copy.exclude);
            writeln!(out, "  to {} (owner, mode, link, parents, exclude): {flags:?}", copy.destination)
                .unwrap();
        }
        Action::Folder { path, owner } => writeln!(out, "  folder {path} of {owner:?}").unwrap(),
    }
}

fn text(graph: &Graph) -> String {
    let mut out = String::new();
    graph.steps.iter().enumerate().for_each(|(at, one)| step(&mut out, at, one));
    writeln!(out, "target {}\nconfig {:#}", tree(&graph.target), json!(graph.config)).unwrap();
    for line in &graph.history {
        let step = line.step.map_or("    ".to_owned(), |step| format!("{:4}", step.0));
        writeln!(out, "history {step} {}", line.created_by).unwrap();
    }
    out
}

#[test]
fn every_dockerfile_comes_to_its_golden_build() {
    let folders = folders();
    assert!(folders.len() >= 90, "{} Dockerfiles", folders.len());
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let planned = planned(&std::fs::read_to_string(folder.join("Dockerfile")).unwrap());
        let warnings: String =
            planned.warnings.iter().map(|warning| format!("warning {warning}\n")).collect();
        expect_file![format!("plans/{name}.txt")].assert_eq(&(text(&planned.graph) + &warnings));
    }
}

#[test]
fn a_step_depends_on_earlier_steps_only() {
    let before = |tree: &Tree, at| !matches!(tree, Tree::Step(step) if step.0 >= at);
    for folder in folders() {
        let graph = planned(&std::fs::read_to_string(folder.join("Dockerfile")).unwrap()).graph;
        for (at, step) in graph.steps.iter().enumerate() {
            assert!(before(&step.base, at), "{}: {}", folder.display(), step.title);
            if let Action::Copy(copy) = &step.action {
                let fine =
                    |source: &Source| !matches!(source, Source::Files { from, .. } if !before(from, at));
                assert!(copy.sources.iter().all(fine), "{}: {}", folder.display(), step.title);
            }
        }
    }
}
