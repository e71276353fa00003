//! From a profile to a verdict for each number of each architecture.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};

use super::{Architecture, CompileError};

/// What becomes of every call.
#[derive(Debug)]
pub(super) struct Decided {
    /// Of a number that has no verdict: `SECCOMP_RET_…`.
    pub(super) default: u32,
    /// The machine's own architecture first.
    pub(super) sections: Vec<Section>,
}

/// One architecture.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) architecture: Architecture,
    /// Numbers above this one are of calls younger than the profile: they don't exist.
    pub(super) last: Option<u32>,
    pub(super) verdicts: BTreeMap<u32, Verdict>,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Always(u32),
    /// The first that fits; the default when none does.
    Cases(Vec<Case>),
}

/// An action under conditions that must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: u32,
}

/// A comparison of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u8,
    pub(super) comparison: Comparison,
    pub(super) value: u64,
    /// Whether the comparison must fail.
    pub(super) negated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Greater,
    AtLeast,
    /// Equal in these bits.
    Bits(u64),
}

/// What a rule says of each of its calls.
struct Said {
    action: u32,
    /// One list of conditions, or several of which any will do.
    alternatives: Vec<Vec<Condition>>,
}

/// Decides every number.
pub(super) fn decide(profile: &LinuxSeccomp, native: Architecture) -> Result<Decided, CompileError> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let rules = profile.syscalls().as_deref().unwrap_or_default();
    let said = rules.iter().map(say).collect::<Result<Vec<_>, _>>()?;
    let mut architectures = vec![native];
    for arch in profile.architectures().iter().flatten() {
        match Architecture::of(*arch, native) {
            Some(listed) if !architectures.contains(&listed) => architectures.push(listed),
            _ => {}
        }
    }
    let allows = matches!(
        profile.default_action(),
        LinuxSeccompAction::ScmpActAllow | LinuxSeccompAction::ScmpActLog | LinuxSeccompAction::ScmpActTrace
    );
    let sections = architectures.into_iter().map(|architecture| Section {
        architecture,
        last: if allows { None } else { last(rules, architecture) },
        verdicts: verdicts(rules, &said, architecture, default),
    });
    Ok(Decided { default, sections: sections.collect() })
}

/// The highest number that the profile names, whatever it says of it. What has two ways doesn't count, as in
/// libseccomp's tables it has no number of its own.
fn last(rules: &[LinuxSyscall], architecture: Architecture) -> Option<u32> {
    let names = rules.iter().flat_map(LinuxSyscall::names);
    let single = names.filter(|name| architecture.multiplexed(name).is_none());
    single.filter_map(|name| architecture.number(name)).max().filter(|last| *last > 0)
}

fn verdicts(
    rules: &[LinuxSyscall],
    said: &[Said],
    architecture: Architecture,
    default: u32,
) -> BTreeMap<u32, Verdict> {
    let mut verdicts = BTreeMap::new();
    for (rule, said) in rules.iter().zip(said).filter(|(_, said)| said.action != default) {
        for name in rule.names() {
            for conditions in &said.alternatives {
                if let Some(number) = architecture.number(name) {
                    add(&mut verdicts, number, simplify(conditions, architecture), said.action);
                }
                if let Some((number, part)) = architecture.multiplexed(name) {
                    let conditions = as_part(conditions, part);
                    add(&mut verdicts, number, simplify(&conditions, architecture), said.action);
                }
            }
        }
    }
    verdicts
}

fn add(verdicts: &mut BTreeMap<u32, Verdict>, number: u32, conditions: Vec<Condition>, action: u32) {
    if conditions.is_empty() {
        let verdict = verdicts.entry(number).or_insert(Verdict::Always(action));
        if matches!(verdict, Verdict::Cases(_)) {
            *verdict = Verdict::Always(action);
        }
        return;
    }
    let verdict = verdicts.entry(number).or_insert_with(|| Verdict::Cases(Vec::new()));
    if let Verdict::Cases(cases) = verdict {
        cases.push(Case { conditions, action });
    }
}

/// Through the other call, the first argument says which part of it is meant. The part's own arguments are in
/// memory, out of a filter's sight.
fn as_part(conditions: &[Condition], part: u64) -> Vec<Condition> {
    let comparison = Comparison::Bits(u64::MAX);
    let which = Condition { argument: 0, comparison, value: part, negated: false };
    let others = conditions.iter().filter(|condition| condition.argument != 0);
    std::iter::once(&which).chain(others).copied().collect()
}

/// Cuts values to the width of arguments, and leaves out what always holds.
fn simplify(conditions: &[Condition], architecture: Architecture) -> Vec<Condition> {
    let width = if architecture.is_wide() { u64::MAX } else { u64::from(u32::MAX) };
    let cut = conditions.iter().map(|condition| {
        let (comparison, value) = match condition.comparison {
            // Bits of the value outside the mask don't count, as with libseccomp.
            Comparison::Bits(mask) => (Comparison::Bits(mask & width), condition.value & mask & width),
            comparison => (comparison, condition.value & width),
        };
        Condition { comparison, value, ..*condition }
    });
    cut.filter(|condition| condition.comparison != Comparison::Bits(0)).collect()
}

fn say(rule: &LinuxSyscall) -> Result<Said, CompileError> {
    let action = action(rule.action(), rule.errno_ret())?;
    let conditions = rule.args().iter().flatten().map(condition).collect::<Result<Vec<_>, _>>()?;
    let twice =
        |one: &Condition| conditions.iter().filter(|other| other.argument == one.argument).count() > 1;
    let alternatives = if conditions.iter().any(twice) {
        conditions.into_iter().map(|condition| vec![condition]).collect()
    } else {
        vec![conditions]
    };
    Ok(Said { action, alternatives })
}

fn condition(arg: &LinuxSeccompArg) -> Result<Condition, CompileError> {
    let argument = u8::try_from(arg.index()).ok().filter(|index| *index < 6);
    let argument = argument.ok_or(CompileError::Argument(arg.index()))?;
    let (value, all) = (arg.value(), Comparison::Bits(u64::MAX));
    let (comparison, value, negated) = match arg.op() {
        LinuxSeccompOperator::ScmpCmpEq => (all, value, false),
        LinuxSeccompOperator::ScmpCmpNe => (all, value, true),
        LinuxSeccompOperator::ScmpCmpGt => (Comparison::Greater, value, false),
        LinuxSeccompOperator::ScmpCmpLe => (Comparison::Greater, value, true),
        LinuxSeccompOperator::ScmpCmpGe => (Comparison::AtLeast, value, false),
        LinuxSeccompOperator::ScmpCmpLt => (Comparison::AtLeast, value, true),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (Comparison::Bits(value), arg.value_two().unwrap_or_default(), false)
        }
    };
    Ok(Condition { argument, comparison, value, negated })
}

/// `SECCOMP_RET_…` with what goes with it: an error number, `EPERM` when none is said.
fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, CompileError> {
    let data = errno.unwrap_or(libc::EPERM as u32);
    let with_data = |action: u32| match u16::try_from(data) {
        Ok(data) => Ok(action | u32::from(data)),
        Err(_) => Err(CompileError::Errno(data)),
    };
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            Ok(libc::SECCOMP_RET_KILL_THREAD)
        }
        LinuxSeccompAction::ScmpActKillProcess => Ok(libc::SECCOMP_RET_KILL_PROCESS),
        LinuxSeccompAction::ScmpActTrap => Ok(libc::SECCOMP_RET_TRAP),
        // MAX_ERRNO: the kernel cuts what is above.
        LinuxSeccompAction::ScmpActErrno if data > 4095 => Err(CompileError::Errno(data)),
        LinuxSeccompAction::ScmpActErrno => with_data(libc::SECCOMP_RET_ERRNO),
        LinuxSeccompAction::ScmpActTrace => with_data(libc::SECCOMP_RET_TRACE),
        LinuxSeccompAction::ScmpActLog => Ok(libc::SECCOMP_RET_LOG),
        LinuxSeccompAction::ScmpActAllow => Ok(libc::SECCOMP_RET_ALLOW),
        LinuxSeccompAction::ScmpActNotify => Err(CompileError::Notify),
    }
}
