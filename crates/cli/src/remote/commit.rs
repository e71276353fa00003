//! Which commit a reference means now.

use std::path::Path;

use hoist_stackfile::Repository;
use hoist_stackfile::syntax::remote::{is_commit, redacted};

use super::RemoteError;
use super::cache::{Cache, key_of};
use super::git::{begin, everything, git};

/// A commit, and the name under which the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResolvedCommit {
    pub(super) commit: String,
    pub(super) reference: Option<String>,
}

/// Finds the commit. A whole hash is one; a part of one that was found before, too. Else the server is asked.
pub(super) fn find(cache: &Cache, repository: &Repository) -> Result<ResolvedCommit, RemoteError> {
    let own = |commit: String| ResolvedCommit { commit, reference: None };
    let wanted = repository.reference.as_ref().or(repository.commit.as_ref());
    let Some(wanted) = wanted else { return named(&repository.url, "HEAD")?.ok_or_else(|| none("HEAD")) };
    if is_whole(wanted) {
        return Ok(own(wanted.clone()));
    }
    let name = format!("{} {wanted}", redacted(&repository.url));
    if let Some(commit) = cache.noted(&name).filter(|commit| is_whole(commit)) {
        return Ok(own(commit));
    }
    if let Some(found) = named(&repository.url, wanted)? {
        return Ok(found);
    }
    if !is_commit(wanted) {
        return Err(none(wanted));
    }
    let commit = cache.scratch(&key_of(&name), |folder| begun_by(folder, &repository.url, wanted))?;
    cache.note(&name, &commit);
    Ok(own(commit))
}

fn none(wanted: &str) -> RemoteError {
    RemoteError::NoReference(wanted.to_owned())
}

fn is_whole(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_commit(text)
}

/// What the server has under a name; git's own order of what a name may mean (gitrevisions(7)).
fn named(url: &str, wanted: &str) -> Result<Option<ResolvedCommit>, RemoteError> {
    // `^{}` is what an annotated tag stands for.
    let listed = git(Path::new("/"), &["ls-remote", "--", url, wanted, &format!("{wanted}^{{}}")])?;
    Ok(choose(&listed, wanted))
}

fn choose(listed: &str, wanted: &str) -> Option<ResolvedCommit> {
    let lines = listed.lines().filter_map(|line| line.split_once('\t'));
    let lines: Vec<(&str, &str)> = lines.filter(|(hash, _)| is_whole(hash)).collect();
    let hash = |name: &str| lines.iter().find(|(_, listed)| *listed == name).map(|(hash, _)| *hash);
    ["", "refs/", "refs/tags/", "refs/heads/"].iter().find_map(|prefix| {
        let name = format!("{prefix}{wanted}");
        let commit = hash(&format!("{name}^{{}}")).or_else(|| hash(&name))?.to_owned();
        Some(ResolvedCommit { commit, reference: Some(name) })
    })
}

/// The one commit whose hash begins so: only all there is can tell.
fn begun_by(folder: &Path, url: &str, short: &str) -> Result<String, RemoteError> {
    begin(folder, url, short)?;
    everything(folder, None)?;
    let found = git(folder, &["rev-parse", "--verify", "--quiet", &format!("{short}^{{commit}}")]);
    let commit = found.map_err(|_| none(short))?.trim().to_owned();
    if is_whole(&commit) && commit.starts_with(short) { Ok(commit) } else { Err(none(short)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_git_takes_it_for() {
        let hash = |digit: char| digit.to_string().repeat(40);
        let listed = format!(
            "{}\trefs/heads/deep/main\n{}\trefs/heads/main\n{}\trefs/tags/v1\n{}\trefs/tags/v1^{{}}\n{}\trefs/heads/v1\n\
             {}\trefs/pull/1/head\nwarning: a word\n",
            hash('1'),
            hash('2'),
            hash('3'),
            hash('4'),
            hash('5'),
            hash('6')
        );
        let of = |name: &str| choose(&listed, name).map(|found| (found.commit, found.reference.unwrap()));
        assert_eq!(of("main"), Some((hash('2'), "refs/heads/main".to_owned())));
        assert_eq!(of("v1"), Some((hash('4'), "refs/tags/v1".to_owned())));
        assert_eq!(of("refs/heads/v1"), Some((hash('5'), "refs/heads/v1".to_owned())));
        assert_eq!(of("pull/1/head"), Some((hash('6'), "refs/pull/1/head".to_owned())));
        assert_eq!(of("deep"), None);
    }
}
