//! `hoist image history`: what each step left, the last first.

use std::path::Path;

use hoist_wire::{ImageApi, ImageDetails, ImageQuery};
use serde_json::{Value, json};

use super::short;
use crate::args::{History, ListFormat};
use crate::connect;
use crate::error::CommandError;
use crate::out::outln;
use crate::{size, time};

/// Longest command that the table shows.
const COMMAND_WIDTH: usize = 45;

/// Runs the command.
///
/// # Errors
/// When there is no such image.
pub(super) async fn run(root: &Path, args: &History) -> Result<(), CommandError> {
    let query = ImageQuery { name: Some(args.image.clone()), in_use: Vec::new() };
    let details = connect::connect(root).await?.inspect_image(query).await?;
    let steps = steps(&details);
    if args.format == ListFormat::Json {
        steps.iter().for_each(|step| outln!("{}", step.json()));
        return Ok(());
    }
    let head = ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"].map(str::to_owned);
    let rows = steps.iter().map(|step| step.cells(args.no_trunc));
    crate::table::print(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    Ok(())
}

struct Step {
    id: String,
    created: String,
    command: String,
    size: u64,
    comment: String,
}

impl Step {
    fn since(&self) -> String {
        let made = time::parse_rfc3339(&self.created);
        made.map_or("N/A".to_owned(), |made| {
            format!("{} ago", time::ago(time::seconds_since(made, time::now())))
        })
    }

    fn cells(&self, whole: bool) -> [String; 5] {
        let mut command = self.command.replace(['\n', '\t'], " ");
        if !whole && command.chars().count() > COMMAND_WIDTH {
            command = command.chars().take(COMMAND_WIDTH - 1).chain(['…']).collect();
        }
        [short(&self.id).to_owned(), self.since(), command, size::text(self.size), self.comment.clone()]
    }

    fn json(&self) -> Value {
        json!({
            "Comment": self.comment, "CreatedAt": self.created, "CreatedBy": self.command,
            "CreatedSince": self.since(), "ID": self.id, "Size": size::text(self.size),
        })
    }
}

/// Entries of the history, the last first; those that made a layer have its size, the last has the image's id.
fn steps(details: &ImageDetails) -> Vec<Step> {
    let mut layers = details.layers.iter();
    let entries = details.config.get("history").and_then(Value::as_array).into_iter().flatten();
    let text =
        |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut steps: Vec<Step> = entries
        .map(|entry| {
            let empty = entry.get("empty_layer").and_then(Value::as_bool).unwrap_or(false);
            let size = if empty { None } else { layers.next() };
            Step {
                id: "<missing>".to_owned(),
                created: text(entry, "created"),
                command: text(entry, "created_by"),
                size: size.map_or(0, |(_, bytes)| *bytes),
                comment: text(entry, "comment"),
            }
        })
        .collect();
    // An image may have more layers than history.
    steps.extend(layers.map(|(_, bytes)| Step {
        id: "<missing>".to_owned(),
        created: String::new(),
        command: String::new(),
        size: *bytes,
        comment: String::new(),
    }));
    steps.reverse();
    if let Some(last) = steps.first_mut() {
        last.id.clone_from(&details.summary.id.0);
    }
    steps
}
