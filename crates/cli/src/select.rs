//! Which stack file and which services a command line means.

use std::path::{Path, PathBuf};

use hoist_model::ServiceName;

use crate::error::CommandError;

/// The words of a command, sorted out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Selected {
    /// Stack files named on the command line, in order.
    pub files: Vec<PathBuf>,
    /// Services named.
    pub services: Vec<ServiceName>,
}

/// Whether a first word names a stack file: it has a `/`, ends in .yaml or .yml, or is a repository's name, which no
/// service's name can.
#[must_use]
pub(crate) fn is_file(word: &str) -> bool {
    let ends = |suffix: &str| word.len() > suffix.len() && word.to_ascii_lowercase().ends_with(suffix);
    word == "-" || word.contains('/') || word.starts_with("git@") || ends(".yaml") || ends(".yml")
}

/// Sorts out `-f` files and words: the first word may be the file when `-f` gives none.
///
/// # Errors
/// When a word is no service's name.
pub(crate) fn select(
    before: &[PathBuf],
    own: &[PathBuf],
    words: &[String],
) -> Result<Selected, CommandError> {
    let mut files: Vec<PathBuf> = before.iter().chain(own).cloned().collect();
    let mut words = words;
    if files.is_empty()
        && let Some((first, rest)) = words.split_first()
        && is_file(first)
    {
        files.push(Path::new(first).to_owned());
        words = rest;
    }
    let services = words.iter().map(|word| ServiceName::new(word.as_str()));
    let services = services.collect::<Result<_, _>>().map_err(|error| {
        CommandError::usage(error.to_string()).hint("a stack file goes first, or after `-f`; services follow")
    })?;
    Ok(Selected { files, services })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Selected {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        select(&[], &[], &words).unwrap()
    }

    #[test]
    fn a_first_word_that_cannot_be_a_service_is_the_file() {
        assert_eq!(words("stack.yaml web").files, [PathBuf::from("stack.yaml")]);
        assert_eq!(words("a/b web db").services.len(), 2);
        assert_eq!(words("git@host:x.git#main web").files, [PathBuf::from("git@host:x.git#main")]);
        assert_eq!(words("web db").files, [] as [PathBuf; 0]);
        assert_eq!(words("yaml").services.len(), 1);
        let with_f = select(&["x.yml".into()], &[], &["web".to_owned()]).unwrap();
        assert_eq!((with_f.files.len(), with_f.services.len()), (1, 1));
        assert!(select(&["x.yml".into()], &[], &["y/z".to_owned()]).is_err());
    }
}
