//! Where control groups are mounted, by /proc/self/mountinfo.

use std::path::{Component, Path, PathBuf};

use rustix::fs::statfs;
use rustix::io::Errno;

/// `CGROUP2_SUPER_MAGIC`, statfs(2).
const CGROUP2: u64 = 0x6367_7270;

/// Which of its two interfaces a hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// The mounts of all hierarchies, whatever their controllers.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupMounts(Vec<(PathBuf, Version)>);

impl GroupMounts {
    /// Those that this process sees; none where it can't be told.
    pub(crate) fn of_this_process() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(mountinfo: &str) -> Self {
        let mounts = mountinfo.lines().filter_map(Mount::parse).filter_map(|mount| match mount.kind {
            "cgroup" => Some((mount.mount_point, Version::One)),
            "cgroup2" => Some((mount.mount_point, Version::Two)),
            _ => None,
        });
        Self(mounts.collect())
    }

    /// The mount that a group's directory is on; none for one that was mounted since.
    fn of(&self, group: &Path) -> Option<&(PathBuf, Version)> {
        let above = self.0.iter().filter(|(point, _)| group.starts_with(point));
        above.max_by_key(|(point, _)| point.as_os_str().len())
    }

    /// Where the hierarchy of a group is mounted, as far as is known.
    pub(crate) fn point(&self, group: &Path) -> Option<&Path> {
        self.of(group).map(|(point, _)| point.as_path())
    }

    /// The version of a group's hierarchy; the kernel is asked where it isn't known.
    pub(crate) fn version(&self, group: &Path) -> Result<Version, Errno> {
        match self.of(group) {
            Some((_, version)) => Ok(*version),
            None if statfs(group)?.f_type as u64 == CGROUP2 => Ok(Version::Two),
            None => Ok(Version::One),
        }
    }
}

/// A line of /proc/self/mountinfo, proc_pid_mountinfo(5).
pub(super) struct Mount<'a> {
    root: PathBuf,
    pub(super) mount_point: PathBuf,
    pub(super) kind: &'a str,
    pub(super) options: &'a str,
}

impl<'a> Mount<'a> {
    pub(super) fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        let mut back = back.split(' ');
        Some(Mount {
            root: unescape(front.next()?),
            mount_point: unescape(front.next()?),
            kind: back.next()?,
            options: back.nth(1)?,
        })
    }

    /// The directory of the group called `path` in /proc/self/cgroup. A group that lies outside the
    /// mounted part (a container that kept its host's cgroup namespace) can't be named: the top then
    /// stands for it.
    pub(super) fn locate(&self, path: Option<&str>) -> PathBuf {
        let below = path.and_then(|path| Path::new(path).strip_prefix(&self.root).ok());
        match below {
            Some(below) if below.components().all(|part| matches!(part, Component::Normal(_))) => {
                self.mount_point.join(below)
            }
            _ => self.mount_point.clone(),
        }
    }
}

/// Undoes the octal escapes of mountinfo (space, tab, newline, backslash).
fn unescape(field: &str) -> PathBuf {
    let mut parts = field.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_on_the_innermost_mount_above_it() {
        let line = |point: &str, kind: &str| format!("1 2 0:3 / {point} rw shared:4 - {kind} none rw\n");
        let mounts = GroupMounts::parse(
            &[
                line("/sys/fs/cgroup", "tmpfs"),
                line("/sys/fs/cgroup/cpu", "cgroup"),
                line("/sys/fs/cgroup/unified", "cgroup2"),
                line("/mnt/a\\040b", "cgroup"),
            ]
            .concat(),
        );
        let point = |group: &str| mounts.point(Path::new(group)).map(|point| point.display().to_string());
        assert_eq!(point("/sys/fs/cgroup/cpu/x/y").as_deref(), Some("/sys/fs/cgroup/cpu"));
        assert_eq!(point("/sys/fs/cgroup/cpuacct/x"), None);
        assert_eq!(point("/mnt/a b/x").as_deref(), Some("/mnt/a b"));
        assert_eq!(mounts.version(Path::new("/sys/fs/cgroup/unified/x")), Ok(Version::Two));
        assert_eq!(mounts.version(Path::new("/nowhere/x")), Err(Errno::NOENT));
    }
}
