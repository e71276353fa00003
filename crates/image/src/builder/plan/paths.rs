//! Paths inside images, by text alone.

/// `path` as seen from `folder`: absolute, without `.`, `..`, double or trailing slashes.
pub(super) fn join(folder: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// As [`join`], and a `/` at the end stays: what it names is a folder.
pub(super) fn join_destination(folder: &str, path: &str) -> String {
    let joined = join(folder, path);
    let is_folder = path.is_empty() || path == "." || path.ends_with('/') || path.ends_with("/.");
    if is_folder && joined != "/" { joined + "/" } else { joined }
}

/// A source: absolute in its tree. With `pivot`, a `/./` stays where it is.
pub(super) fn source(path: &str, pivot: bool) -> String {
    match path.split_once("/./").filter(|_| pivot) {
        Some((before, after)) => {
            let before = join("/", before);
            format!("{}/.{}", before.trim_end_matches('/'), join("/", after))
        }
        None => join("/", path),
    }
}

/// The last part of a path.
pub(super) fn name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_and_are_clean() {
        for (folder, path, joined) in [
            ("/", "a", "/a"),
            ("/a", "b/../c/./d//e/", "/a/c/d/e"),
            ("/a", "/b", "/b"),
            ("/a", "../../..", "/"),
            ("", "", "/"),
        ] {
            assert_eq!(join(folder, path), joined);
        }
        assert_eq!(join_destination("/a", "."), "/a/");
        assert_eq!(join_destination("/a", "b/"), "/a/b/");
        assert_eq!(join_destination("/", "./"), "/");
        assert_eq!(source("a/./b/../c", true), "/a/./c");
        assert_eq!(source("./a", true), "/a");
        assert_eq!(source("a/./b", false), "/a/b");
        assert_eq!(name("/run/x"), "x");
    }
}
