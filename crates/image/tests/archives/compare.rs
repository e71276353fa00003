//! Our outcome beside others', and which differences are listed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hoist_image::layer::unpack;

use crate::cases::Case;
use crate::oracles::{Gnu, Outcome};
use crate::support::{chain, tree};

/// Directories whose attributes no entry gives.
pub(crate) type Implied = BTreeSet<String>;

pub(crate) fn ours(case: &Case, around: &Path) -> (Outcome, Implied) {
    let root = around.join("fs");
    fs::create_dir_all(&root).unwrap();
    match unpack(&case.bytes[..], &root, None) {
        Ok(unpacked) => {
            let implied = unpacked.implied.into_iter().map(|path| format!("/{path}")).collect();
            (Outcome::Tree(normal(&tree(&root), &implied)), implied)
        }
        Err(error) => (Outcome::Refused(chain(&error)), Implied::new()),
    }
}

/// GNU tar goes on after a complaint: where we have a tree, its own is what counts.
pub(crate) fn gnu(gnu: &Gnu, ours: &Outcome, implied: &Implied) -> Outcome {
    match (&gnu.complaint, ours) {
        (Some(complaint), Outcome::Refused(_)) => Outcome::Refused(complaint.clone()),
        _ => Outcome::Tree(normal(&tree(&gnu.root), implied)),
    }
}

/// Docker's bookkeeping takes no archive with a path twice, whatever it holds: `None` says nothing about the tree.
pub(crate) fn docker(result: &Result<PathBuf, String>, implied: &Implied) -> Option<Outcome> {
    match result {
        Ok(root) => Some(Outcome::Tree(normal(&tree(root), implied))),
        Err(reason) if reason.contains("duplicates of file paths not supported") => None,
        Err(reason) => Some(Outcome::Refused(reason.clone())),
    }
}

/// Without what says nothing: attributes of whiteouts, and of directories that no entry describes.
fn normal(tree: &str, implied: &Implied) -> String {
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        if line.contains(" device c 0") || implied.contains(words[0]) {
            words[1..4].fill("-");
        }
        words.join(" ") + "\n"
    };
    tree.lines().map(line).collect()
}

/// The differences of `docs/unpack-differences.md`: items `tar: NAME` and `docker: NAME`, `NAME` perhaps ending in `*`.
pub(crate) struct Listed(Vec<(String, String)>);

impl Listed {
    pub(crate) fn read() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/unpack-differences.md");
        let text = fs::read_to_string(file).unwrap_or_default();
        let items =
            text.lines().filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`')?.split_once(": "));
        Self(items.map(|(peer, name)| (peer.to_owned(), name.to_owned())).collect())
    }

    /// What to say when the two outcomes differ and aren't listed, or are listed and don't.
    pub(crate) fn unlisted(
        &self,
        peer: &str,
        case: &Case,
        ours: &Outcome,
        theirs: &Outcome,
    ) -> Option<String> {
        let same = match (ours, theirs) {
            (Outcome::Refused(_), Outcome::Refused(_)) => true,
            (ours, theirs) => ours == theirs,
        };
        let fits = |name: &str| match name.strip_suffix('*') {
            Some(start) => case.name.starts_with(start),
            None => case.name == name,
        };
        let listed = self.0.iter().any(|(who, name)| who == peer && fits(name));
        (same == listed).then(|| {
            let listed = if listed { "listed, but the same" } else { "not listed" };
            format!(
                "- `{peer}: {}`\n    {listed}\n  ours:   {}\n  theirs: {}",
                case.name,
                shown(ours),
                shown(theirs)
            )
        })
    }
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Tree(tree) => tree.lines().map(|line| format!("\n    {line}")).collect(),
        Outcome::Refused(reason) => format!("refused: {}", reason.trim()),
    }
}
