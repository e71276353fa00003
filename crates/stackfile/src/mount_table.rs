//! The host's mount table as the kernel prints it (proc_pid_mountinfo(5)), as far as stack files are concerned with it.

use std::path::PathBuf;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry<'t> {
    /// Where it is mounted.
    pub point: PathBuf,
    /// How it is joined to others: the optional fields, parted by blanks.
    pub tags: &'t str,
    /// The kind of file system, such as `ext4` or `fuse.sshfs`.
    pub kind: &'t str,
}

/// The mounts of a table, in its order: a later one at the same place lies on top. A line that isn't as it should be is left
/// out.
pub fn entries(table: &str) -> impl Iterator<Item = MountEntry<'_>> {
    table.lines().filter_map(entry)
}

fn entry(line: &str) -> Option<MountEntry<'_>> {
    let mut fields = line.splitn(7, ' ');
    let point = fields.nth(4)?;
    let rest = fields.nth(1)?;
    let (tags, system) = match rest.strip_prefix("- ") {
        Some(system) => ("", system),
        None => rest.split_once(" - ")?,
    };
    Some(MountEntry { point: PathBuf::from(unescape(point)), tags, kind: system.split(' ').next()? })
}

/// Blanks and backslashes are written as octal numbers.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_has_its_place_its_ties_and_its_kind() {
        let table = "22 1 8:1 / / rw shared:1 master:2 - ext4 /dev/vda rw\nnonsense\n40 22 0:33 / /my\\040files rw - fuse.sshfs h: rw\n";
        let expected = [
            MountEntry { point: "/".into(), tags: "shared:1 master:2", kind: "ext4" },
            MountEntry { point: "/my files".into(), tags: "", kind: "fuse.sshfs" },
        ];
        assert_eq!(entries(table).collect::<Vec<_>>(), expected);
    }
}
