//! What of a host folder used as a base (`x-hoist.rootfs`) is hidden from the instance: Hoist's own state, password
//! hashes, private keys and credentials. The base runs what the machine has installed, not what its people keep.

use std::path::{Path, PathBuf};

/// Files and folders below the base that are hidden when they exist.
const SECRETS: [&str; 12] = [
    "etc/shadow",
    "etc/shadow-",
    "etc/gshadow",
    "etc/gshadow-",
    "etc/sudoers",
    "etc/sudoers.d",
    "etc/ssl/private",
    "etc/wireguard",
    "var/lib/docker",
    "var/lib/containers",
    "var/lib/private",
    "var/lib/systemd/credential.secret",
];

/// Below each home folder.
const HOME_SECRETS: [&str; 11] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".netrc",
    ".git-credentials",
    ".config/gcloud",
    ".config/gh",
    ".password-store",
];

/// The paths to mask, as the instance sees them, for a base at `dir` with Hoist's state at `root`.
pub(super) fn masked(dir: &Path, root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = SECRETS.iter().map(|name| dir.join(name)).collect();
    found.extend(host_keys(&dir.join("etc/ssh")));
    for home in homes(dir) {
        found.extend(HOME_SECRETS.iter().map(|name| home.join(name)));
    }
    if root.starts_with(dir) {
        found.push(root.to_owned());
    }
    let exists = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok();
    let inside = |path: PathBuf| Some(Path::new("/").join(path.strip_prefix(dir).ok()?));
    found.into_iter().filter(exists).filter_map(inside).collect()
}

fn host_keys(dir: &Path) -> Vec<PathBuf> {
    let private = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("ssh_host_") && name.ends_with("_key"))
    };
    children(dir).into_iter().filter(private).collect()
}

fn homes(dir: &Path) -> Vec<PathBuf> {
    let mut homes = children(&dir.join("home"));
    homes.push(dir.join("root"));
    homes
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_shadow_and_our_state_are_hidden() {
        let base = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = base.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        for path in
            ["etc/shadow", "etc/passwd", "etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_ed25519_key.pub"]
        {
            put(path);
        }
        for path in ["home/ann/.ssh/id", "root/.netrc", "var/lib/hoist/store.redb"] {
            put(path);
        }
        let mut masked = masked(base.path(), &base.path().join("var/lib/hoist"));
        masked.sort();
        let want = [
            "/etc/shadow",
            "/etc/ssh/ssh_host_ed25519_key",
            "/home/ann/.ssh",
            "/root/.netrc",
            "/var/lib/hoist",
        ];
        assert_eq!(masked, want.map(PathBuf::from));
    }
}
