//! Every value against the table: kinds, unknown keys with a suggestion, required keys, limits, repetitions.

use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Node, Value};
use crate::place::Path;
use crate::scalar::spell;
use crate::schema::{
    BOOL, HOIST_PROJECT, HOIST_SERVICE, INT, Limit, MapShape, NULL, NUM, Record, STR, Shape, Site,
    hoist_shape,
};
use crate::source::Span;
use std::collections::HashMap;
use std::fmt::Write;

/// Checks a whole stack file.
pub fn check(top: &Node, report: &mut Report) {
    if let Some(shape) = Site::TOP.shape {
        check_shape(top, shape, &Path::TOP, report);
    }
}

/// Checks one entry of a record whose site is known; tells whether it is right.
pub(super) fn check_entry(key: &str, node: &Node, site: Site, path: &Path<'_>, report: &mut Report) -> bool {
    let errors = report.errors();
    match site.shape {
        Some(shape) => check_shape(node, shape, path, report),
        None if key == "x-hoist" => {
            let shape = if path.depth() > 1 { &HOIST_SERVICE } else { &HOIST_PROJECT };
            check_shape(node, shape, path, report);
        }
        None if key.starts_with("x-") => {}
        None => {
            let record = if path.depth() > 1 { &crate::schema::SERVICE } else { &crate::schema::PROJECT };
            unknown_key(key, node.place(), record, &path.parent(), report);
        }
    }
    report.errors() == errors
}

/// Checks the name of a service.
pub(super) fn check_name(name: &str, node: &Node, path: &Path<'_>, report: &mut Report) {
    if !crate::schema::Keys::Name.allows(name) {
        invalid_name(name, node, &path.parent(), report);
    }
}

fn invalid_name(name: &str, node: &Node, path: &Path<'_>, report: &mut Report) {
    let message = format!("`{name}` is not a valid name in `{path}`");
    let finding = Diagnostic::error("invalid-name", message).label(node.place(), "");
    report.push(finding.help("names are made of letters, digits, `.`, `_` and `-`"));
}

/// Checks a value against a shape.
pub fn check_shape(node: &Node, shape: &'static Shape, path: &Path<'_>, report: &mut Report) {
    if matches!(node.value, Value::Broken) {
        return;
    }
    let fitting = shape.alternatives().iter().find(|shape| accepts(shape, &node.value));
    match fitting {
        None => wrong_kind(node, shape, path, report),
        Some(Shape::Any) => {}
        Some(Shape::Scalar(_, limit)) => check_limit(node, *limit, path, report),
        Some(Shape::List { item, unique }) => {
            let items = node.as_list().unwrap_or_default();
            for (index, node) in items.iter().enumerate() {
                check_shape(node, item, &path.index(index), report);
            }
            if *unique {
                check_unique(items, path, report);
            }
        }
        Some(Shape::Map(shape)) => check_map(node, shape, path, report),
        Some(Shape::Record(record)) => check_record(node, record, path, report),
        Some(Shape::Either(_)) => {}
    }
}

fn accepts(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Any, _)
        | (Shape::List { .. }, Value::List(_))
        | (Shape::Map(_) | Shape::Record(_), Value::Map(_)) => true,
        (Shape::Scalar(kinds, _), value) => {
            let kind = match value {
                Value::Text(_) | Value::Time(_) => STR,
                Value::Int(_) | Value::Big(_) => NUM | INT,
                Value::Float(float) if float.fract() == 0.0 => NUM | INT,
                Value::Float(_) => NUM,
                Value::Bool(_) => BOOL,
                Value::Null => NULL,
                Value::List(_) | Value::Map(_) | Value::Broken => 0,
            };
            kinds & kind != 0
        }
        _ => false,
    }
}

fn wrong_kind(node: &Node, shape: &'static Shape, path: &Path<'_>, report: &mut Report) {
    let expected = expected(shape);
    let message = format!("`{path}` must be {expected}, not {}", node.value.kind());
    let finding = Diagnostic::error("wrong-type", message).label(node.span.or(node.key), "");
    let text_wanted = expected.contains("string");
    let finding = match &node.value {
        Value::Null if node.key.is_some() => finding.help("give it a value or remove the key"),
        Value::Map(_) | Value::List(_) | Value::Text(_) | Value::Null | Value::Broken => finding,
        other if text_wanted => finding.help(format!("put it in quotes: \"{}\"", spell(other))),
        _ => finding,
    };
    report.push(finding);
}

/// The kinds a shape takes, for people.
fn expected(shape: &'static Shape) -> String {
    let mut words: Vec<&str> = Vec::new();
    for shape in shape.alternatives() {
        match shape {
            Shape::Scalar(kinds, _) => {
                let names = [
                    (STR, "a string"),
                    (NUM, "a number"),
                    (INT, "an integer"),
                    (BOOL, "a boolean"),
                    (NULL, "null"),
                ];
                words.extend(names.iter().filter(|(kind, _)| kinds & kind != 0).map(|(_, name)| *name));
            }
            Shape::List { .. } => words.push("a list"),
            Shape::Map(_) | Shape::Record(_) => words.push("a mapping"),
            Shape::Any | Shape::Either(_) => {}
        }
    }
    match words.split_last() {
        None => "something else".to_owned(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

fn check_limit(node: &Node, limit: Limit, path: &Path<'_>, report: &mut Report) {
    let at = node.span.or(node.key);
    let text = match &node.value {
        Value::Text(text) => text.as_str(),
        Value::Time(time) => time.raw.as_str(),
        _ => "",
    };
    match (limit, &node.value) {
        (Limit::OneOf(words), Value::Text(_) | Value::Time(_)) if !words.contains(&text) => {
            let message = format!("`{path}` must be one of {}, not `{text}`", words.join(", "));
            let mut finding = Diagnostic::error("invalid-value", message).label(at, "");
            if let Some(near) = nearest(text, words.iter().copied()) {
                finding = finding.help(format!("did you mean `{near}`?"));
            }
            report.push(finding);
        }
        (Limit::Range(low, high), Value::Int(int)) if !(low..=high).contains(int) => {
            let range = if high == i64::MAX { format!("{low} or more") } else { format!("{low} to {high}") };
            report.error("out-of-range", at, format!("`{path}` must be {range}, not {int}"));
        }
        (Limit::PullPolicy, Value::Text(_) | Value::Time(_)) if !is_pull_policy(text) => {
            let finding =
                Diagnostic::error("invalid-value", format!("`{path}`: unknown pull policy `{text}`"));
            let help = "one of always, never, missing, build, refresh, daily, weekly, every_<duration>";
            report.push(finding.label(at, "").help(help));
        }
        (Limit::ContainerName, Value::Text(_) | Value::Time(_))
            if !text.is_empty() && !has_container_name(text) =>
        {
            let message = format!("`{path}`: `{text}` is not a container name");
            let finding = Diagnostic::error("invalid-value", message).label(at, "");
            report.push(
                finding.help("two or more letters, digits, `_`, `.` or `-`, not beginning with a sign"),
            );
        }
        _ => {}
    }
}

fn is_pull_policy(text: &str) -> bool {
    const WORDS: [&str; 8] =
        ["always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"];
    let every = |rest: &str| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && rest[digits..].starts_with(['w', 'd', 'h', 'm', 's'])
    };
    WORDS.iter().any(|word| text.contains(word)) || text.split("every_").skip(1).any(every)
}

fn has_container_name(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| {
        pair[0].is_ascii_alphanumeric()
            && (pair[1].is_ascii_alphanumeric() || matches!(pair[1], b'_' | b'.' | b'-'))
    })
}

fn check_map(node: &Node, shape: &'static MapShape, path: &Path<'_>, report: &mut Report) {
    for (key, value) in node.as_map().into_iter().flatten() {
        if shape.keys.allows(key) {
            check_shape(value, &shape.value, &path.key(key), report);
        } else if shape.closed {
            invalid_name(key, value, path, report);
        }
    }
}

fn check_record(node: &Node, record: &'static Record, path: &Path<'_>, report: &mut Report) {
    let Some(map) = node.as_map() else { return };
    for (key, value) in map {
        match record.field(key) {
            Some(field) => check_shape(value, &field.shape, &path.key(key), report),
            None if record.extensible && key.starts_with("x-") => {
                if let Some(own) = hoist_shape(record).filter(|_| key == "x-hoist") {
                    check_shape(value, own, &path.key(key), report);
                }
            }
            None if record.closed => unknown_key(key, value.place(), record, path, report),
            None => {}
        }
    }
    for required in record.required {
        if !map.contains_key(*required) {
            let message = format!("`{path}` has no `{required}`, which {} needs", record.what);
            report.error("missing-key", node.place(), message);
        }
    }
}

fn unknown_key(key: &str, at: Span, record: &Record, path: &Path<'_>, report: &mut Report) {
    let location = path.to_string();
    let location = if location.is_empty() { record.what } else { &location };
    let message = format!("unknown key `{key}` in {location}");
    let finding = Diagnostic::error("unknown-key", message).label(at, "");
    let help = match nearest(key, record.fields.iter().map(|field| field.name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if record.extensible => "a key of your own must begin with `x-`".to_owned(),
        None => {
            format!("known keys: {}", record.fields.iter().map(|f| f.name).collect::<Vec<_>>().join(", "))
        }
    };
    report.push(finding.help(help));
}

/// The known word nearest to a mistyped one, if one is near enough.
#[must_use]
pub fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if typed.len() > 40 {
        return None;
    }
    let typed = typed.to_ascii_lowercase().replace('-', "_");
    let far = (typed.len() / 3).clamp(1, 3);
    words
        .map(|word| (strsim::damerau_levenshtein(&typed, &word.replace('-', "_")), word))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn check_unique(items: &[Node], path: &Path<'_>, report: &mut Report) {
    for (first, again) in repetitions(items) {
        let message = format!("`{path}` says the same twice");
        let finding = Diagnostic::error("repeated-item", message)
            .label(again.span, "here again")
            .label(first.span, "first here");
        report.push(finding);
    }
}

/// Pairs of equal items. Short lists, the usual ones, are compared in place.
fn repetitions(items: &[Node]) -> Vec<(&Node, &Node)> {
    const SHORT: usize = 16;
    if items.len() <= SHORT {
        let first = |at: usize| items[..at].iter().find(|first| **first == items[at]);
        return (1..items.len()).filter_map(|at| Some((first(at)?, &items[at]))).collect();
    }
    let mut seen: HashMap<String, &Node> = HashMap::with_capacity(items.len());
    let mut pairs = Vec::new();
    for item in items {
        let mut print = String::new();
        fingerprint(&item.value, &mut print);
        pairs.extend(seen.insert(print, item).map(|first| (first, item)));
    }
    pairs
}

/// A text that two values share exactly when they are equal.
fn fingerprint(value: &Value, out: &mut String) {
    match value {
        Value::Text(text) => _ = write!(out, "\"{}:{text}\"", text.len()),
        Value::List(list) => {
            out.push('[');
            list.iter().for_each(|node| fingerprint(&node.value, out));
            out.push(']');
        }
        Value::Map(map) => {
            let mut entries: Vec<(&String, &Node)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, node) in entries {
                _ = write!(out, "\"{}:{key}\"", key.len());
                fingerprint(&node.value, out);
            }
            out.push('}');
        }
        other => _ = write!(out, "{}:{};", other.kind(), spell(other)),
    }
}

/// The mapping of a section, when it is one.
pub(crate) fn section<'a>(top: &'a Node, name: &str) -> impl Iterator<Item = (&'a String, &'a Node)> {
    top.get(name).and_then(Node::as_map).into_iter().flat_map(|map| map.iter())
}
