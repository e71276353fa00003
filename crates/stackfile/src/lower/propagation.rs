//! Whether mounts travel between the host and a container: what the host's mount table says (proc(5),
//! `/proc/PID/mountinfo`).

use crate::mount_table;
use crate::reader::FileReader;
use std::path::{Path, PathBuf};

/// How a mount is joined to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// What is mounted on one shows on the others, both ways.
    Shared,
    /// It shows what is mounted on another.
    Receives,
}

/// A mount that isn't joined as is needed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lacking {
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// The mount that a path is on, when it lacks what is needed. None when all is well, and when it can't be known.
pub(super) fn lacking(reader: &dyn FileReader, path: &Path, needs: Reach) -> Option<Lacking> {
    let table = reader.read(Path::new("/proc/self/mountinfo")).ok()?;
    check(&String::from_utf8_lossy(&table), path, needs)
}

fn check(table: &str, path: &Path, needs: Reach) -> Option<Lacking> {
    // The last of those with the longest path lies on top.
    let on = mount_table::entries(table).filter(|entry| path.starts_with(&entry.point));
    let on = on.max_by_key(|entry| entry.point.components().count())?;
    let has = |tag: &str| on.tags.split(' ').any(|field| field.starts_with(tag));
    let enough = has("shared:") || needs == Reach::Receives && has("master:");
    (!enough).then_some(Lacking { mount: on.point })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /srv rw - tmpfs t rw
31 30 0:41 / /srv/in rw master:7 - tmpfs t rw
32 22 0:42 / /a\\040b rw shared:9 master:1 - tmpfs t rw
33 22 0:43 / /twice rw shared:2 - tmpfs t rw
34 33 0:44 / /twice rw - tmpfs t rw
";

    #[test]
    fn the_mount_that_a_path_is_on_decides() {
        let lacks = |path: &str, needs| check(TABLE, Path::new(path), needs).map(|lacking| lacking.mount);
        assert_eq!(lacks("/data", Reach::Shared), None);
        assert_eq!(lacks("/data", Reach::Receives), None);
        assert_eq!(lacks("/srv/x", Reach::Receives), Some("/srv".into()));
        assert_eq!(lacks("/srvx", Reach::Shared), None);
        assert_eq!(lacks("/srv/in/x", Reach::Receives), None);
        assert_eq!(lacks("/srv/in/x", Reach::Shared), Some("/srv/in".into()));
        assert_eq!(lacks("/a b/c", Reach::Shared), None);
        assert_eq!(lacks("/twice", Reach::Shared), Some("/twice".into()));
    }
}
