//! `hoist rollback`: takes a stack back to an earlier revision.

use hoist_model::Revision;
use hoist_wire::{Client, ClusterApi, Rollback};

use crate::args::{self, Global, Selection};
use crate::author::author;
use crate::error::{CommandError, code};
use crate::last_words;
use crate::limit;
use crate::out::outln;
use crate::progress::{Progress, conclude};
use crate::project::Target;
use crate::select::is_file;

/// Runs the command.
///
/// # Errors
/// When the stack isn't up, the revision isn't there, or it can't be brought up.
pub(crate) async fn run(
    global: &Global,
    args: &args::Rollback,
    style: args::ProgressStyle,
) -> Result<(), CommandError> {
    let (files, to) = words(&args.words)?;
    let selection = Selection { words: files.to_vec(), files: args.files.clone() };
    let target = Target::by_name(global, &selection)?;
    let (agent, _) = target.up_status().await?;
    let request = Rollback { stack: target.id.clone(), to, by: author(), wait: args.wait };
    if args.dry_run {
        return foresee(&agent, request).await;
    }
    let mut events = agent.rollback(request).await?;
    let mut progress = Progress::new("rollback", style);
    let following = async { Ok(progress.follow(&mut events).await?) };
    let Some(verdict) = limit::within(args.wait_timeout, following).await? else {
        return Err(limit::passed(&agent, &target, args.wait_timeout).await);
    };
    let nothing = "nothing to do: everything is as that revision says";
    if conclude(&verdict, style == args::ProgressStyle::Quiet, nothing) {
        Ok(())
    } else {
        last_words::tell(&agent, &target, &verdict).await;
        Err(CommandError::silent(code::FAILED))
    }
}

async fn foresee(agent: &Client, request: Rollback) -> Result<(), CommandError> {
    let foreseen = agent.foresee_rollback(request).await?;
    outln!("would go back to revision {}", foreseen.to.0);
    if foreseen.changes.is_empty() {
        outln!("nothing would change");
    }
    foreseen.changes.iter().for_each(|change| outln!("  {change}"));
    Ok(())
}

/// The stack file, where the first word is one, and the revision.
fn words(words: &[String]) -> Result<(&[String], Option<Revision>), CommandError> {
    let (files, rest) = words.split_at(usize::from(words.first().is_some_and(|word| is_file(word))));
    match rest {
        [] => Ok((files, None)),
        [one] => Ok((files, Some(revision(one)?))),
        _ => Err(CommandError::usage("rollback takes one revision").hint("`hoist history` lists them")),
    }
}

/// `3`, or `r3`.
pub(crate) fn revision(word: &str) -> Result<Revision, CommandError> {
    let number = word.strip_prefix('r').unwrap_or(word).parse();
    number.map(Revision).map_err(|_| {
        CommandError::usage(format!("{word:?} is no revision; a revision is a number, such as 3"))
            .hint("`hoist history` lists them; a stack file goes first, or after `-f`")
    })
}

#[cfg(test)]
mod tests {

    #[test]
    fn a_file_and_a_revision_are_told_apart() {
        let parsed = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            super::words(&words).map(|(files, to)| (files.join(" "), to.map(|to| to.0))).ok()
        };
        assert_eq!(parsed(""), Some((String::new(), None)));
        assert_eq!(parsed("a.yaml 3"), Some(("a.yaml".to_owned(), Some(3))));
        assert_eq!(parsed("r12"), Some((String::new(), Some(12))));
        assert_eq!(parsed("web"), None);
        assert_eq!(parsed("3 4"), None);
    }
}
