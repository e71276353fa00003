//! List items that say the same thing twice: the later one takes the earlier one's place.

use crate::diagnostic::Report;
use crate::node::{Node, Value};
use crate::place::Path;
use crate::scalar::spell;
use crate::schema::{Site, Unique};
use crate::syntax::volume;
use crate::trail::Action;
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

fn dedup(items: Vec<Node>, unique: Unique, path: &Path<'_>, report: &mut Report) -> Vec<Node> {
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    let mut places: HashMap<String, usize> = HashMap::with_capacity(items.len());
    for (index, mut item) in items.into_iter().enumerate() {
        match item_key(&item, unique) {
            Ok(None) => {
                kept.push(item);
            }
            Ok(Some(key)) => match places.get(&key) {
                Some(place) => {
                    if item.span != kept[*place].span {
                        item.trail.push(Action::Overridden, kept[*place].span, brief(&kept[*place].value));
                    }
                    kept[*place] = item;
                }
                None => {
                    places.insert(key, kept.len());
                    kept.push(item);
                }
            },
            Err(reason) => {
                let message = format!("`{}`: {reason}", path.index(index));
                report.error("invalid-item", item.span.or(item.key), message);
                item.value = Value::Broken;
                kept.push(item);
            }
        }
    }
    kept
}

fn brief(value: &Value) -> String {
    match value {
        Value::List(_) | Value::Map(_) => String::new(),
        scalar => spell(scalar),
    }
}

/// What makes an item the same as another; `None` for values whose error was reported already.
fn item_key(item: &Node, unique: Unique) -> Result<Option<String>, String> {
    let text = |key: &str| item.get(key).map(|node| spell(&node.value));
    let key = match (unique, &item.value) {
        (_, Value::Broken) => return Ok(None),
        (Unique::Key, Value::Text(pair)) => pair.split('=').next().unwrap_or_default().to_owned(),
        (Unique::Volume, Value::Text(short)) => volume::parse(short)?.target,
        (Unique::Volume, Value::Map(_)) => text("target").ok_or("the volume has no `target`")?,
        (Unique::Device, Value::Text(short)) => {
            let mut parts = short.split(':');
            let source = parts.next().unwrap_or_default();
            parts.next().unwrap_or(source).to_owned()
        }
        (Unique::Device, Value::Map(_)) => text("target").ok_or("the device has no `target`")?,
        (Unique::EnvFile, Value::Text(path)) => path.clone(),
        (Unique::EnvFile, Value::Map(_)) => text("path").ok_or("the env file has no `path`")?,
        (Unique::Expose, Value::Text(_) | Value::Int(_)) => spell(&item.value),
        (Unique::Port, Value::Text(_) | Value::Int(_)) => spell(&item.value),
        (Unique::Port, Value::Map(_)) => port_key(item)?,
        (Unique::Mount(folder), Value::Text(source)) => format!("{folder}/{source}"),
        (Unique::Mount(folder), Value::Map(_)) => {
            text("target").unwrap_or_else(|| format!("{folder}/{}", text("source").unwrap_or_default()))
        }
        (Unique::Volume | Unique::Device | Unique::EnvFile | Unique::Port, _) => String::new(),
        (_, other) => return Err(format!("{} can't stand here", other.kind())),
    };
    Ok(Some(key))
}

/// Text and number differ as host port, as in the reference: `8080` and `"8080"` are two ports.
fn port_key(item: &Node) -> Result<String, String> {
    let text = |key: &str, default: &str| {
        item.get(key).map_or_else(|| default.to_owned(), |node| spell(&node.value))
    };
    let target = item.get("target").ok_or("the port has no `target`")?;
    let kind = item.get("published").map_or("", |node| node.value.kind());
    let (host, published) = (text("host_ip", "0.0.0.0"), text("published", ""));
    Ok(format!("{host}|{kind}|{published}|{}|{}", spell(&target.value), text("protocol", "tcp")))
}
