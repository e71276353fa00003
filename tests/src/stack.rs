//! One stack on a throwaway host: the binary run with its file, and what `ps` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::command::{Outcome, Running};
use crate::host::{self, Host};
use crate::listing::Listing;
use crate::wait::{eventually, wait_for};
use crate::{LATER, SOON};

/// A stack file in a root.
#[derive(Debug, Clone)]
pub struct Stack<'h> {
    host: &'h Host,
    file: PathBuf,
    root: PathBuf,
    environment: BTreeMap<String, String>,
}

/// A line of `ps --format json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// `ID`: changes when the instance is replaced.
    pub id: String,
    /// `Name`.
    pub name: String,
    /// `Service`.
    pub service: String,
    /// `State`, in Docker's words.
    pub state: String,
    /// `Status`, as people read it.
    pub status: String,
    /// `Health`.
    pub health: String,
    /// `ExitCode`.
    pub exit_code: i64,
    /// `OOMKilled`.
    pub oom_killed: bool,
    /// The whole line.
    pub json: Value,
}

impl Instance {
    fn parse(line: &str) -> Self {
        let json: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("ps printed {line:?}: {error}"));
        let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("no {key} in {line}")).to_owned();
        Self {
            id: text("ID"),
            name: text("Name"),
            service: text("Service"),
            state: text("State"),
            status: text("Status"),
            health: text("Health"),
            exit_code: json["ExitCode"].as_i64().unwrap_or_else(|| panic!("no ExitCode in {line}")),
            oom_killed: json["OOMKilled"].as_bool().unwrap_or(false),
            json,
        }
    }
}

impl<'h> Stack<'h> {
    pub(crate) fn new(host: &'h Host, file: PathBuf, root: PathBuf) -> Self {
        Self { host, file, root, environment: BTreeMap::new() }
    }

    /// The same file in another root, by its name on the host.
    #[must_use]
    pub fn in_root(&self, name: &str) -> Self {
        Self { root: self.host.root(name), ..self.clone() }
    }

    /// The same with a variable that the file refers to.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut with = self.clone();
        with.environment.insert(name.to_owned(), value.to_owned());
        with
    }

    /// Where its state is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A command line, to be changed before it is run.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let file = self.file.display().to_string();
        let mut command = host::hoist(&self.root, &[&["-f", file.as_str()], words].concat());
        command.envs(&self.environment);
        command
    }

    /// Runs the binary to its end.
    #[must_use]
    pub fn hoist(&self, words: &[&str]) -> Outcome {
        self.host.run_for(self.command(words), LATER)
    }

    /// Runs the binary to its end without the file: the stack is named.
    #[must_use]
    pub fn by_name(&self, name: &str, words: &[&str]) -> Outcome {
        let mut command = host::hoist(&self.root, &[&["-p", name], words].concat());
        command.envs(&self.environment);
        self.host.run_for(command, LATER)
    }

    /// Starts the binary and lets it run.
    #[must_use]
    pub fn start(&self, words: &[&str]) -> Running {
        self.host.start(self.command(words))
    }

    /// `up -d` with further words, which must succeed.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn up(&self, words: &[&str]) -> Outcome {
        self.hoist(&[&["up", "-d"], words].concat()).success()
    }

    /// `down -v`, which must succeed.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn down(&self) -> Outcome {
        self.hoist(&["down", "-v"]).success()
    }

    /// All instances, stopped ones too, by name.
    ///
    /// # Panics
    /// When `ps` fails.
    #[must_use]
    pub fn ps(&self) -> Vec<Instance> {
        let outcome = self.hoist(&["ps", "-a", "--format", "json"]).success();
        let mut rows: Vec<Instance> = outcome.stdout.lines().map(Instance::parse).collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    }

    /// Waits until nobody drains any more: each slot has one instance.
    ///
    /// # Panics
    /// When that isn't so within a bound.
    #[track_caller]
    pub fn wait_for_drains(&self) {
        wait_for("one instance in each slot", LATER, || {
            let rows = self.ps();
            let slots: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
            (slots.len() == rows.len()).then_some(())
        });
    }

    /// The only instance of a service.
    ///
    /// # Panics
    /// When there are more or none.
    #[must_use]
    pub fn instance(&self, service: &str) -> Instance {
        let mut rows = self.ps();
        rows.retain(|row| row.service == service);
        assert_eq!(rows.len(), 1, "instances of {service}: {rows:?}");
        rows.remove(0)
    }

    /// Waits until the only instance of a service is as `condition` wants it.
    ///
    /// # Panics
    /// When it isn't within a bound; the message shows it as it was last.
    #[track_caller]
    pub fn wait_for_instance(
        &self,
        service: &str,
        what: &str,
        condition: impl Fn(&Instance) -> bool,
    ) -> Instance {
        self.wait_for_instance_within(SOON, service, what, condition)
    }

    /// The same with a bound of one's own.
    ///
    /// # Panics
    /// When it isn't within `bound`.
    #[track_caller]
    pub fn wait_for_instance_within(
        &self,
        bound: Duration,
        service: &str,
        what: &str,
        condition: impl Fn(&Instance) -> bool,
    ) -> Instance {
        let deadline = std::time::Instant::now() + bound;
        wait_for(what, bound * 2, || {
            let row = self.ps().into_iter().find(|row| row.service == service);
            let found = row.clone().filter(|row| condition(row));
            let late = std::time::Instant::now() > deadline;
            assert!(found.is_some() || !late, "not within {bound:?}: {service} {what}; it is {row:?}");
            found
        })
    }

    /// `agent status --format json`.
    ///
    /// # Panics
    /// When no agent answers.
    #[must_use]
    pub fn agent_status(&self) -> Value {
        let outcome = self.hoist(&["agent", "status", "--format", "json"]).success();
        serde_json::from_str(outcome.text()).unwrap_or_else(|error| panic!("{error}: {outcome}"))
    }

    /// The process ids of agent, keeper and dns; 0 for one that doesn't run.
    ///
    /// # Panics
    /// When no agent answers.
    #[must_use]
    pub fn daemons(&self) -> [i64; 3] {
        let status = self.agent_status();
        [0, 1, 2].map(|index| status["pids"][index].as_i64().unwrap_or_else(|| panic!("no pids in {status}")))
    }

    /// Kills agent, keeper and dns together, and waits until they are gone.
    ///
    /// # Panics
    /// When no agent answers, or one of them isn't gone within a bound.
    pub fn kill_daemons(&self) {
        let pids = self.daemons().map(|pid| pid.to_string());
        self.host.run("kill", &["-9", &pids[0], &pids[1], &pids[2]]).ok();
        let is_gone = |pid: &String| self.host.run("kill", &["-0", pid]).code != 0;
        eventually("all daemons are gone", SOON, || pids.iter().all(is_gone));
    }

    /// The process id of each running instance, by the instance's id.
    ///
    /// # Panics
    /// When no agent answers.
    #[must_use]
    pub fn pids(&self) -> BTreeMap<String, i64> {
        let status = self.agent_status();
        let instances =
            status["report"]["instances"].as_object().unwrap_or_else(|| panic!("no instances: {status}"));
        let running = instances.iter().filter_map(|(id, report)| Some((id.clone(), report["pid"].as_i64()?)));
        running.collect()
    }

    /// What its log says now.
    #[must_use]
    pub fn logs(&self, service: &str) -> String {
        self.hoist(&["logs", "--no-log-prefix", service]).success().stdout
    }

    /// Everything on the host that could be left behind, with what is below this stack's root.
    #[must_use]
    pub fn listing(&self) -> Listing {
        Listing::of(self.host, &self.root)
    }
}
