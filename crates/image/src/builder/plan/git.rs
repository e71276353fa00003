//! Which sources of ADD are git repositories, and what of them is meant.

use crate::builder::graph::Source;

/// A repository by its URL: `git@host:path`, `git://`, `ssh://`, and `http(s)://` where the path ends in `.git`;
/// then `#reference:folder`, or `?ref=…&subdir=…`.
pub(super) fn source(
    url: &str,
    keep_git_dir: bool,
    checksum: Option<&str>,
) -> Option<Result<Source, String>> {
    let (address, fragment) =
        url.split_once('#').map_or((url, None), |(address, fragment)| (address, Some(fragment)));
    let (address, query) =
        address.split_once('?').map_or((address, None), |(address, query)| (address, Some(query)));
    is_repository(address).then(|| parts(address, fragment, query, keep_git_dir, checksum))
}

fn is_repository(address: &str) -> bool {
    let (scheme, path) = address.split_once("://").unwrap_or(("", address));
    match scheme {
        "git" | "ssh" => true,
        "http" | "https" => path.trim_end_matches('/').ends_with(".git"),
        "" => {
            address.split_once(':').is_some_and(|(host, path)| host.starts_with("git@") && !path.is_empty())
        }
        _ => false,
    }
}

fn parts(
    address: &str,
    fragment: Option<&str>,
    query: Option<&str>,
    keep_git_dir: bool,
    checksum: Option<&str>,
) -> Result<Source, String> {
    let (mut reference, mut folder) = fragment.map_or((None, None), |fragment| {
        let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        (some(reference), some(folder))
    });
    let (mut keep_git_dir, mut checksum) = (keep_git_dir, checksum.map(str::to_owned));
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "ref" | "branch" | "tag" => reference = some(value),
            "subdir" => folder = some(value),
            "commit" | "checksum" => checksum = some(value),
            "keep-git-dir" => keep_git_dir = value.is_empty() || value == "true" || value == "1",
            _ => {
                return Err(format!(
                    "{name} is not part of a repository: ref, branch, tag, subdir, commit, keep-git-dir"
                ));
            }
        }
    }
    Ok(Source::Git { url: address.to_owned(), reference, folder, keep_git_dir, checksum })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
