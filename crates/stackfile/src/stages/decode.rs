//! Every value in the form the table gives it: kinds resolved, pairs as mappings, sizes and durations read.
//!
//! The result is the canonical tree: attributes in canonical order, values that say nothing left out, `x-`
//! keys kept. How it is written down is `canonical`'s matter.

use super::interpolate::cast_text;
use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Map, Node, Value};
use crate::place::Path;
use crate::scalar::spell;
use crate::schema::{Cast, Form, PROJECT, Record};
use crate::syntax::{bytes, duration, words};
use crate::trail::Action;

/// Decodes a whole stack file.
pub fn decode(top: Node, report: &mut Report) -> Node {
    Decoder { report }.record(top, &PROJECT, &Path::TOP)
}

/// An attribute with its place in the record, and whether it was written by its name in JSON.
type Known = (usize, bool, Node);

/// The attributes in the order of the record, and the extensions in the order of their names.
fn sorted(map: Map, record: &'static Record) -> (Vec<Known>, Vec<(String, Node)>) {
    let mut known: Vec<Known> = Vec::with_capacity(map.len());
    let mut extensions: Vec<(String, Node)> = Vec::new();
    for (key, node) in map {
        match record.index(&key) {
            Some(index) => known.push((index, record.fields[index].name != key, node)),
            None if record.extensible && key.starts_with("x-") => extensions.push((key, node)),
            None => {}
        }
    }
    known.sort_by_key(|(index, is_json, _)| (*index, *is_json));
    known.dedup_by_key(|(index, ..)| *index);
    extensions.sort_by(|a, b| a.0.cmp(&b.0));
    (known, extensions)
}

struct Decoder<'a> {
    report: &'a mut Report,
}

impl Decoder<'_> {
    fn record(&mut self, node: Node, record: &'static Record, path: &Path<'_>) -> Node {
        let shell = node.clone_shell();
        let Value::Map(map) = node.value else { return shell };
        let (known, extensions) = sorted(map, record);
        let mut out = Map::with_capacity(known.len() + extensions.len());
        for (index, _, node) in known {
            let field = &record.fields[index];
            if let Some(node) = self.value(node, field.form, &path.key(field.name)) {
                out.insert(field.name.to_owned(), node);
            }
        }
        out.extend(extensions);
        Node { value: Value::Map(out), ..shell }
    }

    /// The canonical value, or nothing where it says nothing.
    fn value(&mut self, node: Node, form: Form, path: &Path<'_>) -> Option<Node> {
        match (form, &node.value) {
            (Form::Command, Value::Null) => return Some(node),
            (Form::Hidden, _) | (_, Value::Null | Value::Broken) => return None,
            _ => {}
        }
        match form {
            Form::Record(record) | Form::ShownRecord(record) => Some(self.record(node, record, path)),
            Form::Records(record) => self.records(node, record, path),
            Form::Named(record) | Form::ShownNamed(record) => self.named(node, record, false, path),
            Form::NamedOrNull(record) => self.named(node, record, true, path),
            Form::Texts | Form::TextsOrNumbers => self.texts(node, form, path),
            Form::Pairs | Form::Options => self.pairs(node, false, path),
            Form::Environment => self.pairs(node, true, path),
            Form::MultiOptions => self.multi_options(node, path),
            Form::Hosts => self.hosts(node, path),
            Form::Command => self.command(node, path),
            Form::HealthTest => self.health_test(node, path),
            Form::Ssh => self.ssh(node, path),
            Form::Ulimits => self.ulimits(node, path),
            _ => self.scalar(node, form, path),
        }
    }

    fn scalar(&mut self, mut node: Node, form: Form, path: &Path<'_>) -> Option<Node> {
        match scalar_value(&node.value, form) {
            Ok(value) => {
                if says_nothing(&value, form) {
                    return None;
                }
                if value != node.value {
                    let before = spell(&node.value);
                    if let Value::Text(after) = &value
                        && *after != before
                    {
                        node.trail.push(Action::Expanded, node.span, before);
                    }
                    node.value = value;
                }
                Some(node)
            }
            Err(reason) => self.fail(&node, path, &reason),
        }
    }

    fn fail(&mut self, node: &Node, path: &Path<'_>, reason: &str) -> Option<Node> {
        let finding = Diagnostic::error("invalid-value", format!("`{path}`: {reason}"));
        self.report.push(finding.label(node.span.or(node.key), ""));
        None
    }

    fn kind(&mut self, node: &Node, path: &Path<'_>, wanted: &str) -> Option<Node> {
        self.fail(node, path, &format!("expected {wanted}, not {}", node.value.kind()))
    }

    fn records(&mut self, node: Node, record: &'static Record, path: &Path<'_>) -> Option<Node> {
        let shell = node.clone_shell();
        let Value::List(list) = node.value else { return self.kind(&node, path, "a list") };
        let items: Vec<Node> = list
            .into_iter()
            .enumerate()
            .filter(|(_, item)| !matches!(item.value, Value::Broken))
            .filter_map(|(index, item)| match item.value {
                Value::Map(_) => Some(self.record(item, record, &path.index(index))),
                _ => self.kind(&item, &path.index(index), "a mapping"),
            })
            .collect();
        (!items.is_empty()).then(|| Node { value: Value::List(items), ..shell })
    }

    fn named(&mut self, node: Node, record: &'static Record, or_null: bool, path: &Path<'_>) -> Option<Node> {
        let shell = node.clone_shell();
        let Value::Map(map) = node.value else { return self.kind(&node, path, "a mapping") };
        let mut entries: Vec<(String, Node)> = Vec::with_capacity(map.len());
        for (name, mut node) in map {
            match node.value {
                Value::Null if or_null => entries.push((name, node)),
                Value::Null | Value::Map(_) => {
                    if node.is_null() {
                        node.value = Value::Map(Map::new());
                    }
                    let node = self.record(node, record, &path.key(&name));
                    entries.push((name, node));
                }
                Value::Broken => {}
                _ => _ = self.kind(&node, &path.key(&name), "a mapping"),
            }
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        (!entries.is_empty()).then(|| Node { value: Value::Map(entries.into_iter().collect()), ..shell })
    }

    fn texts(&mut self, node: Node, form: Form, path: &Path<'_>) -> Option<Node> {
        let shell = node.clone_shell();
        let items = match node.value {
            Value::Text(_) => vec![node],
            Value::List(list) => list,
            _ => return self.kind(&node, path, "a list of strings"),
        };
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match &item.value {
                Value::Text(_) => texts.push(item),
                Value::Int(_) => texts.push(item.with(Value::Text(spell(&item.value)))),
                Value::Float(_) if matches!(form, Form::TextsOrNumbers) => {
                    texts.push(item.with(Value::Text(spell(&item.value))));
                }
                Value::Time(time) => _ = self.fail(&item, &path.index(index), &is_date(&time.raw)),
                Value::Broken | Value::Null => {}
                _ => _ = self.kind(&item, &path.index(index), "a string"),
            }
        }
        (!texts.is_empty()).then(|| Node { value: Value::List(texts), ..shell })
    }

    /// `KEY=VALUE` as a mapping in the order of the keys. Without a value: null, or empty text.
    fn pairs(&mut self, node: Node, keep_null: bool, path: &Path<'_>) -> Option<Node> {
        let shell = node.clone_shell();
        let empty = || if keep_null { Value::Null } else { Value::Text(String::new()) };
        let mut entries: Vec<(String, Node)> = Vec::new();
        match node.value {
            Value::Map(map) => {
                for (key, mut node) in map {
                    match &node.value {
                        Value::Null => node.value = empty(),
                        Value::Text(_) => {}
                        Value::Broken => continue,
                        other => node.value = Value::Text(spell(other)),
                    }
                    entries.push((key, node));
                }
            }
            Value::List(list) => {
                for (index, item) in list.into_iter().enumerate() {
                    if matches!(item.value, Value::Broken) {
                        continue;
                    }
                    let text = spell(&item.value);
                    let (key, value) = match text.split_once('=') {
                        Some((key, value)) => (key, Value::Text(value.to_owned())),
                        None => (text.as_str(), empty()),
                    };
                    if keep_null && key.ends_with(char::is_whitespace) {
                        let reason = format!("the variable `{key}` has a space before the `=`");
                        _ = self.fail(&item, &path.index(index), &reason);
                    }
                    let node = Node { key: item.span, ..item.with(value) };
                    entries.push((key.to_owned(), node));
                }
            }
            _ => return self.kind(&node, path, "a mapping or a list of KEY=VALUE"),
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        (!entries.is_empty()).then(|| Node { value: Value::Map(entries.into_iter().collect()), ..shell })
    }

    fn multi_options(&mut self, node: Node, path: &Path<'_>) -> Option<Node> {
        let shell = node.clone_shell();
        let Value::Map(map) = node.value else { return self.kind(&node, path, "a mapping") };
        let mut entries: Vec<(String, Node)> = Vec::new();
        for (key, node) in map {
            let shell = node.clone_shell();
            let items = match node.value {
                Value::List(list) => list,
                _ => vec![node],
            };
            let texts = items.into_iter().map(|item| item.with(Value::Text(spell(&item.value)))).collect();
            entries.push((key, Node { value: Value::List(texts), ..shell }));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        (!entries.is_empty()).then(|| Node { value: Value::Map(entries.into_iter().collect()), ..shell })
    }

    /// Hosts as a sorted list of `name=address`.
    fn hosts(&mut self, node: Node, path: &Path<'_>) -> Option<Node> {
        let shell = node.clone_shell();
        let mut hosts: Vec<Node> = Vec::new();
        match node.value {
            Value::Map(map) => {
                for (host, node) in map {
                    let path = path.key(&host);
                    let addresses = match &node.value {
                        Value::Null => vec![String::new()],
                        Value::List(list) => list.iter().map(|item| spell(&item.value)).collect(),
                        Value::Text(text) => vec![text.clone()],
                        Value::Broken => continue,
                        _ => {
                            _ = self.kind(&node, &path, "an address or a list of addresses");
                            continue;
                        }
                    };
                    self.host(&host, addresses, &node, &path, &mut hosts);
                }
            }
            Value::List(list) => {
                for (index, item) in list.into_iter().enumerate() {
                    let path = path.index(index);
                    if matches!(item.value, Value::Broken) {
                        continue;
                    }
                    let text = spell(&item.value);
                    match text.split_once('=').or_else(|| text.split_once(':')) {
                        Some((host, addresses)) => {
                            let addresses = addresses.split(',').map(str::to_owned).collect();
                            self.host(host, addresses, &item, &path, &mut hosts);
                        }
                        None => _ = self.fail(&item, &path, &format!("`{text}` has no address")),
                    }
                }
            }
            _ => return self.kind(&node, path, "a mapping or a list"),
        }
        hosts.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
        (!hosts.is_empty()).then(|| Node { value: Value::List(hosts), ..shell })
    }

    fn host(
        &mut self,
        host: &str,
        addresses: Vec<String>,
        at: &Node,
        path: &Path<'_>,
        hosts: &mut Vec<Node>,
    ) {
        if host.is_empty() || host.contains([':', '=']) {
            _ = self.fail(at, path, &format!("`{host}` is not a host name"));
            return;
        }
        for address in addresses {
            let bare = address
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .filter(|bare| !bare.is_empty())
                .unwrap_or(&address);
            hosts.push(at.with(Value::Text(format!("{host}={bare}"))));
        }
    }

    fn command(&mut self, node: Node, path: &Path<'_>) -> Option<Node> {
        let shell = node.clone_shell();
        match node.value {
            Value::Text(line) => match words::split(&line) {
                Ok(words) => {
                    let items = words.words.into_iter().map(|word| shell.with(Value::Text(word))).collect();
                    let mut out = Node { value: Value::List(items), ..shell };
                    out.trail.push(Action::Expanded, out.span, line);
                    Some(out)
                }
                Err(reason) => self.fail(&shell, path, &reason),
            },
            Value::List(list) => {
                for (index, item) in list.iter().enumerate() {
                    if !matches!(item.value, Value::Text(_) | Value::Broken) {
                        _ = self.kind(item, &path.index(index), "a string");
                    }
                }
                Some(Node { value: Value::List(list), ..shell })
            }
            _ => self.kind(&node, path, "a string or a list of strings"),
        }
    }

    fn health_test(&mut self, node: Node, path: &Path<'_>) -> Option<Node> {
        if let Value::Text(_) = node.value {
            let shell = node.with(Value::Text("CMD-SHELL".to_owned()));
            let span = node.clone_shell();
            return Some(Node { value: Value::List(vec![shell, node]), ..span });
        }
        self.texts(node, Form::Texts, path)
    }

    fn ssh(&mut self, node: Node, path: &Path<'_>) -> Option<Node> {
        let shell = node.clone_shell();
        let Value::Map(map) = node.value else { return self.kind(&node, path, "a mapping") };
        let mut agents: Vec<Node> = map
            .into_iter()
            .map(|(id, node)| match &node.value {
                Value::Null => node.with(Value::Text(id)),
                value => node.with(Value::Text(format!("{id}={}", spell(value)))),
            })
            .collect();
        agents.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
        (!agents.is_empty()).then(|| Node { value: Value::List(agents), ..shell })
    }

    fn ulimits(&mut self, node: Node, path: &Path<'_>) -> Option<Node> {
        let shell = node.clone_shell();
        let Value::Map(map) = node.value else { return self.kind(&node, path, "a mapping") };
        let mut entries: Vec<(String, Node)> = Vec::new();
        for (name, node) in map {
            let path = path.key(&name);
            let node = match &node.value {
                Value::Broken => None,
                Value::Map(limits) => {
                    let mut out = Map::new();
                    for side in ["soft", "hard"] {
                        let limit = limits.get(side).cloned().unwrap_or_else(|| node.with(Value::Int(0)));
                        if let Some(limit) = self.scalar(limit, Form::OptInt, &path.key(side)) {
                            out.insert(side.to_owned(), limit);
                        }
                    }
                    Some(node.with(Value::Map(out)))
                }
                _ => self.scalar(node, Form::OptInt, &path),
            };
            entries.extend(node.map(|node| (name, node)));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        (!entries.is_empty()).then(|| Node { value: Value::Map(entries.into_iter().collect()), ..shell })
    }
}

/// Whether a value is the same as none.
fn says_nothing(value: &Value, form: Form) -> bool {
    match (form, value) {
        (Form::Text, Value::Text(text)) => text.is_empty(),
        (Form::Flag, Value::Bool(flag)) => !flag,
        (Form::OptOut, Value::Bool(flag)) => *flag,
        (Form::Int | Form::Uint | Form::DeviceCount | Form::Number, Value::Int(0)) => true,
        (Form::Number, Value::Float(float)) => *float == 0.0,
        (Form::Bytes, Value::Text(text)) => text == "0",
        (Form::Duration, Value::Text(text)) => text == "0s",
        _ => false,
    }
}

fn is_date(text: &str) -> String {
    format!("`{text}` is a date to YAML, and a string is needed: put it in quotes")
}

/// A scalar in its canonical form.
fn scalar_value(value: &Value, form: Form) -> Result<Value, String> {
    let wrong = |wanted: &str| Err(format!("expected {wanted}, not {}", value.kind()));
    match (form, value) {
        (Form::Text, Value::Text(text)) => Ok(Value::Text(text.clone())),
        (Form::Text, Value::Int(int)) => Ok(Value::Text(int.to_string())),
        (Form::Text, Value::Time(time)) => Err(is_date(&time.raw)),
        (Form::Text, _) => wrong("a string"),
        (Form::Flag | Form::OptFlag | Form::OptOut | Form::ShownFlag, Value::Bool(flag)) => {
            Ok(Value::Bool(*flag))
        }
        (Form::Flag | Form::OptFlag | Form::OptOut | Form::ShownFlag, Value::Text(text)) => {
            cast_text(text, Cast::Flag)
        }
        (Form::Flag | Form::OptFlag | Form::OptOut | Form::ShownFlag, _) => wrong("a boolean"),
        (Form::Uint, Value::Int(int)) if *int < 0 => Err(format!("{int} is below zero")),
        (Form::Uint, Value::Text(text)) => Err(format!("`{text}` is a string; a number is needed here")),
        (Form::Int | Form::Uint | Form::OptInt, Value::Int(int)) => Ok(Value::Int(*int)),
        #[expect(clippy::cast_possible_truncation, reason = "fractions are dropped, as the reference does")]
        (Form::Int | Form::Uint | Form::OptInt, Value::Float(float)) => Ok(Value::Int(*float as i64)),
        (Form::Int | Form::OptInt, Value::Text(text)) => cast_text(text, Cast::Int),
        (Form::Int | Form::Uint | Form::OptInt, _) => wrong("an integer"),
        #[expect(clippy::cast_precision_loss, reason = "the field holds a float")]
        (Form::Number, Value::Int(int)) => Ok(single(*int as f64)),
        (Form::Number, Value::Float(float)) => Ok(single(*float)),
        (Form::Number, Value::Text(text)) => match cast_text(text, Cast::Float)? {
            Value::Float(float) => Ok(single(float)),
            other => Ok(other),
        },
        (Form::Number, _) => wrong("a number"),
        (Form::Bytes, Value::Int(int)) => Ok(Value::Text(int.to_string())),
        (Form::Bytes, Value::Float(float)) if float.fract() == 0.0 => Ok(Value::Text(format!("{float}"))),
        (Form::Bytes, Value::Text(text)) => Ok(Value::Text(bytes::parse(text)?.to_string())),
        (Form::Bytes, _) => wrong("a size"),
        (Form::Duration | Form::OptDuration, Value::Text(_) | Value::Int(_) | Value::Float(_)) => {
            Ok(Value::Text(duration::format(duration::parse(&spell(value))?)))
        }
        (Form::Duration | Form::OptDuration, _) => wrong("a duration"),
        (Form::Mode, Value::Int(mode)) => Ok(Value::Text(format!("0{mode:o}"))),
        (Form::Mode, Value::Text(text)) => match i64::from_str_radix(text, 8) {
            Ok(mode) => Ok(Value::Text(format!("0{mode:o}"))),
            Err(_) => Err(format!("`{text}` is not an octal file mode, for instance \"0440\"")),
        },
        (Form::Mode, _) => wrong("an octal file mode"),
        (Form::DeviceCount, Value::Int(int)) => Ok(Value::Int(*int)),
        (Form::DeviceCount, Value::Text(text)) if text.eq_ignore_ascii_case("all") => Ok(Value::Int(-1)),
        (Form::DeviceCount, Value::Text(text)) => cast_text(text, Cast::Int)
            .map_err(|_| format!("`{text}` is not a number of devices: expected `all` or an integer")),
        (Form::DeviceCount, _) => wrong("`all` or an integer"),
        _ => Ok(value.clone()),
    }
}

/// A float rounded to single precision; whole numbers are integers in the canonical form.
fn single(float: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "the field holds single precision")]
    let single = float as f32;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    if single.fract() == 0.0 && single.abs() < 1e15 {
        return Value::Int(single as i64);
    }
    Value::Float(single.to_string().parse().unwrap_or(float))
}
