//! Docker's default profile, read from our own text form.

use std::sync::OnceLock;

use oci_spec::runtime::{
    Arch, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator, LinuxSyscall,
};

use super::{Architecture, Architectures, Conditions, Profile, Rule};

const TEXT: &str = include_str!("default.txt");

/// Docker's published default profile: some 360 calls are allowed, others to who has the capability for them.
///
/// # Panics
///
/// Never: the text is part of the program, and read by tests.
pub fn default_profile() -> &'static Profile {
    static PROFILE: OnceLock<Profile> = OnceLock::new();
    PROFILE.get_or_init(|| read(TEXT).expect("the default profile is well-formed"))
}

fn read(text: &str) -> Result<Profile, String> {
    let mut profile = Profile {
        default_action: LinuxSeccompAction::ScmpActKillProcess,
        default_errno: None,
        architectures: Architectures::ByMachine(Vec::new()),
        flags: None,
        rules: Vec::new(),
    };
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        read_line(&mut profile, line).ok_or_else(|| line.to_owned())?;
    }
    Ok(profile)
}

/// None when the line isn't understood.
fn read_line(profile: &mut Profile, line: &str) -> Option<()> {
    if let Some(names) = line.strip_prefix("  ") {
        let rule = &mut profile.rules.last_mut()?.rule;
        let names = rule.names().iter().cloned().chain(names.split(' ').map(str::to_owned)).collect();
        rule.set_names(names);
    } else if let Some(head) = line.strip_suffix(':') {
        profile.rules.push(rule(head)?);
    } else if let Some(action) = line.strip_prefix("default ") {
        (profile.default_action, profile.default_errno) = action_of(&mut action.split(' '))?;
    } else if let (Some(machine), Architectures::ByMachine(machines)) =
        (line.strip_prefix("machine "), &mut profile.architectures)
    {
        let mut names = machine.split(' ').filter(|word| *word != "with").map(arch);
        machines.push((names.next()??, names.collect::<Option<_>>()?));
    } else {
        return None;
    }
    Some(())
}

fn arch(name: &str) -> Option<Arch> {
    let known = Architecture::ALL.into_iter().map(Architecture::oci);
    known.into_iter().find(|arch| arch.to_string() == format!("SCMP_ARCH_{}", name.to_ascii_uppercase()))
}

fn rule(head: &str) -> Option<Rule> {
    let mut words = head.split(' ');
    let mut rule = LinuxSyscall::default();
    let (action, errno) = action_of(&mut words)?;
    rule.set_action(action).set_errno_ret(errno);
    let (mut includes, mut excludes) = (Conditions::default(), Conditions::default());
    let mut args = Vec::new();
    for word in words {
        match (word.strip_prefix('!'), word.strip_prefix("arg")) {
            (_, Some(comparison)) => args.push(argument(comparison)?),
            (Some(word), None) => condition(&mut excludes, word)?,
            (None, None) => condition(&mut includes, word)?,
        }
    }
    rule.set_args((!args.is_empty()).then_some(args));
    Some(Rule { rule, includes, excludes })
}

fn action_of<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<(LinuxSeccompAction, Option<u32>)> {
    match words.next()? {
        "allow" => Some((LinuxSeccompAction::ScmpActAllow, None)),
        "errno" => Some((LinuxSeccompAction::ScmpActErrno, Some(words.next()?.parse().ok()?))),
        _ => None,
    }
}

fn condition(conditions: &mut Conditions, word: &str) -> Option<()> {
    let (kind, value) = word.split_once('=')?;
    match kind {
        "cap" => conditions.capabilities.extend(value.split(',').map(str::to_owned)),
        "machine" => conditions.machines.extend(value.split(',').map(str::to_owned)),
        "kernel" => {
            let (major, minor) = value.split_once('.')?;
            conditions.kernel = Some((major.parse().ok()?, minor.parse().ok()?));
        }
        _ => return None,
    }
    Some(())
}

/// `0<38`, `0&0x7e020000=0x0`.
fn argument(text: &str) -> Option<LinuxSeccompArg> {
    let (index, rest) = text.split_at_checked(1)?;
    let (op, value) = rest.split_at_checked(1)?;
    let arg = LinuxSeccompArgBuilder::default().index(index.parse::<usize>().ok()?);
    let arg = match op {
        "<" => arg.op(LinuxSeccompOperator::ScmpCmpLt).value(number(value)?),
        ">" => arg.op(LinuxSeccompOperator::ScmpCmpGt).value(number(value)?),
        "=" => arg.op(LinuxSeccompOperator::ScmpCmpEq).value(number(value)?),
        "&" => {
            let (mask, value) = value.split_once('=')?;
            arg.op(LinuxSeccompOperator::ScmpCmpMaskedEq).value(number(mask)?).value_two(number(value)?)
        }
        _ => return None,
    };
    arg.build().ok()
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities;

    #[test]
    fn the_text_is_understood_to_its_last_line() {
        let profile = default_profile();
        let names: Vec<_> = profile.rules.iter().flat_map(|rule| rule.rule.names()).collect();
        let known: Vec<_> = Architecture::names().collect();
        // Calls of machines that have no table here are the only ones without a number.
        let foreign = ["swapcontext", "sync_file_range2", "s390_"];
        for name in &names {
            let is_foreign = foreign.iter().any(|prefix| name.starts_with(prefix));
            assert!(known.contains(&name.as_str()) || is_foreign, "{name}");
        }
        assert!(names.len() > 400, "{}", names.len());
        for capability in profile.rules.iter().flat_map(|rule| &rule.includes.capabilities) {
            assert!(capabilities::by_name(capability).is_some(), "{capability}");
        }
        assert_eq!(profile.default_errno, Some(1));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in ["allow maybe=1:", "  read", "errno x:", "allow arg0?1:", "machine z80", "deny:"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
