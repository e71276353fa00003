//! `hoist history`: a stack's revisions, the newest first.

use hoist_model::{HistoryEntry, Revision, RevisionVerdict, WallTime};
use hoist_wire::{ClusterApi, StackHistory};
use serde_json::{Value, json};

use crate::args::{self, ListFormat};
use crate::error::CommandError;
use crate::out::outln;
use crate::project::Target;
use crate::time;

/// Runs the command.
///
/// # Errors
/// When the stack isn't up.
pub(crate) async fn run(target: &Target, args: &args::StackHistory) -> Result<(), CommandError> {
    let (agent, _) = target.up_status().await?;
    let history = agent.history(target.id.clone()).await?;
    let newest_first = history.entries.iter().rev();
    if args.format == ListFormat::Json {
        newest_first.for_each(|(number, entry)| outln!("{}", json_row(&history, *number, entry)));
        return Ok(());
    }
    let now = time::now();
    let mut table = vec![["REVISION", "WHEN", "WHO", "COMMAND", "CHANGES", "VERDICT"].map(str::to_owned)];
    table.extend(newest_first.map(|(number, entry)| table_row(&history, *number, entry, now)));
    crate::table::print(&table);
    Ok(())
}

fn table_row(history: &StackHistory, number: Revision, entry: &HistoryEntry, now: WallTime) -> [String; 6] {
    let gone = if history.kept.contains(&number) { "" } else { " (no longer kept)" };
    [
        format!("{}{gone}", number.0),
        format!("{} ago", time::ago(time::seconds_since(entry.created, now))),
        entry.by.to_string(),
        match entry.of.filter(|of| entry.command != format!("rollback {}", of.0)) {
            Some(of) => format!("{} (to {})", entry.command, of.0),
            None => entry.command.clone(),
        },
        entry.changes.join("; "),
        verdict(history, &entry.verdict),
    ]
}

/// The verdict as people read it, with its reason.
fn verdict(history: &StackHistory, verdict: &RevisionVerdict) -> String {
    match verdict {
        RevisionVerdict::UnderWay => "under way".to_owned(),
        RevisionVerdict::Succeeded => "succeeded".to_owned(),
        RevisionVerdict::Failed { why } => format!("failed: {why}"),
        RevisionVerdict::RolledBack { to, why: Some(why) } => format!("rolled back to {}: {why}", to.0),
        RevisionVerdict::RolledBack { to, why: None } => format!("rolled back to {}", to.0),
        RevisionVerdict::Superseded { by: None } => "superseded by another command".to_owned(),
        RevisionVerdict::Superseded { by: Some(by) } => {
            let whose = history.entries.get(by).map(|entry| format!(" of {}", entry.by));
            format!("superseded by {}{}", by.0, whose.unwrap_or_default())
        }
    }
}

/// The verdict as programs read it: one word, and its reason apart.
fn parts(verdict: &RevisionVerdict) -> (&'static str, Option<&str>, Option<Revision>) {
    match verdict {
        RevisionVerdict::UnderWay => ("under-way", None, None),
        RevisionVerdict::Succeeded => ("succeeded", None, None),
        RevisionVerdict::Failed { why } => ("failed", Some(why), None),
        RevisionVerdict::RolledBack { to, why } => ("rolled-back", why.as_deref(), Some(*to)),
        RevisionVerdict::Superseded { by } => ("superseded", None, *by),
    }
}

fn json_row(history: &StackHistory, number: Revision, entry: &HistoryEntry) -> Value {
    let (word, reason, other) = parts(&entry.verdict);
    let to = other.filter(|_| word == "rolled-back");
    let by = other.filter(|_| word == "superseded");
    json!({
        "revision": number,
        "created": time::rfc3339(entry.created),
        "user": entry.by.user,
        "host": entry.by.host,
        "command": entry.command,
        "goes_back_to": entry.of,
        "changes": entry.changes,
        "verdict": word,
        "reason": reason,
        "rolled_back_to": to,
        "superseded_by": by,
        "kept": history.kept.contains(&number),
    })
}
