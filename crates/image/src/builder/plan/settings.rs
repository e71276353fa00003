//! The instructions that change no files, only what is said of the image.

use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};

use super::config::Settings;
use super::walk::Walk;
use super::{expose, quote};
use crate::builder::dockerfile::duration;
use crate::builder::dockerfile::instruction::{Command, Healthcheck, Kind};
use crate::builder::dockerfile::lines::Line;
use crate::builder::dockerfile::{Problem, Warning};

/// Beyond this an environment can't be passed to any program.
const LARGEST_ENVIRONMENT: usize = 1024 * 1024;
/// A range of more ports is told in the history as it is written.
const MOST_PORTS_TOLD: usize = 100;

impl Walk<'_, '_> {
    /// What no variable changes.
    pub(super) fn plain(&mut self, kind: &Kind) {
        match kind {
            Kind::Cmd(command) => self.cmd(command),
            Kind::Entrypoint(command) => self.entrypoint(command),
            Kind::Healthcheck(check) => self.healthcheck(check),
            Kind::Shell(words) => {
                self.settings().shell.clone_from(words);
                self.state.note(format!("SHELL {}", quote::list(words)));
            }
            Kind::Maintainer(name) => {
                self.state.config.author.clone_from(name);
                self.state.note(format!("MAINTAINER {name}"));
            }
            // A line of history is for what this build does.
            Kind::Onbuild(text) => self.settings().on_build.push(text.clone()),
            _ => {}
        }
    }

    pub(super) fn settings(&mut self) -> &mut Settings {
        &mut self.state.config.config
    }

    pub(super) fn arg(&mut self, line: &Line, pairs: &[(String, Option<String>)]) -> Result<(), Problem> {
        let mut told = Vec::new();
        for (name, default) in pairs {
            self.warn_of_secret(line, "ARG", name);
            let given = self.stages.request.arguments.get(name).cloned();
            let value = match (given, default) {
                (Some(given), _) => Some(given),
                (None, Some(text)) => Some(self.expand(line, text)?),
                (None, None) => self.stages.globals.get(name),
            };
            told.push(value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}={value}")));
            self.state.declare(name, value);
        }
        self.refuse_too_large(line)?;
        self.state.note(format!("ARG {}", told.join(" ")));
        Ok(())
    }

    /// Every value sees the variables from before the instruction.
    fn expanded_pairs(
        &mut self,
        line: &Line,
        pairs: &[(String, String)],
    ) -> Result<Vec<(String, String)>, Problem> {
        pairs.iter().map(|(name, value)| Ok((self.expand(line, name)?, self.expand(line, value)?))).collect()
    }

    pub(super) fn env(&mut self, line: &Line, pairs: &[(String, String)]) -> Result<(), Problem> {
        let pairs = self.expanded_pairs(line, pairs)?;
        for (name, value) in &pairs {
            self.warn_of_secret(line, "ENV", name);
            self.state.config.set_variable(name, value);
        }
        self.refuse_too_large(line)?;
        self.state.note(told("ENV", &pairs));
        Ok(())
    }

    fn refuse_too_large(&self, line: &Line) -> Result<(), Problem> {
        let variables = self.state.config.config.env.iter().map(String::len).sum::<usize>();
        let arguments = self
            .state
            .arguments
            .iter()
            .map(|(_, value)| value.as_ref().map_or(0, String::len))
            .sum::<usize>();
        if variables + arguments <= LARGEST_ENVIRONMENT {
            return Ok(());
        }
        Err(line.problem("", format!("the environment grows beyond {LARGEST_ENVIRONMENT} bytes")))
    }

    pub(super) fn label(&mut self, line: &Line, pairs: &[(String, String)]) -> Result<(), Problem> {
        let pairs = self.expanded_pairs(line, pairs)?;
        self.settings().labels.extend(pairs.iter().cloned());
        self.state.note(told("LABEL", &pairs));
        Ok(())
    }

    pub(super) fn user(&mut self, line: &Line, user: &str) -> Result<(), Problem> {
        let user = self.expand(line, user)?;
        self.state.note(format!("USER {user}"));
        self.settings().user = user;
        Ok(())
    }

    pub(super) fn expose(&mut self, line: &Line, words: &[String]) -> Result<(), Problem> {
        let mut words = words.to_vec();
        words.sort();
        let mut all = Vec::new();
        let mut written = Vec::new();
        for word in words {
            for word in self.expand_by(line, &word, |expander| expander.words(&word))? {
                all.extend(expose::ports(&word).map_err(|why| line.problem(&word, why))?);
                written.push(word);
            }
        }
        let shown = if all.len() > MOST_PORTS_TOLD { &written } else { &all };
        self.state.note(format!("EXPOSE {}", quote::list(shown)));
        self.settings().exposed_ports.extend(all.into_iter().map(|port| (port, Map::new())));
        Ok(())
    }

    pub(super) fn volume(&mut self, line: &Line, paths: &[String]) -> Result<(), Problem> {
        let paths: Vec<String> =
            paths.iter().map(|path| self.expand(line, path)).collect::<Result<_, _>>()?;
        if paths.iter().any(String::is_empty) {
            return Err(line.problem("", "VOLUME needs paths that are not empty"));
        }
        self.state.note(format!("VOLUME {}", quote::list(&paths)));
        self.settings().volumes.extend(paths.into_iter().map(|path| (path, Map::new())));
        Ok(())
    }

    pub(super) fn stop_signal(&mut self, line: &Line, signal: &str) -> Result<(), Problem> {
        let signal = self.expand(line, signal)?;
        if !is_signal(&signal) {
            return Err(
                line.problem("", format!("{signal:?} is not a signal: a number, or a name such as SIGTERM"))
            );
        }
        self.state.note(format!("STOPSIGNAL {signal}"));
        self.settings().stop_signal = signal;
        Ok(())
    }

    fn words_of(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(line) => self.state.config.in_shell(line.clone()),
        }
    }

    fn cmd(&mut self, command: &Command) {
        let words = self.words_of(command);
        self.state.note(format!("CMD {}", quote::quoted_list(&words)));
        self.settings().cmd = words;
        self.settings().args_escaped = true;
        self.command_set = true;
    }

    /// What was to be run by the base's CMD isn't what the new entry point takes.
    fn entrypoint(&mut self, command: &Command) {
        let words = self.words_of(command);
        self.state.note(format!("ENTRYPOINT {}", quote::quoted_list(&words)));
        self.settings().entrypoint = words;
        if !self.command_set {
            self.settings().cmd.clear();
        }
    }

    fn healthcheck(&mut self, check: &Healthcheck) {
        let times = [
            ("Interval", check.interval),
            ("Timeout", check.timeout),
            ("StartPeriod", check.start_period),
            ("StartInterval", check.start_interval),
        ];
        let mut document = Map::from_iter([("Test".to_owned(), json!(check.test))]);
        let mut told = format!("HEALTHCHECK {{Test:{}", quote::list(&check.test));
        for (name, time) in times {
            told += &format!(" {name}:{}", duration::display(time));
            if time > 0 {
                document.insert(name.to_owned(), Value::from(time));
            }
        }
        if check.retries > 0 {
            document.insert("Retries".to_owned(), Value::from(check.retries));
        }
        self.settings().healthcheck = document;
        self.state.note(format!("{told} Retries:{}}}", check.retries));
    }

    fn warn_of_secret(&mut self, line: &Line, keyword: &str, name: &str) {
        if sounds_secret(name) {
            let message =
                format!("{keyword} {name} stays readable in the image; RUN --mount=type=secret doesn't");
            self.built.warnings.push(Warning { check: "SecretsUsedInArgOrEnv", line: line.number, message });
        }
    }
}

fn told(keyword: &str, pairs: &[(String, String)]) -> String {
    keyword.to_owned() + &pairs.iter().map(|(name, value)| format!(" {name}={value}")).collect::<String>()
}

fn sounds_secret(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    let lower = name.to_ascii_lowercase();
    let mut parts = lower.split('_');
    parts.clone().all(|part| part != "public") && parts.any(|part| WORDS.contains(&part))
}

/// A number up to 64, or a name, with SIG or without.
fn is_signal(text: &str) -> bool {
    // Older names of ABRT, CHLD and IO.
    const ALIASES: [&str; 3] = ["IOT", "CLD", "POLL"];
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str| rest.parse::<u8>().is_ok_and(|offset| offset <= 15);
    let real_time = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) | (_, Some("")) => true,
        (Some(rest), _) => rest.strip_prefix('+').is_some_and(offset),
        (_, Some(rest)) => rest.strip_prefix('-').is_some_and(offset),
        (None, None) => false,
    };
    format!("SIG{name}").parse::<Signal>().is_ok() || ALIASES.contains(&name) || real_time
}
