//! List items that say the same thing twice: the later one takes the earlier one's place.

use crate::diagnostic::Report;
use crate::node::{Node, Value};
use crate::place::Path;
use crate::scalar::spell;
use crate::schema::{Site, Unique};
use crate::syntax::volume;
use crate::trail::Action;
use std::borrow::Cow;
use std::collections::HashMap;

/// Makes every list of the tree unique that the table says so of.
pub fn enforce(node: &mut Node, site: Site, path: &Path<'_>, report: &mut Report) {
    match &mut node.value {
        Value::Map(map) if site.shape.is_some() => {
            for (key, value) in map {
                enforce(value, site.key(key), &path.key(key), report);
            }
        }
        Value::List(list) => {
            if let Some(unique) = site.unique {
                let items = std::mem::take(list);
                *list = dedup(items, unique, path, report);
            }
        }
        _ => {}
    }
}

/// Whether an attribute of a service is a list to make unique, or has one inside.
pub(super) fn concerns(key: &str, site: Site) -> bool {
    site.unique.is_some() || matches!(key, "build" | "deploy" | "networks")
}

fn dedup(mut items: Vec<Node>, unique: Unique, path: &Path<'_>, report: &mut Report) -> Vec<Node> {
    for (index, item) in items.iter_mut().enumerate() {
        if let Err(reason) = item_key(item, unique) {
            let message = format!("`{}`: {reason}", path.index(index));
            report.error("invalid-item", item.span.or(item.key), message);
            item.value = Value::Broken;
        }
    }
    let Some(places) = repeated(&items, unique) else { return items };
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    let mut moved: Vec<usize> = Vec::with_capacity(items.len());
    for (mut item, first) in items.into_iter().zip(places) {
        match first {
            Some(first) => {
                let place: &mut Node = &mut kept[moved[first]];
                if item.span != place.span {
                    item.trail.push(Action::Overridden, place.span, brief(&place.value));
                }
                moved.push(moved[first]);
                *place = item;
            }
            None => {
                moved.push(kept.len());
                kept.push(item);
            }
        }
    }
    kept
}

/// For each item the first one that says the same; `None` when no two do.
fn repeated(items: &[Node], unique: Unique) -> Option<Vec<Option<usize>>> {
    if items.len() < 2 {
        return None;
    }
    let mut any = false;
    let mut places: HashMap<Cow<'_, str>, usize, foldhash::fast::RandomState> = HashMap::default();
    let firsts = items.iter().enumerate().map(|(index, item)| {
        let key = item_key(item, unique).ok().flatten()?;
        let first = *places.entry(key).or_insert(index);
        any |= first != index;
        (first != index).then_some(first)
    });
    let firsts: Vec<Option<usize>> = firsts.collect();
    any.then_some(firsts)
}

fn brief(value: &Value) -> String {
    match value {
        Value::List(_) | Value::Map(_) => String::new(),
        scalar => spell(scalar),
    }
}

/// What makes an item the same as another; `None` for values whose error was reported already.
fn item_key(item: &Node, unique: Unique) -> Result<Option<Cow<'_, str>>, String> {
    let text = |key: &str| item.get(key).map(|node| brief_text(&node.value));
    let key = match (unique, &item.value) {
        (_, Value::Broken) => return Ok(None),
        (Unique::Key, Value::Text(pair)) => Cow::from(pair.split('=').next().unwrap_or_default()),
        (Unique::Volume, Value::Text(short)) => Cow::from(volume::parse(short)?.target),
        (Unique::Volume, Value::Map(_)) => text("target").ok_or("the volume has no `target`")?,
        (Unique::Device, Value::Text(short)) => {
            let mut parts = short.split(':');
            let source = parts.next().unwrap_or_default();
            Cow::from(parts.next().unwrap_or(source))
        }
        (Unique::Device, Value::Map(_)) => text("target").ok_or("the device has no `target`")?,
        (Unique::EnvFile, Value::Text(path)) => Cow::from(path),
        (Unique::EnvFile, Value::Map(_)) => text("path").ok_or("the env file has no `path`")?,
        (Unique::Expose | Unique::Port, Value::Text(_) | Value::Int(_)) => brief_text(&item.value),
        (Unique::Port, Value::Map(_)) => Cow::from(port_key(item)?),
        (Unique::Mount(folder), Value::Text(source)) => Cow::from(format!("{folder}/{source}")),
        (Unique::Mount(folder), Value::Map(_)) => text("target")
            .unwrap_or_else(|| Cow::from(format!("{folder}/{}", text("source").unwrap_or_default()))),
        (Unique::Volume | Unique::Device | Unique::EnvFile | Unique::Port, _) => Cow::from(""),
        (_, other) => return Err(format!("{} can't stand here", other.kind())),
    };
    Ok(Some(key))
}

fn brief_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Text(text) => Cow::from(text),
        other => Cow::from(spell(other)),
    }
}

/// Text and number differ as host port, as in the reference: `8080` and `"8080"` are two ports.
fn port_key(item: &Node) -> Result<String, String> {
    let text = |key: &str, default: &'static str| {
        item.get(key).map_or(Cow::from(default), |node| brief_text(&node.value))
    };
    let target = item.get("target").ok_or("the port has no `target`")?;
    let kind = item.get("published").map_or("", |node| node.value.kind());
    let (host, published) = (text("host_ip", "0.0.0.0"), text("published", ""));
    Ok(format!("{host}|{kind}|{published}|{}|{}", brief_text(&target.value), text("protocol", "tcp")))
}
