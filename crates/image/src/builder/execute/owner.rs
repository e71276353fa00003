//! `--chown`: names and numbers looked up in the image's own `/etc/passwd` and `/etc/group`.

use super::StepError;
use super::tree::{self, Files};

/// User and group that `text` (`user`, `user:group`, each a name or a number) means in the image.
pub(super) fn resolve(image: &dyn Files, text: &str) -> Result<(u32, u32), StepError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let (uid, own_group) = match number(user) {
        // As Docker has it: a bare number stands for the group too.
        Some(uid) => (uid, uid),
        None if user.is_empty() => (0, 0),
        None => look_up(image, "etc/passwd", user, [2, 3])?,
    };
    let gid = match group {
        None => own_group,
        Some(group) => match number(group) {
            Some(gid) => gid,
            None => look_up(image, "etc/group", group, [2, 2])?.0,
        },
    };
    Ok((uid, gid))
}

fn number(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().filter(|number| *number != u32::MAX)
}

fn look_up(image: &dyn Files, file: &str, name: &str, fields: [usize; 2]) -> Result<(u32, u32), StepError> {
    let text = tree::read_text(image, file)?;
    let missing = || StepError::Refused(format!("the image's /{file} has no {name:?}"));
    let line = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let entry = line.into_iter().find(|entry| entry.first() == Some(&name)).ok_or_else(missing)?;
    let field = |at: usize| entry.get(at).and_then(|field| number(field)).ok_or_else(missing);
    Ok((field(fields[0])?, field(fields[1])?))
}
