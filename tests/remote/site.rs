//! What is elsewhere, on a throwaway host's loopback: repositories by both of git's HTTP protocols, files, a registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hoist_tests::{Host, Outcome, Running, SOON, Stack, eventually};

pub(crate) const PROGRAMS: [&str; 4] = ["git", "python3", "busybox", "docker-registry"];
/// The repository of most scenarios, by git's own protocol.
pub(crate) const SHOP: &str = "http://127.0.0.1:8081/smart/shop.git";
pub(crate) const REGISTRY: &str = "127.0.0.1:5050";

pub(crate) struct Site<'h> {
    pub(crate) host: &'h Host,
    web: Option<Running>,
    registry: Option<Running>,
}

impl<'h> Site<'h> {
    /// The repositories, served.
    pub(crate) fn start(host: &'h Host) -> Self {
        let made = here("repositories.sh");
        host.run(&made, &[&host.folder().display().to_string()]).ok();
        let mut site = Self { host, web: None, registry: None };
        site.serve();
        site
    }

    pub(crate) fn serve(&mut self) {
        let mut command = Command::new("python3");
        command.arg(here("serve.py")).arg(self.path("served")).arg("8081");
        self.web = Some(self.host.start(command));
        let ask = || self.host.run("curl", &["-s", "-o", "/dev/null", "http://127.0.0.1:8081/"]).code == 0;
        eventually("the server answers", SOON, ask);
    }

    pub(crate) fn stop(&mut self) {
        self.web = None;
    }

    pub(crate) fn serve_registry(&mut self) {
        self.host
            .shell(&format!(
                "mkdir -p {at}/registry && cat > {at}/registry/config.yml <<END
version: 0.1
log: {{accesslog: {{disabled: true}}, level: error}}
storage: {{filesystem: {{rootdirectory: {at}/registry/data}}}}
http: {{addr: \"{REGISTRY}\"}}
END",
                at = self.host.folder().display()
            ))
            .ok();
        let mut command = Command::new("docker-registry");
        command.args(["serve", "config.yml"]).current_dir(self.path("registry"));
        self.registry = Some(self.host.start(command));
        let url = format!("http://{REGISTRY}/v2/");
        eventually("the registry answers", SOON, || {
            self.host.run("curl", &["-s", "-o", "/dev/null", &url]).code == 0
        });
    }

    pub(crate) fn stop_registry(&mut self) {
        self.registry = None;
    }

    /// Publishes an artifact; its digest.
    pub(crate) fn publish(&self, name: &str, kind: &str, layers: &[&str]) -> String {
        let (repository, tag) = name.split_once(':').expect("a name and a tag");
        let registry = format!("http://{REGISTRY}");
        let script = here("publish.py");
        let words = [&[&*script, &*registry, repository, tag, kind], layers].concat();
        self.host.run("python3", &words).success().text().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.host.folder().join(name)
    }

    /// Writes a file of the user's.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path("home").join(name);
        fs::write(&path, text).expect("the user's folder is there");
        path.display().to_string()
    }

    /// A stack by its name, a cache of the user's own, and a git of theirs that would allow anything.
    pub(crate) fn stack(&self, name: &str) -> Stack<'h> {
        let allowed = [
            ("COUNT", "2"),
            ("KEY_0", "protocol.ext.allow"),
            ("VALUE_0", "always"),
            ("KEY_1", "protocol.file.allow"),
            ("VALUE_1", "always"),
        ];
        let own = allowed.iter().fold(self.host.stack_named(name), |stack, (name, value)| {
            stack.with(&format!("GIT_CONFIG_{name}"), value)
        });
        let variables = [("XDG_CACHE_HOME", "cache"), ("DOCKER_CONFIG", "docker")];
        variables
            .iter()
            .fold(own, |stack, (name, folder)| stack.with(name, &self.path(folder).display().to_string()))
    }

    /// The names of a stack's services.
    pub(crate) fn services(&self, name: &str) -> Outcome {
        self.stack(name).hoist(&["-p", "x", "config", "--services"])
    }

    /// Asserts that a stack is refused: with what is said of it.
    #[track_caller]
    pub(crate) fn refused(&self, name: &str, why: &str) {
        let refused = self.services(name).ended_with(2);
        assert!(refused.stderr.contains(why), "{why:?} is not in {refused}");
    }

    /// The hash of a commit, by its name.
    pub(crate) fn commit(&self, repository: &str, name: &str) -> String {
        let at = self.path(&format!("served/{repository}.git")).display().to_string();
        self.host
            .run("git", &["-C", &at, "rev-parse", &format!("{name}^{{commit}}")])
            .success()
            .text()
            .to_owned()
    }

    /// How often the server was asked for something with these words in it.
    pub(crate) fn requests(&self, words: &str) -> usize {
        let log = fs::read_to_string(self.path("served.requests")).unwrap_or_default();
        log.lines().filter(|line| line.contains(words)).count()
    }

    /// What is in the cache, by name.
    pub(crate) fn cached(&self, kind: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path("cache/hoist").join(kind)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.ends_with(".lock"));
        names.sort();
        names
    }
}

/// A file beside this one.
pub(crate) fn here(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("remote").join(name).display().to_string()
}
