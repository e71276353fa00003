//! Lints: what is right by the letter and still likely to surprise. Each has a name, by which `x-hoist.lints`
//! allows it, warns of it or denies it; the same works for the names of all other warnings.

use crate::diagnostic::{Diagnostic, Report, Severity};
use crate::lower::is_sensitive;
use crate::node::{Node, Value};
use crate::project::Project;
use crate::reader::FileReader;
use crate::source::Span;
use crate::syntax::{template, words};
use crate::trail::{Action, Step};
use std::collections::BTreeMap;
use std::path::Path;

/// What to do about a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Nothing.
    Allow,
    /// Say it.
    Warn,
    /// Refuse the file.
    Deny,
}

/// A lint.
#[derive(Clone, Copy, Debug)]
pub struct Lint {
    /// Its name.
    pub name: &'static str,
    /// What it finds.
    pub about: &'static str,
    /// What is done about it when the file says nothing.
    pub level: Level,
    check: fn(&Subject<'_>, &mut Vec<Diagnostic>),
}

/// All lints.
pub const LINTS: &[Lint] = &[
    Lint {
        name: "port-appended-by-override",
        about: "an override adds a host port for a container port that has one already: ports append",
        level: Level::Warn,
        check: ports_appended,
    },
    Lint {
        name: "unset-variable-in-secret",
        about: "a password or hash with a `$` that was taken for a variable which is not set",
        level: Level::Warn,
        check: unset_in_secret,
    },
    Lint {
        name: "command-cut-at-operator",
        about: "a command line is cut at `|`, `&`, `;`, `<` or `>`: no shell runs it",
        level: Level::Warn,
        check: command_cut,
    },
    Lint {
        name: "bind-path-missing",
        about: "a bind mount whose source is not there: a folder will be made",
        level: Level::Warn,
        check: bind_missing,
    },
    Lint {
        name: "unquoted-port",
        about: "a port mapping without quotes, which other YAML readers take for a number to the base 60",
        level: Level::Allow,
        check: unquoted_port,
    },
    Lint {
        name: "latest-tag",
        about: "an image without a tag or with `latest`: what runs changes without the file changing",
        level: Level::Allow,
        check: latest_tag,
    },
    Lint {
        name: "unbounded-logs",
        about: "a log driver without `max-size`: elsewhere the log grows without bound",
        level: Level::Allow,
        check: unbounded_logs,
    },
    Lint {
        name: "privileged",
        about: "a privileged service: it can do anything on the host",
        level: Level::Allow,
        check: privileged,
    },
];

/// Runs all lints and applies the file's levels to them and to `warnings`. Denied ones are errors.
#[must_use]
pub fn lint(project: &Project, warnings: Vec<Diagnostic>, reader: &dyn FileReader) -> Vec<Diagnostic> {
    let levels = Levels::of(project);
    let mut report = Report::over(project.sources.clone());
    levels.check_names(&mut report);
    let mut found: Vec<Diagnostic> = Vec::new();
    for lint in LINTS.iter().filter(|lint| levels.level(lint.name, lint.level) != Level::Allow) {
        for (name, node) in project.services() {
            (lint.check)(&Subject { lint: lint.name, project, name, node, reader }, &mut found);
        }
    }
    for finding in warnings.into_iter().chain(found) {
        match levels.level(finding.code, Level::Warn) {
            Level::Allow => {}
            Level::Warn => report.push(finding),
            Level::Deny => report.push(Diagnostic { severity: Severity::Error, ..finding }),
        }
    }
    report.into_findings()
}

struct Levels(BTreeMap<String, (Level, Span)>);

impl Levels {
    fn of(project: &Project) -> Self {
        let mut levels = BTreeMap::new();
        for (key, level) in [("allow", Level::Allow), ("warn", Level::Warn), ("deny", Level::Deny)] {
            let list = project.tree.at_path(&["x-hoist", "lints", key]).and_then(Node::as_list);
            for node in list.unwrap_or_default() {
                if let Some(name) = node.as_text() {
                    levels.insert(name.to_owned(), (level, node.span));
                }
            }
        }
        Self(levels)
    }

    fn level(&self, name: &str, default: Level) -> Level {
        self.0.get(name).map_or(default, |(level, _)| *level)
    }

    /// A mistyped lint would be silently without effect.
    fn check_names(&self, report: &mut Report) {
        const OTHERS: [&str; 7] = [
            "unset-variable",
            "obsolete-version",
            "deprecated",
            "no-effect",
            "no-effect-yet",
            "different-here",
            "boolean-word",
        ];
        for (name, (_, at)) in &self.0 {
            let mut known = LINTS.iter().map(|lint| lint.name).chain(OTHERS);
            if !known.clone().any(|known| known == name) {
                let finding = Diagnostic::warning("unknown-lint", format!("there is no lint `{name}`"));
                let near = crate::stages::check::nearest(&name.replace('-', "_"), &mut known);
                let finding = finding.label(*at, "");
                report.push(match near {
                    Some(near) => finding.help(format!("did you mean `{near}`?")),
                    None => finding,
                });
            }
        }
    }
}

/// A service under a lint.
struct Subject<'a> {
    lint: &'static str,
    project: &'a Project,
    name: &'a str,
    node: &'a Node,
    reader: &'a dyn FileReader,
}

impl<'a> Subject<'a> {
    fn warn(&self, message: impl Into<String>) -> Diagnostic {
        let message = format!("`services.{}`: {}", self.name, message.into());
        Diagnostic::warning(self.lint, message)
    }

    fn list(&self, key: &str) -> &'a [Node] {
        self.node.get(key).and_then(Node::as_list).unwrap_or_default()
    }
}

fn step(node: &Node, action: Action) -> Option<&Step> {
    node.trail.steps().find(|step| step.action == action)
}

fn ports_appended(subject: &Subject<'_>, out: &mut Vec<Diagnostic>) {
    let ports = subject.list("ports");
    let same = |a: &Node, b: &Node, key: &str| a.get(key) == b.get(key);
    for (index, second) in ports.iter().enumerate() {
        let first = ports[..index].iter().find(|first| {
            same(first, second, "target")
                && same(first, second, "protocol")
                && !same(first, second, "published")
                && first.span.file != second.span.file
        });
        if let Some(first) = first {
            let target =
                second.get("target").map(|node| crate::scalar::spell(&node.value)).unwrap_or_default();
            let finding = subject.warn(format!("two host ports for the container port {target}"));
            let finding = finding.label(second.span, "appended by this").label(first.span, "to this");
            out.push(finding.help("to replace the list, write `ports: !override`"));
        }
    }
}

fn unset_in_secret(subject: &Subject<'_>, out: &mut Vec<Diagnostic>) {
    for (name, node) in subject.node.get("environment").and_then(Node::as_map).into_iter().flatten() {
        let Some(step) = step(node, Action::Interpolated) else { continue };
        let template = &step.before;
        let is_hash = ["$2a$", "$2b$", "$2y$", "$argon2", "$6$", "$5$", "$1$", "$apr1$"];
        let hash = is_hash.iter().any(|mark| template.contains(mark));
        if !hash && !is_sensitive(name) {
            continue;
        }
        let bare = |variable: &template::Use| {
            let plain = variable.default.is_empty() && variable.alternate.is_empty();
            plain && !template.contains(&format!("${{{}", variable.name))
        };
        let unset = template::uses(template)
            .into_iter()
            .find(|variable| bare(variable) && !subject.project.environment.contains_key(&variable.name));
        if let Some(variable) = unset {
            let finding = subject
                .warn(format!("`{name}` looks like a secret, and `${}` in it became empty", variable.name));
            out.push(finding.label(step.at, "").help("if the `$` is meant as it is, write `$$`"));
        }
    }
}

fn command_cut(subject: &Subject<'_>, out: &mut Vec<Diagnostic>) {
    for key in ["command", "entrypoint"] {
        let Some(node) = subject.node.get(key) else { continue };
        let line = step(node, Action::Expanded).map(|step| step.before.as_str()).unwrap_or_default();
        if let Some(rest) = words::split(line).ok().and_then(|words| words.cut) {
            let finding = subject.warn(format!("`{key}` ends before `{}`", rest.trim_end()));
            out.push(finding.label(node.span, "").help("no shell runs this; write `sh -c '…'`"));
        }
    }
}

fn bind_missing(subject: &Subject<'_>, out: &mut Vec<Diagnostic>) {
    for volume in subject.list("volumes") {
        let is_bind = volume.get("type").and_then(Node::as_text) == Some("bind");
        let Some(source) = volume.get("source").filter(|_| is_bind) else { continue };
        let Some(path) = source.as_text().filter(|path| path.starts_with('/')) else { continue };
        if subject.reader.kind(Path::new(path)).is_some()
            || path.starts_with("/run/")
            || path.starts_with("/var/run/")
        {
            continue;
        }
        let finding = subject.warn(format!("{path} is not there: an empty folder will be made"));
        out.push(finding.label(source.span, ""));
    }
}

fn unquoted_port(subject: &Subject<'_>, out: &mut Vec<Diagnostic>) {
    for port in subject.list("ports") {
        let text = subject.project.sources.snippet(port.span).unwrap_or_default();
        let mut parts = text.split(':');
        let small =
            |part: Option<&str>| part.and_then(|part| part.parse::<u8>().ok()).is_some_and(|n| n < 60);
        if parts.next().is_some_and(|part| part.parse::<u32>().is_ok()) && small(parts.next()) {
            out.push(subject.warn(format!("the port `{text}` should be in quotes")).label(port.span, ""));
        }
    }
}

fn latest_tag(subject: &Subject<'_>, out: &mut Vec<Diagnostic>) {
    let Some(image) = subject.node.get("image") else { return };
    let text = image.as_text().unwrap_or_default();
    let name = text.rsplit('/').next().unwrap_or_default();
    if !text.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest") {
        out.push(
            subject.warn(format!("the image `{text}` is not pinned to a version")).label(image.span, ""),
        );
    }
}

fn unbounded_logs(subject: &Subject<'_>, out: &mut Vec<Diagnostic>) {
    let Some(logging) = subject.node.get("logging") else { return };
    let driver = logging.get("driver").and_then(Node::as_text).unwrap_or("json-file");
    if driver == "json-file" && logging.at_path(&["options", "max-size"]).is_none() {
        let finding = subject.warn("`logging` has no `max-size`: elsewhere this log has no bound");
        out.push(finding.label(logging.place(), ""));
    }
}

fn privileged(subject: &Subject<'_>, out: &mut Vec<Diagnostic>) {
    if let Some(node) = subject.node.get("privileged").filter(|node| node.value == Value::Bool(true)) {
        out.push(subject.warn("a privileged service can do anything on the host").label(node.place(), ""));
    }
}
