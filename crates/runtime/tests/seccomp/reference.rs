//! What a profile says of a call, worked out rule by rule: slow, and plain to see.

use hoist_runtime::seccomp::Architecture;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};

use crate::interpreter::Call;

const X32_BIT: u32 = 0x4000_0000;
const KILL: u32 = 0;
const ENOSYS: u32 = 0x0005_0026;

/// What must come of a call of an architecture.
pub(crate) fn verdict(profile: &LinuxSeccomp, native: Architecture, call: &Call) -> u32 {
    let default = action(profile.default_action(), profile.default_errno_ret());
    let mut listed = vec![native];
    for architecture in Architecture::ALL {
        let named = profile.architectures().iter().flatten().any(|arch| *arch == architecture.oci());
        if named && architecture != native {
            listed.push(architecture);
        }
    }
    let marked = call.token == Architecture::X32.token() && call.number & X32_BIT != 0;
    let meant = listed.iter().find(|known| {
        known.token() == call.token
            && (call.token != Architecture::X32.token() || (**known == Architecture::X32) == marked)
    });
    let rules = profile.syscalls().as_deref().unwrap_or_default();
    match meant {
        Some(architecture) => of_known(rules, default, profile.default_action(), *architecture, call),
        None if listed.iter().any(|known| known.token() == call.token) && call.number == u32::MAX => default,
        None => KILL,
    }
}

fn of_known(
    rules: &[LinuxSyscall],
    default: u32,
    default_action: LinuxSeccompAction,
    architecture: Architecture,
    call: &Call,
) -> u32 {
    let allows =
        ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].contains(&default_action.to_string().as_str());
    let socketcall_like = |name: &String| {
        // Names that 32-bit x86 has in two ways.
        architecture == Architecture::X86 && parts(name).is_some()
    };
    let names = rules.iter().flat_map(LinuxSyscall::names).filter(|name| !socketcall_like(name));
    let highest = names.filter_map(|name| architecture.number(name)).max();
    if !allows && highest.is_some_and(|highest| highest > 0 && call.number > highest) {
        return ENOSYS;
    }
    let mut first_conditional = None;
    for rule in rules {
        let said = action(rule.action(), rule.errno_ret());
        if said == default {
            continue;
        }
        for name in rule.names() {
            for (number, part) in ways(architecture, name) {
                if number != call.number {
                    continue;
                }
                match holds(rule, part, architecture, call) {
                    Held::Always => return said,
                    Held::Now => first_conditional = first_conditional.or(Some(said)),
                    Held::Not => {}
                }
            }
        }
    }
    first_conditional.unwrap_or(default)
}

/// Numbers by which a call is made, and what its first argument must then be.
fn ways(architecture: Architecture, name: &str) -> Vec<(u32, Option<u64>)> {
    let mut ways: Vec<_> = architecture.number(name).map(|number| (number, None)).into_iter().collect();
    if let Some((other, part)) = parts(name).filter(|_| architecture == Architecture::X86) {
        ways.push((architecture.number(other).unwrap(), Some(part)));
    }
    ways
}

/// The call that a call of 32-bit x86 is also a part of, and which part.
pub(crate) fn parts(name: &str) -> Option<(&'static str, u64)> {
    const SOCKETS: &str = "socket bind connect listen accept getsockname getpeername socketpair send recv sendto \
                           recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";
    const IPC: [(&str, u64); 12] = [
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ];
    if let Some(place) = SOCKETS.split(' ').position(|known| known == name) {
        return Some(("socketcall", place as u64 + 1));
    }
    IPC.iter().find(|(known, _)| *known == name).map(|(_, part)| ("ipc", *part))
}

enum Held {
    Always,
    Now,
    Not,
}

fn holds(rule: &LinuxSyscall, part: Option<u64>, architecture: Architecture, call: &Call) -> Held {
    let args: Vec<LinuxSeccompArg> = rule.args().clone().unwrap_or_default();
    let same = |arg: &LinuxSeccompArg| args.iter().filter(|other| other.index() == arg.index()).count() > 1;
    let any = args.iter().any(same);
    let wide = architecture.is_wide();
    let cut = |value: u64| if wide { value } else { value & 0xffff_ffff };
    // One by one where any will do, else all of them together.
    let groups: Vec<Vec<LinuxSeccompArg>> =
        if any { args.iter().map(|arg| vec![*arg]).collect() } else { vec![args.clone()] };
    let mut now = false;
    for group in groups {
        let looked: Vec<_> = group
            .iter()
            .filter(|arg| part.is_none() || arg.index() != 0)
            // No bit is looked at: nothing is asked.
            .filter(|arg| arg.op() != LinuxSeccompOperator::ScmpCmpMaskedEq || cut(arg.value()) != 0)
            .collect();
        if looked.is_empty() && part.is_none() {
            return Held::Always;
        }
        let right_part = part.is_none_or(|part| cut(call.arguments[0]) == part);
        now |= right_part && looked.iter().all(|arg| compare(arg, call, &cut));
    }
    if now { Held::Now } else { Held::Not }
}

fn compare(arg: &LinuxSeccompArg, call: &Call, cut: &dyn Fn(u64) -> u64) -> bool {
    let (value, wanted) = (cut(call.arguments[arg.index()]), cut(arg.value()));
    match arg.op() {
        LinuxSeccompOperator::ScmpCmpEq => value == wanted,
        LinuxSeccompOperator::ScmpCmpNe => value != wanted,
        LinuxSeccompOperator::ScmpCmpLt => value < wanted,
        LinuxSeccompOperator::ScmpCmpLe => value <= wanted,
        LinuxSeccompOperator::ScmpCmpGt => value > wanted,
        LinuxSeccompOperator::ScmpCmpGe => value >= wanted,
        LinuxSeccompOperator::ScmpCmpMaskedEq => value & wanted == arg.value_two().unwrap_or(0) & wanted,
    }
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(1);
    match action.to_string().as_str() {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => KILL,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | data,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | data,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        other => panic!("{other}"),
    }
}
