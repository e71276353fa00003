//! The cases: folders with a Dockerfile whose first comments say how it is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hoist_tests::Host;
use serde_json::{Map, Value, json};

/// What copied files must keep: a time before the test.
const TIME: &str = "@1500000000";

/// One Dockerfile with its context.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// What it has that buildah 1.28 doesn't know, and nothing beside it says in other words.
    pub(crate) unknown: Option<String>,
    /// `--target`, `--build-arg`, `--build-context`, `--label` and `--secret`, each with its value.
    options: Vec<(String, String)>,
}

/// All cases, their contexts copied to `cases/NAME` of the host's folder, and buildah's options to `options/NAME`.
pub(crate) fn prepare(host: &Host) -> Vec<Case> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/image/tests/dockerfiles");
    let [contexts, options, reworded] = ["cases", "options", "reworded"].map(|name| host.folder().join(name));
    for folder in [&contexts, &options, &reworded] {
        fs::create_dir(folder).unwrap();
    }
    let mut folders: Vec<PathBuf> =
        fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.iter().map(|folder| one(folder, &contexts, &options, &reworded)).collect()
}

fn one(source: &Path, contexts: &Path, options: &Path, reworded: &Path) -> Case {
    let name = source.file_name().unwrap().to_str().unwrap().to_owned();
    let (context, reworded) = (contexts.join(&name), reworded.join(&name));
    run(Command::new("cp").arg("-R").arg(source).arg(&context));
    let has_words = fs::rename(context.join("Dockerfile.buildah"), &reworded).is_ok();
    let text = fs::read_to_string(context.join("Dockerfile")).unwrap();
    let says =
        |what: &str| text.lines().filter_map(|line| line.strip_prefix(what)).map(str::to_owned).collect();
    let prepare: Vec<String> = says("# Prepare: ");
    let script = format!("set -e\numask 022\n{}\nfind . -exec touch -h -d {TIME} {{}} +", prepare.join("\n"));
    run(Command::new("bash").args(["-c", &script]).current_dir(&context));
    let words: Vec<String> = says("# Build: ");
    let words: Vec<&str> = words.iter().flat_map(|line| line.split_whitespace()).collect();
    let pairs = words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned()));
    let unknown: Vec<String> = says("# Not in buildah 1.28: ");
    let case =
        Case { name, unknown: unknown.into_iter().next().filter(|_| !has_words), options: pairs.collect() };
    let file = if has_words { reworded } else { context.join("Dockerfile") };
    fs::write(options.join(&case.name), case.for_buildah(&context, &file)).unwrap();
    case
}

fn run(command: &mut Command) {
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

impl Case {
    /// The name of the image that Hoist makes.
    pub(crate) fn image(&self) -> String {
        format!("ours/{}:1", self.name)
    }

    fn for_buildah(&self, context: &Path, file: &Path) -> String {
        let mut lines = vec!["--file".to_owned(), file.display().to_string()];
        for (option, value) in &self.options {
            let folder = if option == "--build-context" && !value.contains("://") { "=" } else { "src=" };
            lines.extend([option.clone(), value.replace(folder, &format!("{folder}{}/", context.display()))]);
        }
        lines.join("\n") + "\n"
    }

    fn values<'a>(&'a self, option: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(name, _)| name == option).map(|(_, value)| value.as_str())
    }

    fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values("--secret").filter_map(|text| text.strip_prefix("id=")?.split_once(",src="))
    }
}

/// `build:` of a case. Its secrets are called `CASE-ID` in the stack file.
fn section(case: &Case, context: &Path) -> Value {
    let arguments: Vec<&str> = case.values("--build-arg").collect();
    let labels: Vec<&str> = case.values("--label").collect();
    let secrets: Vec<Value> = case
        .secrets()
        .map(|(id, _)| json!({ "source": format!("{}-{id}", case.name), "target": id }))
        .collect();
    let place = |place: &str| if place.contains("://") { json!(place) } else { json!(context.join(place)) };
    let named = case.values("--build-context").filter_map(|text| text.split_once('='));
    let contexts: Map<String, Value> = named.map(|(name, at)| (name.to_owned(), place(at))).collect();
    json!({
        "context": context,
        "args": arguments,
        "labels": labels,
        "secrets": secrets,
        "additional_contexts": contexts,
        "target": case.values("--target").next().unwrap_or_default(),
    })
}

/// The stack file that builds all cases: a service for each.
pub(crate) fn stack(cases: &[Case], contexts: &Path) -> String {
    let (mut services, mut secrets) = (Map::new(), Map::new());
    for case in cases {
        let context = contexts.join(&case.name);
        let service = json!({ "image": case.image(), "build": section(case, &context) });
        services.insert(case.name.clone(), service);
        for (id, file) in case.secrets() {
            secrets.insert(format!("{}-{id}", case.name), json!({ "file": context.join(file) }));
        }
    }
    // JSON is YAML.
    json!({ "name": "cases", "services": services, "secrets": secrets }).to_string()
}
