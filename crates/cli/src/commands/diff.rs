//! `hoist diff`: what two revisions of a stack have otherwise, or a revision and the stack file.

use hoist_model::{Revision, StackId};
use hoist_wire::{ClusterApi, Diff, DiffSide, FieldDifference};
use serde_json::json;

use crate::args::{self, Global, ListFormat, Selection};
use crate::error::CommandError;
use crate::out::outln;
use crate::project::{Project, Target};
use crate::select::is_file;

use super::rollback::revision;

/// Runs the command.
///
/// # Errors
/// When the stack isn't up, a revision isn't there, or the file has errors.
pub(crate) async fn run(global: &Global, args: &args::Diff) -> Result<(), CommandError> {
    let (files, revisions) = words(&args.words)?;
    let selection = Selection { words: files, files: args.files.clone() };
    let named = !selection.words.is_empty() || !selection.files.is_empty() || !global.files.is_empty();
    let (target, from, to) = match revisions[..] {
        [from, to] => {
            (Target::by_name(global, &selection)?, DiffSide::Revision(from), DiffSide::Revision(to))
        }
        [from] if !named => {
            (Target::by_name(global, &selection)?, DiffSide::Revision(from), DiffSide::Present)
        }
        [from] => {
            let project = Project::load(global, &selection)?;
            (project.target, DiffSide::Revision(from), DiffSide::File(Box::new(project.stack)))
        }
        _ => {
            let project = Project::load(global, &selection)?;
            (project.target, DiffSide::Present, DiffSide::File(Box::new(project.stack)))
        }
    };
    print(&target, from, to, args.format).await
}

async fn print(
    target: &Target,
    from: DiffSide,
    to: DiffSide,
    format: ListFormat,
) -> Result<(), CommandError> {
    let (agent, _) = target.up_status().await?;
    let stack: StackId = target.id.clone();
    let differences = agent.diff(Diff { stack, from, to }).await?;
    match format {
        ListFormat::Json => differences.iter().for_each(|one| {
            outln!("{}", json!({ "path": one.path, "was": one.was, "is": one.is }));
        }),
        ListFormat::Table => differences.iter().for_each(|one| outln!("{}", line(one))),
    }
    Ok(())
}

/// A difference as a person reads it.
fn line(one: &FieldDifference) -> String {
    let FieldDifference { path, was, is } = one;
    match (was, is) {
        (Some(was), Some(is)) => format!("  {path}: {was} => {is}"),
        (Some(was), None) => format!("- {path}: {was}"),
        (None, Some(is)) => format!("+ {path}: {is}"),
        (None, None) => format!("  {path}"),
    }
}

/// The stack file, where one is named, and up to two revisions.
fn words(words: &[String]) -> Result<(Vec<String>, Vec<Revision>), CommandError> {
    let (files, rest): (Vec<String>, Vec<String>) = words.iter().cloned().partition(|word| is_file(word));
    let revisions = rest.iter().map(|word| revision(word)).collect::<Result<Vec<_>, _>>()?;
    if revisions.len() > 2 || files.len() > 1 {
        return Err(CommandError::usage("diff compares two: revisions, or a revision and a stack file"));
    }
    Ok((files, revisions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_went_and_changed_is_told_apart() {
        let one = |was: Option<&str>, is: Option<&str>| {
            line(&FieldDifference { path: "a.b".into(), was: was.map(Into::into), is: is.map(Into::into) })
        };
        assert_eq!(one(Some("1"), Some("2")), "  a.b: 1 => 2");
        assert_eq!(one(Some("1"), None), "- a.b: 1");
        assert_eq!(one(None, Some("2")), "+ a.b: 2");
    }

    #[test]
    fn a_file_may_stand_anywhere() {
        let parsed = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            super::words(&words).map(|(files, revisions)| (files.len(), revisions.len())).ok()
        };
        assert_eq!(parsed("1 2"), Some((0, 2)));
        assert_eq!(parsed("a.yaml 2"), Some((1, 1)));
        assert_eq!(parsed("2 a.yaml"), Some((1, 1)));
        assert_eq!(parsed("1 2 3"), None);
        assert_eq!(parsed("web"), None);
    }
}
