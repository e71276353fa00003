//! `hoist config` as people and editors use it: its parts, its findings, where a value comes from; and the variables
//! that choose what is read. The binary is run in a folder with files, nothing else: no root, no agent.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod findings;
mod inputs;
mod parts;
mod variables;

use std::fs;
use std::process::{Command, Stdio};

use hoist_tests::host::binary;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with files, and an environment.
struct Project {
    folder: TempDir,
    environment: Vec<(String, String)>,
    below: &'static str,
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Project {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::with_prefix("hoist-test-").unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { folder, environment: Vec::new(), below: "" }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Run in a folder below.
    fn below(mut self, folder: &'static str) -> Self {
        self.below = folder;
        self
    }

    fn hoist(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(binary());
        command.current_dir(self.folder.path().join(self.below)).env_clear();
        command.args(words).envs(self.environment.iter().cloned()).stdin(Stdio::null());
        let output = command.output().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What it prints, when it succeeds.
    #[track_caller]
    fn prints(&self, words: &[&str]) -> String {
        let ended = self.hoist(words);
        assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
        ended.stdout
    }

    /// The canonical model.
    #[track_caller]
    fn model(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.prints(&[words, &["config", "--format", "json"]].concat())).unwrap()
    }

    /// The project's name and its services.
    #[track_caller]
    fn seen(&self, words: &[&str]) -> (String, Vec<String>) {
        let model = self.model(words);
        let services = model["services"].as_object().unwrap().keys().cloned().collect();
        (model["name"].as_str().unwrap().to_owned(), services)
    }
}
