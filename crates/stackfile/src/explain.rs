//! Where a value comes from: every place and every rewrite that made it.

use crate::node::{Node, Value};
use crate::project::Project;
use crate::scalar::spell;
use crate::source::Span;
use crate::syntax::template;
use crate::trail::{Action, Step};
use std::fmt;

/// The history of one value.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Explanation {
    /// The path asked for.
    pub path: String,
    /// The value, on one line.
    pub value: String,
    /// What happened, the newest first.
    pub steps: Vec<Line>,
}

/// One step.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Line {
    /// `file:line:column`, where there is one.
    pub place: Option<String>,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} = {}", self.path, self.value)?;
        for line in &self.steps {
            match &line.place {
                Some(place) => writeln!(f, "  {place}: {}", line.text)?,
                None => writeln!(f, "  {}", line.text)?,
            }
        }
        Ok(())
    }
}

/// Explains the value at a path such as `services.web.ports[0].published`. Keys may contain dots.
#[must_use]
pub fn explain(project: &Project, path: &str) -> Option<Explanation> {
    let (node, collection) = find(&project.tree, path, None)?;
    let place = |span: Span| {
        let place = project.sources.place(span)?;
        Some(format!("{}:{}:{}", place.file, place.line, place.column))
    };
    let mut steps = Vec::new();
    for step in node.trail.steps() {
        let place = place(step.at);
        steps.extend(
            describe(step, node, project).into_iter().map(|text| Line { place: place.clone(), text }),
        );
    }
    let is_default = node.trail.steps().any(|step| step.action == Action::Defaulted);
    if node.span.is_some() && !is_default {
        let text = project.sources.snippet(node.span).unwrap_or_default();
        let text = text.lines().next().unwrap_or_default().trim_end();
        steps.push(Line { place: place(node.span), text: format!("written here: {text}") });
    }
    if let Some(collection) = collection {
        for step in collection.trail.steps().filter(|step| step.action == Action::Merged) {
            let text = "the collection around it was merged with this".to_owned();
            steps.push(Line { place: place(step.at), text });
        }
    }
    Some(Explanation { path: path.to_owned(), value: one_line(node), steps })
}

fn describe(step: &Step, node: &Node, project: &Project) -> Vec<String> {
    let before = &step.before;
    match step.action {
        Action::Interpolated => {
            let mut lines = vec![format!("variables replaced in `{before}`")];
            for variable in template::uses(before) {
                let name = &variable.name;
                let origin = project.variable_files.get(name);
                lines.push(match (project.environment.get(name), origin) {
                    (Some(value), Some(origin)) => format!("{name} is `{value}`, from {}", origin.file),
                    (Some(value), None) => format!("{name} is `{value}`, from the environment"),
                    (None, Some(origin)) => format!("{name} is `{}`, from {}", origin.value, origin.file),
                    (None, None) => format!("{name} is not set"),
                });
            }
            lines
        }
        Action::Overridden if before.is_empty() => vec!["takes the place of what is here".to_owned()],
        Action::Overridden => vec![format!("takes the place of `{before}`")],
        Action::Merged => vec!["merged with what is here".to_owned()],
        Action::Extended => vec!["taken over by `extends`".to_owned()],
        Action::Expanded if before == &spell(&node.value) => Vec::new(),
        Action::Expanded => vec![format!("spelled out from `{before}`")],
        Action::Resolved => vec![format!("made absolute from `{before}`")],
        Action::Defaulted => vec!["the default: nobody wrote it".to_owned()],
        Action::FromFile => vec![format!("read from {before}")],
        Action::FromEnvironment => vec!["taken from the environment".to_owned()],
    }
}

/// The node at a path, and the nearest collection around it that was merged.
fn find<'a>(node: &'a Node, path: &str, around: Option<&'a Node>) -> Option<(&'a Node, Option<&'a Node>)> {
    let path = path.strip_prefix('.').unwrap_or(path);
    if path.is_empty() {
        return Some((node, around));
    }
    let merged = node.trail.steps().any(|step| step.action == Action::Merged);
    let around = if merged { Some(node) } else { around };
    match &node.value {
        Value::List(list) => {
            let (index, rest) = match path.strip_prefix('[') {
                Some(inner) => inner.split_once(']')?,
                None => path.split_once('.').unwrap_or((path, "")),
            };
            find(list.get(index.parse::<usize>().ok()?)?, rest, around)
        }
        Value::Map(map) => {
            let ends = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
            let mut keys: Vec<(&String, &Node)> = map.iter().collect();
            keys.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
            keys.into_iter().find_map(|(key, node)| {
                let rest = path.strip_prefix(key.as_str()).filter(|rest| ends(rest))?;
                find(node, rest, around)
            })
        }
        _ => None,
    }
}

fn one_line(node: &Node) -> String {
    serde_json::to_string(&crate::canonical::Plain(node)).unwrap_or_default()
}
