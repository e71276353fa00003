//! What a document can do without, and where it may have more: found by trying, held against a list.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Golden;

/// The rigid parts of a format. Everything that isn't named here has a default, or may be followed by what a later
/// version adds.
///
/// Each is named with what it stands in, `*` for an item of a list: `mounts/*/target`, `intents/web/revision`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Keys without which the document can't be read.
    pub required: BTreeSet<String>,
    /// Objects that take no key but their own: variants of enums, and maps whose values have a form.
    pub closed: BTreeSet<String>,
}

impl Shape {
    /// Finds the shape of a document by leaving out each key and by adding one to each object.
    #[must_use]
    pub fn of<T: DeserializeOwned>(document: &Value) -> Self {
        let mut shape = Self { required: BTreeSet::new(), closed: BTreeSet::new() };
        for (pointer, path) in objects(document, String::new(), String::new()) {
            let keys: Vec<String> = object(&mut document.clone(), &pointer).keys().cloned().collect();
            for key in keys {
                let mut without = document.clone();
                object(&mut without, &pointer).remove(&key);
                if serde_json::from_value::<T>(without).is_err() {
                    shape.required.insert(end(&join(&path, &key)));
                }
            }
            let mut more = document.clone();
            object(&mut more, &pointer).insert("of-a-later-version".to_owned(), Value::Bool(true));
            if serde_json::from_value::<T>(more).is_err() {
                shape.closed.insert(end(&path));
            }
        }
        shape
    }

    /// As text, one line a path.
    #[must_use]
    pub fn text(&self) -> String {
        let required = self.required.iter().map(|path| format!("required {path}\n"));
        required.chain(self.closed.iter().map(|path| format!("closed {path}\n"))).collect()
    }
}

impl Golden {
    /// Holds that every key may be left out and every object may have more, but for what the file's `.shape` lists.
    /// A later version may need less, never more. A `.jsonl` file is a list of documents, and `T` a `Vec`.
    ///
    /// # Panics
    /// When something else is needed.
    pub fn bends_as_ever<T: DeserializeOwned>(&self) {
        let lines = self.path.extension().is_some_and(|extension| extension == "jsonl");
        let document = if lines { Value::Array(self.lines()) } else { self.read() };
        let shape = Shape::of::<T>(&document);
        let list = Self { path: self.path.with_extension("shape") };
        if !list.path.exists() {
            list.is_text(&shape.text());
        }
        let allowed = String::from_utf8(list.bytes()).expect("a list of paths is text");
        let allowed: BTreeSet<&str> = allowed.lines().collect();
        let text = shape.text();
        let new: Vec<&str> = text.lines().filter(|line| !allowed.contains(line)).collect();
        assert!(
            new.is_empty(),
            "{} has lost a default or takes no later fields any more:\n{}",
            self.path.display(),
            new.join("\n"),
        );
    }
}

/// Every object, as a JSON pointer (RFC 6901) and as a path.
fn objects(value: &Value, pointer: String, path: String) -> Vec<(String, String)> {
    match value {
        Value::Object(map) => {
            let mut found = Vec::new();
            for (key, value) in map {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                found.extend(objects(value, format!("{pointer}/{escaped}"), join(&path, key)));
            }
            found.push((pointer, path));
            found
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.flat_map(|(n, item)| objects(item, format!("{pointer}/{n}"), join(&path, "*"))).collect()
        }
        _ => Vec::new(),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") }
}

/// The last two names of a path: more would say the same again for each place where a type is used.
fn end(path: &str) -> String {
    let mut names = 0;
    let from = path.rmatch_indices('/').find(|(at, _)| {
        names += usize::from(!path[at + 1..].starts_with("*/"));
        names == 2
    });
    from.map_or(path, |(at, _)| &path[at + 1..]).to_owned()
}

fn object<'a>(document: &'a mut Value, pointer: &str) -> &'a mut serde_json::Map<String, Value> {
    document
        .pointer_mut(pointer)
        .and_then(Value::as_object_mut)
        .expect("the pointer was made for this document")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Part {
        #[expect(dead_code, reason = "it is read from documents only")]
        name: String,
        #[serde(default)]
        #[expect(dead_code, reason = "it is read from documents only")]
        size: u32,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "it is read from documents only")]
    enum Kind {
        Of(Part),
    }

    #[test]
    fn paths_are_named_by_their_ends() {
        assert_eq!(end("services/web/mounts/*/target"), "mounts/*/target");
        assert_eq!(end("services/web/image"), "web/image");
        assert_eq!(end("image"), "image");
    }

    #[test]
    fn what_is_needed_and_what_is_closed_is_found() {
        let document = json!([{ "Of": { "name": "a/b", "size": 1 } }]);
        let shape = Shape::of::<Vec<Kind>>(&document);
        assert_eq!(shape.text(), "required */Of\nrequired Of/name\nclosed *\n");
    }
}
