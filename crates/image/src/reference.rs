//! Image references: `[registry[:port]/]repository[:tag][@digest]`.
//!
//! Owns parsing and the two spellings, the canonical one that the store keeps and the familiar one
//! that people type. The grammar is that of the distribution project's `reference` package; a first
//! path part is a registry if it has a `.`, a `:`, an upper-case letter, or is `localhost`.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

const DEFAULT_REGISTRY: &str = "docker.io";
const OFFICIAL: &str = "library/";
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// A normalised image reference: the registry is always there, and a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// What is wrong with a reference. The reference itself is for the caller to name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    #[error("the reference is empty")]
    Empty,
    #[error("{0:?} is an image id, not a reference")]
    ImageId(String),
    #[error("repository names are lower-case; {0:?} is not")]
    Uppercase(String),
    #[error("{part:?} is not a repository name part: {reason}")]
    Repository { part: String, reason: &'static str },
    #[error("repository name is {0} characters long, at most {LONGEST_NAME} are allowed")]
    TooLong(usize),
    #[error("{0:?} is not a registry: a host name or address, then perhaps `:port`")]
    Registry(String),
    #[error(
        "{0:?} is not a tag: at most {LONGEST_TAG} letters, digits, `_`, `.`, `-`, not starting with `.` or `-`"
    )]
    Tag(String),
    #[error("the part after `@` is not a digest")]
    Digest(#[source] DigestError),
}

impl Reference {
    /// The host (and port) that is asked for the image: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name inside the registry: `library/ubuntu`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` if the text had neither tag nor digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest, if the reference pins one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether both are in one repository, whatever their tags and digests.
    pub fn same_repository(&self, other: &Self) -> bool {
        (&self.registry, &self.repository) == (&other.registry, &other.repository)
    }

    /// The repository that `text` names, if it has neither tag nor digest: `app`, which can mean `app:latest` or all
    /// tags of `app`.
    pub fn bare(text: &str) -> Option<Self> {
        let bare = !text.contains('@') && split_tag(text).1.is_none();
        text.parse().ok().filter(|_| bare)
    }

    /// The same repository by `digest`, without a tag: what a resolved service runs.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same with `digest` beside its tag: what pins an image in a stack file.
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The short spelling, as `docker images` shows it: no default registry, no `library/`.
    pub fn familiar(&self) -> String {
        let official = self.repository.strip_prefix(OFFICIAL).filter(|name| !name.contains('/'));
        let short = official.unwrap_or(&self.repository);
        // A first part with a dot would be taken for a registry.
        let mistaken = short.split_once('/').is_some_and(|(first, _)| names_a_host(first));
        let name = if self.registry == DEFAULT_REGISTRY && !mistaken {
            short.to_owned()
        } else {
            format!("{}/{}", self.registry, self.repository)
        };
        self.spell(name)
    }

    fn spell(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text = format!("{text}:{tag}");
        }
        match self.digest {
            Some(digest) => format!("{text}@{digest}"),
            None => text,
        }
    }
}

impl fmt::Display for Reference {
    /// The canonical spelling: `docker.io/library/ubuntu:14.04`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spell(format!("{}/{}", self.registry, self.repository)))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        // 64 hex digits can be typed for an image id, so they must never name a repository.
        if text.len() == 64 && Digest::from_hex(text).is_ok() {
            return Err(ReferenceError::ImageId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(ReferenceError::Digest)?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        let tag = tag.map(checked_tag).transpose()?;
        let (registry, repository) = split_registry(name)?;
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry, repository, tag, digest })
    }
}

/// A `:` after the last `/` starts the tag; before it, it belongs to the registry's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rfind(':') {
        Some(colon) if !text[colon..].contains('/') => (&text[..colon], Some(&text[colon + 1..])),
        _ => (text, None),
    }
}

fn checked_tag(tag: &str) -> Result<String, ReferenceError> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fits = tag.len() <= LONGEST_TAG
        && tag.starts_with(word)
        && tag.chars().all(|c| word(c) || c == '.' || c == '-');
    if fits { Ok(tag.to_owned()) } else { Err(ReferenceError::Tag(tag.to_owned())) }
}

fn split_registry(name: &str) -> Result<(String, String), ReferenceError> {
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if names_a_host(first) => (checked_registry(first)?, path),
        _ => (DEFAULT_REGISTRY.to_owned(), name),
    };
    check_repository(path)?;
    let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
        format!("{OFFICIAL}{path}")
    } else {
        path.to_owned()
    };
    match registry.len() + 1 + repository.len() {
        length if length > LONGEST_NAME => Err(ReferenceError::TooLong(length)),
        _ => Ok((registry, repository)),
    }
}

fn names_a_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.chars().any(|c| c.is_ascii_uppercase())
}

fn checked_registry(text: &str) -> Result<String, ReferenceError> {
    let bad = || ReferenceError::Registry(text.to_owned());
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => (&text[..colon], Some(&text[colon + 1..])),
        _ => (text, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(bad());
    }
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let valid = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_host_label),
    };
    match text {
        _ if !valid => Err(bad()),
        "index.docker.io" | "registry-1.docker.io" => Ok(DEFAULT_REGISTRY.to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn is_host_label(label: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric();
    label.starts_with(letter) && label.ends_with(letter) && label.chars().all(|c| letter(c) || c == '-')
}

fn check_repository(path: &str) -> Result<(), ReferenceError> {
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(ReferenceError::Uppercase(path.to_owned()));
    }
    path.split('/').try_for_each(|part| match part_fault(part) {
        Some(reason) => Err(ReferenceError::Repository { part: part.to_owned(), reason }),
        None => Ok(()),
    })
}

/// A part is `[a-z0-9]+` groups joined by one `.`, one or two `_`, or any number of `-`.
fn part_fault(part: &str) -> Option<&'static str> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if part.is_empty() {
        return Some("it is empty");
    }
    if !part.chars().all(|c| letter(c) || "._-".contains(c)) {
        return Some("only a-z, 0-9, `.`, `_` and `-` are allowed");
    }
    if !part.starts_with(letter) || !part.ends_with(letter) {
        return Some("it must start and end with a letter or digit");
    }
    let joined_badly = part
        .split(letter)
        .any(|separator| !matches!(separator, "" | "." | "_" | "__") && separator.contains(['.', '_']));
    joined_badly.then_some("separators are one `.`, one or two `_`, or `-`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parsed(text: &str) -> Reference {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn short_forms_are_completed() {
        let cases = [
            ("ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
            ("ubuntu:14.04", "docker.io/library/ubuntu:14.04", "ubuntu:14.04"),
            ("docker.io/library/ubuntu:14.04", "docker.io/library/ubuntu:14.04", "ubuntu:14.04"),
            ("index.docker.io/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
            ("me/app", "docker.io/me/app:latest", "me/app:latest"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
            ("[::1]:5000/a/b__c", "[::1]:5000/a/b__c:latest", "[::1]:5000/a/b__c:latest"),
            ("ghcr.io/a/b/c:v1_2-x", "ghcr.io/a/b/c:v1_2-x", "ghcr.io/a/b/c:v1_2-x"),
            ("docker.io/library/a.b/c", "docker.io/library/a.b/c:latest", "library/a.b/c:latest"),
            ("docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"),
            ("HOST/app", "HOST/app:latest", "HOST/app:latest"),
            ("a---b", "docker.io/library/a---b:latest", "a---b:latest"),
        ];
        for (text, canonical, familiar) in cases {
            assert_eq!(parsed(text).to_string(), canonical, "{text}");
            assert_eq!(parsed(text).familiar(), familiar, "{text}");
            assert_eq!(parsed(canonical), parsed(text), "canonical form is a fixed point");
        }
    }

    #[test]
    fn a_digest_stands_in_for_a_tag_or_beside_it() {
        let pinned = parsed(&format!("ubuntu@{DIGEST}"));
        assert_eq!((pinned.tag(), pinned.digest()), (None, Some(Digest::of(b""))));
        let both = parsed(&format!("ubuntu:14.04@{DIGEST}"));
        assert_eq!(both.to_string(), format!("docker.io/library/ubuntu:14.04@{DIGEST}"));
    }

    #[test]
    fn faults_are_named() {
        let cases = [
            ("", "the reference is empty"),
            ("Ubuntu", "repository names are lower-case; \"Ubuntu\" is not"),
            ("a//b", "\"\" is not a repository name part: it is empty"),
            ("a/-b", "\"-b\" is not a repository name part: it must start and end with a letter or digit"),
            (
                "a..b",
                "\"a..b\" is not a repository name part: separators are one `.`, one or two `_`, or `-`",
            ),
            ("a b", "\"a b\" is not a repository name part: only a-z, 0-9, `.`, `_` and `-` are allowed"),
            (
                "host:port/app",
                "\"host:port\" is not a registry: a host name or address, then perhaps `:port`",
            ),
            ("-h.io/app", "\"-h.io\" is not a registry: a host name or address, then perhaps `:port`"),
            ("app@sha256:12", "the part after `@` is not a digest"),
            (&DIGEST[7..], &format!("{:?} is an image id, not a reference", &DIGEST[7..])),
            (&"a".repeat(300), "repository name is 318 characters long, at most 255 are allowed"),
        ];
        for (text, message) in cases {
            assert_eq!(text.parse::<Reference>().unwrap_err().to_string(), message, "{text}");
        }
        assert!(matches!("app:".parse::<Reference>(), Err(ReferenceError::Tag(tag)) if tag.is_empty()));
        assert!(matches!("app:.x".parse::<Reference>(), Err(ReferenceError::Tag(_))));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_what_is_parsed_is_stable(text in "\\PC{0,80}") {
            if let Ok(reference) = text.parse::<Reference>() {
                proptest::prop_assert_eq!(&parsed(&reference.to_string()), &reference);
                proptest::prop_assert_eq!(&parsed(&reference.familiar()), &reference);
            }
        }

        #[test]
        fn plausible_text_is_stable(text in "([a-zA-Z.]{0,5}(:[0-9]{1,5})?/)?[a-z._/-]{1,12}(:[a-z.]{0,3})?") {
            if let Ok(reference) = text.parse::<Reference>() {
                proptest::prop_assert_eq!(&parsed(&reference.to_string()), &reference);
                proptest::prop_assert_eq!(&parsed(&reference.familiar()), &reference);
            }
        }
    }
}
