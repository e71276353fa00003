//! Who gives the command, for a stack's history: the user behind `sudo`, and this machine's name.

use std::fs;

use hoist_model::Author;

/// Who gives the command.
#[must_use]
pub(crate) fn author() -> Author {
    let uid = rustix::process::getuid();
    let behind = std::env::var("SUDO_USER").ok().filter(|name| uid.is_root() && !name.is_empty());
    let user = behind.or_else(|| name_of(uid.as_raw())).unwrap_or_else(|| uid.as_raw().to_string());
    Author { user, host: rustix::system::uname().nodename().to_string_lossy().into_owned() }
}

/// passwd(5): the name comes first, the number third.
fn name_of(uid: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut entries = users.lines().map(|line| line.split(':'));
    entries.find_map(|mut entry| {
        let name = entry.next()?;
        (entry.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
