//! Variables in values, and the kinds that fields want of the resulting text.
//!
//! Keys are never touched. Each file is done before it merges with others, so a variable's place is known.

use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Node, Value};
use crate::place::Path;
use crate::schema::{Cast, Site};
use crate::source::Span;
use crate::syntax::template::{self, TemplateError};
use crate::trail::Action;
use std::collections::{BTreeMap, HashSet};

/// The variables of a load.
pub type Environment = BTreeMap<String, String>;

/// Replaces variables in a tree.
#[derive(Debug)]
pub struct Interpolation<'a> {
    /// The variables.
    pub environment: &'a Environment,
    /// Names already warned about.
    pub warned: &'a mut HashSet<String>,
    /// Where findings go.
    pub report: &'a mut Report,
}

impl Interpolation<'_> {
    /// Replaces all variables below a node.
    pub fn run(&mut self, node: &mut Node, site: Site, path: &Path<'_>) {
        match &mut node.value {
            Value::Map(map) => {
                for (key, value) in map {
                    self.run(value, site.key(key), &path.key(key));
                }
            }
            Value::List(list) => {
                for (index, item) in list.iter_mut().enumerate() {
                    self.run(item, site.item(), &path.index(index));
                }
            }
            Value::Text(_) => self.text(node, site.cast, path),
            _ => {}
        }
    }

    fn text(&mut self, node: &mut Node, cast: Option<Cast>, path: &Path<'_>) {
        let Value::Text(text) = &mut node.value else { return };
        if text.contains('$') {
            let lookup = |name: &str| self.environment.get(name).cloned();
            match template::substitute(text, &lookup) {
                Ok(outcome) if !self.report.afford(outcome.text.len(), node.span) => {
                    node.value = Value::Broken;
                }
                Ok(outcome) => {
                    let template = std::mem::replace(text, outcome.text);
                    node.trail.push(Action::Interpolated, node.span, template);
                    self.warn_unset(&outcome.unset, node.span);
                }
                Err(error) => {
                    self.report.push(describe(&error, node.span, path));
                    node.value = Value::Broken;
                    return;
                }
            }
        }
        if let (Some(cast), Value::Text(text)) = (cast, &node.value) {
            match cast_text(text, cast) {
                Ok(value) => node.value = value,
                Err(reason) => {
                    let before = node.trail.steps().next().map(|step| step.before.as_str());
                    let finding = Diagnostic::error("wrong-type", format!("`{path}`: {reason}"));
                    let note = before.map_or(String::new(), |t| format!("`{t}` becomes `{text}`"));
                    self.report.push(finding.label(node.span, note));
                    node.value = Value::Broken;
                }
            }
        }
    }

    fn warn_unset(&mut self, names: &[String], at: Span) {
        for name in names {
            if self.warned.insert(name.clone()) {
                let message = format!("the variable `{name}` is not set: it becomes empty");
                let finding = Diagnostic::warning("unset-variable", message).label(at, "");
                self.report.push(finding.help(format!(
                    "set it, give a default with `${{{name}:-…}}`, or write `$$` for a literal dollar"
                )));
            }
        }
    }
}

fn describe(error: &TemplateError, at: Span, path: &Path<'_>) -> Diagnostic {
    match error {
        TemplateError::Invalid => {
            Diagnostic::error("invalid-template", format!("`{path}`: invalid variable expression"))
                .label(at, "")
                .help("`${NAME}` or `${NAME:-default}`; a literal dollar is written `$$`")
        }
        TemplateError::Required { name, reason } => {
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            let message = format!("`{path}`: the required variable `{name}` is not set{reason}");
            Diagnostic::error("required-variable", message).label(at, "")
        }
        TemplateError::TooDeep => {
            Diagnostic::error("too-deep", format!("`{path}`: variables are nested too deep")).label(at, "")
        }
        TemplateError::TooLong => {
            Diagnostic::error("too-long", format!("`{path}`: the value becomes too long")).label(at, "")
        }
    }
}

/// Text to the kind a field wants.
///
/// # Errors
/// The text of the reason.
pub fn cast_text(text: &str, cast: Cast) -> Result<Value, String> {
    match cast {
        Cast::Flag => match text.to_lowercase().as_str() {
            "true" | "y" | "yes" | "on" => Ok(Value::Bool(true)),
            "false" | "n" | "no" | "off" => Ok(Value::Bool(false)),
            _ => Err(format!("`{text}` is not a boolean: expected true or false")),
        },
        Cast::Int => {
            let digits = text.strip_prefix('+').filter(|rest| !rest.starts_with('-')).unwrap_or(text);
            digits.parse().map(Value::Int).map_err(|_| format!("`{text}` is not an integer"))
        }
        Cast::Float => match parse_float(text) {
            Some(float) => Ok(Value::Float(float)),
            None => Err(format!("`{text}` is not a number")),
        },
    }
}

/// A decimal number, without the words (`inf`, `nan`) that Rust would take too.
#[must_use]
pub fn parse_float(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-' | b'e' | b'E'));
    if plain { text.parse().ok() } else { None }
}
