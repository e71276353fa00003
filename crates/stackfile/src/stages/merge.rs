//! Two trees to one: the later file's values win, with the rules of the table.

use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Map, Node, Value};
use crate::place::Path;
use crate::scalar::spell;
use crate::schema::{Merge, Shape, Site};
use crate::source::Span;
use crate::trail::Action;

/// Merges `over` into `base`.
pub fn merge(base: Node, over: Node, site: Site, path: &Path<'_>, report: &mut Report) -> Node {
    match site.merge {
        Merge::Replace => replaced(&base, over),
        Merge::Sequence => appended(base, over, |_, _| true),
        Merge::Hosts => appended(base, over, |kept, item| !kept.contains(item)),
        Merge::Build => {
            let (base, over) = (build_mapping(base), build_mapping(over));
            deep(base, over, site, path, report)
        }
        Merge::DependsOn => deep(mapping(base, started), mapping(over, started), site, path, report),
        Merge::Names => deep(mapping(base, nothing), mapping(over, nothing), site, path, report),
        Merge::Logging => logging(base, over, site, path, report),
        Merge::Pools => pools(base, over, site, path, report),
        Merge::Deep => deep(base, over, site, path, report),
    }
}

/// A service over the one it extends.
pub fn extend(base: Node, service: Node, path: &Path<'_>, report: &mut Report) -> Node {
    merge(base, service, Site::SERVICE, path, report)
}

fn deep(mut base: Node, over: Node, site: Site, path: &Path<'_>, report: &mut Report) -> Node {
    let (base_at, over_at) = (base.place(), over.place());
    match (&mut base.value, over.value) {
        (_, Value::Null) => base,
        (Value::Map(into), Value::Map(from)) => {
            merge_maps(into, from, site, path, report);
            base
        }
        (Value::List(into), Value::List(from)) => {
            if !from.is_empty() {
                base.trail.push(Action::Merged, over.span, "");
            }
            into.extend(from);
            base
        }
        (Value::Map(_) | Value::List(_), other) => {
            if !matches!(other, Value::Broken) {
                let message = format!("`{path}`: {} can't override {}", other.kind(), base.value.kind());
                let finding = Diagnostic::error("cannot-merge", message)
                    .label(over_at, "this")
                    .label(base_at, "can't be merged into this");
                report.push(finding);
            }
            base
        }
        (_, value) => replaced(&base, Node { value, ..over_shell(over.span, over.key, over.trail) }),
    }
}

fn over_shell(span: Span, key: Span, trail: crate::trail::Trail) -> Node {
    Node { span, key, trail, ..Node::new(Value::Null) }
}

fn merge_maps(into: &mut Map, from: Map, site: Site, path: &Path<'_>, report: &mut Report) {
    for (key, value) in from {
        match into.get_mut(&key) {
            None => _ = into.insert(key, value),
            Some(slot) => {
                let base = std::mem::replace(slot, Node::new(Value::Null));
                *slot = merge(base, value, site.key(&key), &path.key(&key), report);
            }
        }
    }
}

fn replaced(base: &Node, mut over: Node) -> Node {
    let before = match &base.value {
        Value::List(_) | Value::Map(_) => String::new(),
        scalar => spell(scalar),
    };
    over.trail.push(Action::Overridden, base.place(), before);
    over
}

fn appended(base: Node, over: Node, keep: impl Fn(&[Node], &Node) -> bool) -> Node {
    let mut joined = Node { value: Value::Null, ..base.clone_shell() };
    joined.trail.push(Action::Merged, over.place(), "");
    let mut items = sequence(base);
    let added: Vec<Node> = sequence(over).into_iter().filter(|item| keep(&items, item)).collect();
    items.extend(added);
    joined.value = Value::List(items);
    joined
}

/// A mapping as `KEY=VALUE` items in the order of their text, a text as one item.
fn sequence(node: Node) -> Vec<Node> {
    match node.value {
        Value::List(list) => list,
        Value::Text(_) => vec![node],
        Value::Map(map) => {
            let mut items: Vec<Node> = map.into_iter().flat_map(|(key, value)| pairs(&key, &value)).collect();
            items.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
            items
        }
        _ => Vec::new(),
    }
}

fn pairs(key: &str, node: &Node) -> Vec<Node> {
    let span = Span { start: node.key.or(node.span).start, ..node.span.or(node.key) };
    let item = |text: String| Node { span, key: Span::NONE, ..node.with(Value::Text(text)) };
    match &node.value {
        Value::Null => vec![item(key.to_owned())],
        Value::List(list) => list.iter().map(|v| item(format!("{key}={}", spell(&v.value)))).collect(),
        value => vec![item(format!("{key}={}", spell(value)))],
    }
}

/// A list of names as a mapping.
fn mapping(node: Node, value: fn(Span) -> Node) -> Node {
    match node.value {
        Value::List(list) => {
            let entries = list.into_iter().filter_map(|item| match item.value {
                Value::Text(name) => Some((name, Node { key: item.span, ..value(item.span) })),
                _ => None,
            });
            Node { value: Value::Map(entries.collect()), ..over_shell(node.span, node.key, node.trail) }
        }
        value => Node { value, ..over_shell(node.span, node.key, node.trail) },
    }
}

fn nothing(at: Span) -> Node {
    Node::at(Value::Null, at)
}

/// What a bare name in `depends_on` stands for.
pub(super) fn started(at: Span) -> Node {
    let entries = [
        ("condition".to_owned(), Node::at(Value::Text("service_started".to_owned()), at)),
        ("required".to_owned(), Node::at(Value::Bool(true), at)),
    ];
    Node::at(Value::Map(entries.into_iter().collect()), at)
}

fn build_mapping(node: Node) -> Node {
    match node.value {
        Value::Text(context) => {
            let context = Node { key: node.span, ..Node::at(Value::Text(context), node.span) };
            let map = [("context".to_owned(), context)].into_iter().collect();
            Node { value: Value::Map(map), ..over_shell(node.span, node.key, node.trail) }
        }
        value => Node { value, ..over_shell(node.span, node.key, node.trail) },
    }
}

fn logging(base: Node, over: Node, site: Site, path: &Path<'_>, report: &mut Report) -> Node {
    let same_driver = match (base.get("driver"), over.get("driver")) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    if same_driver { deep(base, over, site, path, report) } else { replaced(&base, over) }
}

/// Address pools merge by subnet. As in the reference, the result starts from the later file's pools.
fn pools(base: Node, over: Node, site: Site, path: &Path<'_>, report: &mut Report) -> Node {
    if base.as_list().is_none() || over.as_list().is_none() {
        return deep(base, over, site, path, report);
    }
    let same = |a: &Node, b: &Node| a.get("subnet") == b.get("subnet");
    let pool_site = Site { shape: site.shape.and_then(Shape::list), ..Site::UNKNOWN }.item();
    let mut merged: Vec<Node> = Vec::new();
    let mut shell = base.clone_shell();
    shell.trail.push(Action::Merged, over.place(), "");
    let overrides = over.as_list().unwrap_or_default();
    for mut pool in base.into_list() {
        for change in overrides {
            if !same(change, &pool) && !merged.iter().any(|kept| same(kept, change)) {
                merged.push(change.clone());
                continue;
            }
            pool = deep(pool, change.clone(), pool_site, path, report);
            match merged.iter_mut().find(|kept| same(kept, &pool)) {
                Some(kept) => *kept = pool.clone(),
                None => merged.push(pool.clone()),
            }
        }
    }
    Node { value: Value::List(merged), ..shell }
}
