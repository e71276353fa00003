//! Who a process runs as: names and numbers looked up in the image's own `/etc/passwd` and `/etc/group`.
//!
//! By Docker's rules, by our own parser: the C library's would ask the host's name services.

mod files;

use std::os::fd::BorrowedFd;
use std::path::Path;

use files::{Group, User};

use crate::rootfs::{self, RootfsError};

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids, the primary one first: without it there, a process could shed a group that
    /// a file's mode denies something to (CVE-2022-36109).
    pub groups: Vec<u32>,
    /// Home directory: `/` when the image does not say.
    pub home: String,
}

/// Why a user could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// A name that `/etc/passwd` does not have.
    #[error("unable to find user {0}: no matching entries in the image's /etc/passwd")]
    NoUser(String),
    /// A name that `/etc/group` does not have.
    #[error("unable to find group {0}: no matching entries in the image's /etc/group")]
    NoGroup(String),
    /// A number outside 0..=2147483647.
    #[error("user and group ids must be in 0..=2147483647, not {0}")]
    Range(String),
    /// The image's files can't be read.
    #[error("can't look users up")]
    Read(#[source] RootfsError),
}

/// No image has more than a few kilobytes of users; a file this large is an attack.
const LARGEST_FILE: u64 = 16 << 20;

/// Resolves `user[:group]`, each a name or a number, and further groups (a name or a number each), by
/// Docker's rules:
///
/// - nothing is uid 0; a number is always a number, in the files or not;
/// - a number that is not in the files has gid 0 and home `/`;
/// - with a group, the user's memberships don't count.
///
/// # Errors
///
/// For a name that the image does not have, or a number out of range.
pub fn resolve(root: BorrowedFd<'_>, user: &str, additional: &[String]) -> Result<Identity, UserError> {
    let file = |path: &str| {
        let content = rootfs::read(root, Path::new(path), LARGEST_FILE).map_err(UserError::Read)?;
        Ok(String::from_utf8_lossy(&content.unwrap_or_default()).into_owned())
    };
    resolve_in(&file("/etc/passwd")?, &file("/etc/group")?, user, additional)
}

fn resolve_in(passwd: &str, group: &str, user: &str, additional: &[String]) -> Result<Identity, UserError> {
    let (user, wanted_group) = user.split_once(':').unwrap_or((user, ""));
    let entry = find_user(passwd, user)?;
    let (gid, memberships) = if wanted_group.is_empty() {
        (entry.gid, files::groups(group).filter(|g| g.has(entry.name)).map(|g| g.gid).collect())
    } else {
        (find_group(group, wanted_group)?, Vec::new())
    };
    let mut groups = vec![gid];
    let added = additional.iter().map(|name| find_group(group, name)).collect::<Result<Vec<_>, _>>()?;
    for gid in memberships.into_iter().chain(added) {
        if !groups.contains(&gid) {
            groups.push(gid);
        }
    }
    let home = if entry.home.is_empty() { "/" } else { entry.home };
    Ok(Identity { uid: entry.uid, gid, groups, home: home.to_owned() })
}

fn find_user<'a>(passwd: &'a str, wanted: &'a str) -> Result<User<'a>, UserError> {
    let number = id(if wanted.is_empty() { "0" } else { wanted })?;
    let matches = |user: &User<'_>| number.map_or(user.name == wanted, |uid| user.uid == uid);
    match (files::users(passwd).find(matches), number) {
        (Some(user), _) => Ok(user),
        (None, Some(uid)) => Ok(User { name: "", uid, gid: 0, home: "/" }),
        (None, None) => Err(UserError::NoUser(wanted.to_owned())),
    }
}

fn find_group(group: &str, wanted: &str) -> Result<u32, UserError> {
    if let Some(gid) = id(wanted)? {
        return Ok(gid);
    }
    let found = files::groups(group).find(|group: &Group<'_>| group.name == wanted);
    found.map(|group| group.gid).ok_or_else(|| UserError::NoGroup(wanted.to_owned()))
}

/// The number that a text is, if it is one.
fn id(text: &str) -> Result<Option<u32>, UserError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let number = text.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok());
    number.map(Some).ok_or_else(|| UserError::Range(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# a comment\nbroken\n\
                          app:x:1000:1001:,,,:/home/app:/bin/sh\n7:x:70:70::/seven:\nnohome:x:8:8::::";
    const GROUP: &str =
        "root:x:0:\napp:x:1001:\nadm:x:4:syslog,app\nvideo:x:44:app,\nbad:x:y:app\nops:x:9:root";

    fn show(user: &str, additional: &[&str]) -> String {
        let additional: Vec<_> = additional.iter().map(ToString::to_string).collect();
        match resolve_in(PASSWD, GROUP, user, &additional) {
            Ok(Identity { uid, gid, groups, home }) => format!("{uid}:{gid} {groups:?} {home}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn users_resolve_as_with_docker() {
        let table = [
            ("", "0:0 [0, 9] /root"),
            ("root", "0:0 [0, 9] /root"),
            ("app", "1000:1001 [1001, 4, 44] /home/app"),
            ("1000", "1000:1001 [1001, 4, 44] /home/app"),
            ("app:adm", "1000:4 [4] /home/app"),
            ("app:77", "1000:77 [77] /home/app"),
            ("5000", "5000:0 [0] /"),
            ("5000:5001", "5000:5001 [5001] /"),
            (":adm", "0:4 [4] /root"),
            ("nohome", "8:8 [8] /"),
            // A number is never taken for a name that looks like one.
            ("7", "7:0 [0] /"),
            ("ghost", "unable to find user ghost: no matching entries in the image's /etc/passwd"),
            ("app:ghosts", "unable to find group ghosts: no matching entries in the image's /etc/group"),
            ("-1", "user and group ids must be in 0..=2147483647, not -1"),
            ("4294967296", "user and group ids must be in 0..=2147483647, not 4294967296"),
        ];
        for (user, expected) in table {
            assert_eq!(show(user, &[]), expected, "{user}");
        }
    }

    #[test]
    fn additional_groups_are_added_once() {
        assert_eq!(show("app:adm", &["video", "4", "500"]), "1000:4 [4, 44, 500] /home/app");
        assert_eq!(
            show("app", &["nope"]),
            "unable to find group nope: no matching entries in the image's /etc/group"
        );
    }
}
