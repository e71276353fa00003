//! File systems that a server or another program answers for. Whoever waits for one that doesn't can't always be ended, not
//! even by SIGKILL: two that look up the same name wait for each other's answer (`d_alloc_parallel` in the kernel). So
//! nothing is looked up there that only helps.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use hoist_stackfile::mount_table::{MountEntry, entries};

/// The kinds, by the beginning of their name (proc_pid_mountinfo(5)).
const KINDS: [&str; 8] = ["fuse", "nfs", "cifs", "smb", "9p", "ceph", "afs", "autofs"];

/// As many links as the kernel follows (path_resolution(7)).
const LINKS: usize = 40;

/// Whether a path leads into such a file system, links followed. It is found out from this side alone.
pub(super) fn leads_there(path: &Path) -> bool {
    let mut at = PathBuf::from("/");
    let mut rest: Vec<OsString> = names(path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        if mounts().iter().any(|mount| next.starts_with(mount)) || links > LINKS {
            return true;
        }
        match std::fs::read_link(&next) {
            Ok(target) => {
                links += 1;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                rest.extend(names(&target));
            }
            Err(_) => at = next,
        }
    }
    false
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

fn mounts() -> &'static [PathBuf] {
    static MOUNTS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    MOUNTS.get_or_init(|| served(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()))
}

/// Where such file systems are mounted. Where the root is one, nothing works without its answers.
fn served(table: &str) -> Vec<PathBuf> {
    let served = |entry: &MountEntry<'_>| KINDS.iter().any(|kind| entry.kind.starts_with(kind));
    let points = entries(table).filter(served).map(|entry| entry.point);
    points.filter(|point| point.parent().is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_servers_are_told_from_others() {
        let text = "22 1 8:1 / / rw - 9p root rw\n40 22 0:33 / /mnt/my\\040files rw shared:1 - fuse.sshfs host: rw\n\
                    41 22 0:34 / /data rw - nfs4 host:/data rw\n42 22 0:35 / /tmp rw - tmpfs none rw\n";
        assert_eq!(served(text), [PathBuf::from("/mnt/my files"), PathBuf::from("/data")]);
    }

    #[test]
    fn what_is_here_leads_nowhere_else() {
        assert!(!leads_there(Path::new("/etc/../proc/self/exe")));
        assert_eq!(names(Path::new("/a/../b")), ["b", "..", "a"]);
    }
}
