//! Reading the attributes of one service in its canonical form.

use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Node, Value};
use crate::source::Span;
use crate::syntax::{bytes, duration};
use hoist_model::Command;
use std::collections::BTreeMap;
use std::time::Duration;

/// One service and where findings about it go.
#[derive(Debug)]
pub(super) struct Attributes<'a, 'r> {
    pub name: &'a str,
    pub node: &'a Node,
    pub report: &'r mut Report,
}

impl<'a> Attributes<'a, '_> {
    pub(super) fn get(&self, path: &str) -> Option<&'a Node> {
        path.split('.').try_fold(self.node, |node, key| node.get(key))
    }

    /// A text; an empty one, as a variable without a value leaves it, counts as not given.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        self.get(path)?.as_text().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        self.flag_or(path, false)
    }

    pub(super) fn flag_or(&self, path: &str, default: bool) -> bool {
        match self.get(path).map(|node| &node.value) {
            Some(Value::Bool(flag)) => *flag,
            _ => default,
        }
    }

    pub(super) fn int(&self, path: &str) -> Option<i64> {
        int(self.get(path)?)
    }

    pub(super) fn number(&self, path: &str) -> Option<f64> {
        match self.get(path)?.value {
            #[expect(clippy::cast_precision_loss, reason = "processors, not a count of things")]
            Value::Int(int) => Some(int as f64),
            Value::Float(float) => Some(float),
            _ => None,
        }
    }

    /// A size; the canonical form has checked it.
    pub(super) fn bytes(&self, path: &str) -> Option<i64> {
        bytes::parse(self.get(path)?.as_text()?).ok()
    }

    /// A size that can't be below zero.
    pub(super) fn size(&mut self, path: &str) -> Option<u64> {
        let size = self.bytes(path)?;
        match u64::try_from(size) {
            Ok(size) => Some(size),
            Err(_) => {
                let at = self.get(path).map_or(Span::NONE, |node| node.span);
                self.error("out-of-range", at, format!("`{path}` is below zero"));
                None
            }
        }
    }

    pub(super) fn duration(&self, path: &str) -> Option<Duration> {
        read_duration(self.get(path)?)
    }

    pub(super) fn list(&self, path: &str) -> &'a [Node] {
        self.get(path).and_then(Node::as_list).unwrap_or_default()
    }

    pub(super) fn texts(&self, path: &str) -> Vec<String> {
        self.list(path).iter().filter_map(Node::as_text).map(str::to_owned).collect()
    }

    pub(super) fn map(&self, path: &str) -> impl Iterator<Item = (&'a String, &'a Node)> + use<'a> {
        self.get(path).and_then(Node::as_map).into_iter().flat_map(|map| map.iter())
    }

    pub(super) fn pairs(&self, path: &str) -> BTreeMap<String, String> {
        self.map(path).filter_map(|(key, node)| Some((key.clone(), node.as_text()?.to_owned()))).collect()
    }

    /// A command, where null and nothing mean the image's and empty means none.
    pub(super) fn command(&self, path: &str) -> Command {
        match self.get(path).map(|node| &node.value) {
            Some(Value::List(_)) => Command::Given(self.texts(path)),
            _ => Command::Image,
        }
    }

    pub(super) fn error(&mut self, code: &'static str, at: Span, message: impl Into<String>) {
        let message = format!("`services.{}`: {}", self.name, message.into());
        self.report.push(Diagnostic::error(code, message).label(at.or(self.node.place()), ""));
    }

    pub(super) fn warning(&mut self, code: &'static str, at: Span, message: impl Into<String>) {
        let message = format!("`services.{}`: {}", self.name, message.into());
        self.report.push(Diagnostic::warning(code, message).label(at.or(self.node.place()), ""));
    }
}

pub(super) fn int(node: &Node) -> Option<i64> {
    match node.value {
        Value::Int(int) => Some(int),
        _ => None,
    }
}

pub(super) fn read_duration(node: &Node) -> Option<Duration> {
    let nanoseconds = duration::parse(node.as_text()?).ok()?;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}
