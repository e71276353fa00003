//! Names of what is elsewhere: Git repositories, artifacts of registries, addresses of the web.
//!
//! Owns which texts are such names and what they may not hold. Fetching is the caller's matter.

use std::fmt;

/// Something that is not on this machine, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// A file or folder of a Git repository.
    Git(Repository),
    /// An artifact of a registry: what follows `oci://`.
    Artifact(String),
    /// A file of the web that is no repository.
    Http(String),
}

/// A place in a repository: `URL#REFERENCE:FOLDER`, or `URL?ref=…&subdir=…`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Repository {
    /// What git is asked for.
    pub url: String,
    /// Branch, tag, commit or any other reference; the repository's own choice when none.
    pub reference: Option<String>,
    /// The commit that it must be, or how that begins.
    pub commit: Option<String>,
    /// A folder or file inside; empty for all.
    pub path: String,
}

/// Why a name that looks like one of somewhere else is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Another protocol.
    #[error(
        "{0} is not a protocol for files from elsewhere: https, http, ssh, git, git@HOST:PATH and oci are"
    )]
    Protocol(String),
    /// Nothing, or what a program could take for an option.
    #[error("it names no host")]
    Host,
    /// Nothing, or what a program could take for an option.
    #[error("it names no repository")]
    Repository,
    /// Not what git takes as a name.
    #[error("{0:?} is not a branch, tag or commit")]
    Reference(String),
    /// No beginning of a hash.
    #[error("{0:?} is not a commit")]
    Commit(String),
    /// A path that leads out.
    #[error("{0:?} leads out of the repository")]
    Path(String),
    /// A parameter of no meaning.
    #[error("{0} says nothing of a repository: ref, branch, tag, commit and subdir do")]
    Parameter(String),
    /// White space or control characters.
    #[error("it has white space or control characters in it")]
    Characters,
}

impl Remote {
    /// Reads a name. `None`: it is a path of this machine.
    #[must_use]
    pub fn parse(name: &str) -> Option<Result<Self, RemoteError>> {
        let scheme = scheme(name)?;
        if let Scheme::Other(scheme) = scheme {
            return Some(Err(RemoteError::Protocol(scheme.to_owned())));
        }
        if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Some(Err(RemoteError::Characters));
        }
        Some(match scheme {
            Scheme::Oci(rest) => artifact(rest),
            Scheme::GitHub => repository(&format!("https://{name}")),
            Scheme::Git | Scheme::Copy => repository(name),
            Scheme::Http(path) if is_repository(path) => repository(name),
            Scheme::Http(path) => host(path).map(|_| Self::Http(name.to_owned())),
            Scheme::Other(scheme) => Err(RemoteError::Protocol(scheme.to_owned())),
        })
    }

    /// Whether a name is of something elsewhere.
    #[must_use]
    pub fn is_remote(name: &str) -> bool {
        scheme(name).is_some()
    }
}

/// The name without a password in its address.
#[must_use]
pub fn redacted(name: &str) -> String {
    let Some((scheme, rest)) = name.split_once("://") else { return name.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:***@{host}{path}"),
            None => name.to_owned(),
        },
        None => name.to_owned(),
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.url))?;
        match (&self.reference, &*self.path) {
            (None, "") => Ok(()),
            (Some(reference), "") => write!(f, "#{reference}"),
            (reference, path) => write!(f, "#{}:{path}", reference.as_deref().unwrap_or_default()),
        }
    }
}

#[derive(Clone, Copy)]
enum Scheme<'a> {
    Oci(&'a str),
    GitHub,
    /// `git://`, `ssh://`.
    Git,
    /// `git@host:path`, as scp writes it.
    Copy,
    Http(&'a str),
    Other(&'a str),
}

fn scheme(name: &str) -> Option<Scheme<'_>> {
    let is_word =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    // A remote helper of git: what it runs is anybody's guess.
    if let Some((helper, _)) = name.split_once("::").filter(|(helper, _)| is_word(helper)) {
        return Some(Scheme::Other(helper));
    }
    if let Some((scheme, rest)) = name.split_once("://").filter(|(scheme, _)| is_word(scheme)) {
        return Some(match scheme {
            "oci" => Scheme::Oci(rest),
            "git" | "ssh" => Scheme::Git,
            "http" | "https" => Scheme::Http(rest),
            other => Scheme::Other(other),
        });
    }
    if name.starts_with("git@") && name.contains(':') {
        return Some(Scheme::Copy);
    }
    name.starts_with("github.com/").then_some(Scheme::GitHub)
}

/// Of the addresses of the web, those of repositories end in `.git`.
fn is_repository(path: &str) -> bool {
    let path = path.split(['#', '?']).next().unwrap_or(path);
    path.trim_end_matches('/').ends_with(".git")
}

fn artifact(rest: &str) -> Result<Remote, RemoteError> {
    if rest.is_empty() || rest.starts_with(['-', '/']) {
        return Err(RemoteError::Host);
    }
    Ok(Remote::Artifact(rest.to_owned()))
}

/// The host of an address without its protocol.
fn host(rest: &str) -> Result<&str, RemoteError> {
    let authority = rest.split(['/', '#', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_option = authority.starts_with('-') || host.starts_with('-');
    if host.is_empty() || is_option { Err(RemoteError::Host) } else { Ok(host) }
}

fn repository(name: &str) -> Result<Remote, RemoteError> {
    let (address, fragment) = name.split_once('#').unwrap_or((name, ""));
    let (url, query) = address.split_once('?').unwrap_or((address, ""));
    let split = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').or(Some((rest, ""))),
        None => url.split_once(':'),
    };
    let (authority, path) = split.ok_or(RemoteError::Repository)?;
    host(authority)?;
    if path.trim_matches('/').is_empty() || path.starts_with('-') {
        return Err(RemoteError::Repository);
    }
    let (reference, path) = fragment.split_once(':').unwrap_or((fragment, ""));
    let (reference, path) = (some(reference), path.to_owned());
    let mut repository = Repository { url: url.to_owned(), reference, commit: None, path };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "ref" | "branch" | "tag" => repository.reference = some(value),
            "commit" | "checksum" => repository.commit = some(&value.to_ascii_lowercase()),
            "subdir" => value.clone_into(&mut repository.path),
            other => return Err(RemoteError::Parameter(other.to_owned())),
        }
    }
    checked(repository).map(Remote::Git)
}

fn checked(mut repository: Repository) -> Result<Repository, RemoteError> {
    if let Some(reference) = repository.reference.as_ref().filter(|reference| !is_reference(reference)) {
        return Err(RemoteError::Reference(reference.clone()));
    }
    if let Some(commit) = repository.commit.as_ref().filter(|commit| !is_commit(commit)) {
        return Err(RemoteError::Commit(commit.clone()));
    }
    let parts = repository.path.split('/').filter(|part| !part.is_empty() && *part != ".");
    let parts: Vec<&str> = parts.collect();
    if parts.contains(&"..") {
        return Err(RemoteError::Path(repository.path));
    }
    repository.path = parts.join("/");
    Ok(repository)
}

/// What git takes as the name of a reference (git-check-ref-format(1)), as far as it can do harm.
fn is_reference(text: &str) -> bool {
    !text.starts_with('-') && !text.contains("..") && !text.contains("@{") && !text.contains(REFUSED)
}

const REFUSED: [char; 7] = ['~', '^', ':', '?', '*', '[', '\\'];

/// Whether it is a commit's hash, or could be the beginning of one.
#[must_use]
pub fn is_commit(text: &str) -> bool {
    (4..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
