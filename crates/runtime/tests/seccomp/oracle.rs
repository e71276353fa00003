//! libseccomp as the judge, alone and as runc uses it: both programs are run side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use hoist_runtime::capabilities;
use hoist_runtime::seccomp::{Architecture, Instruction, compile};
use oci_spec::runtime::{Capability, LinuxSeccomp, LinuxSeccompArg, LinuxSyscall};
use serde_json::{Value, json};

use crate::interpreter::{Call, check, run};
use crate::profiles::{docker, docker_with, profile, rule};
use crate::reference::parts;
use crate::runc;

const ENOSYS: u32 = 0x0005_0026;
/// The one that Debian packages are for.
const PYTHON: &str = "/usr/bin/python3";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seccomp/libseccomp.py");
const X86: [Architecture; 3] = [Architecture::X86_64, Architecture::X86, Architecture::X32];
const ARM: [Architecture; 2] = [Architecture::Aarch64, Architecture::Arm];

/// Runs the script; none, with the reason printed, where libseccomp can't be asked.
fn libseccomp(test: &str, args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let asked = Command::new(PYTHON).args(["-c", "import seccomp"]).output();
    if !asked.is_ok_and(|output| output.status.success()) {
        println!("skipped {test}, because python3-seccomp is not installed");
        return None;
    }
    let mut child = Command::new(PYTHON)
        .arg(SCRIPT)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(output.stdout)
}

/// The program that libseccomp makes.
fn theirs(test: &str, profile: &LinuxSeccomp) -> Option<Vec<Instruction>> {
    let bytes = libseccomp(test, &[], &serde_json::to_vec(profile).unwrap())?;
    let instructions = bytes.chunks_exact(8).map(|bytes| Instruction {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        if_true: bytes[2],
        if_false: bytes[3],
        operand: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    });
    Some(instructions.collect())
}

type Numbers = BTreeMap<(String, String), i64>;

/// What libseccomp knows: its version may be older than our tables.
fn numbers(test: &str) -> Option<Numbers> {
    let names: Vec<_> = Architecture::names().collect();
    let architectures = ["X86_64", "X86", "X32", "AARCH64", "ARM", "RISCV64"];
    let text = libseccomp(test, &[&["numbers"][..], &architectures].concat(), names.join("\n").as_bytes())?;
    let text = String::from_utf8(text).unwrap();
    let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    Some(words.map(|words| ((words[0].to_owned(), words[1].to_owned()), words[2].parse().unwrap())).collect())
}

/// Whether it knows the call wherever we do.
fn known(numbers: &Numbers, name: &str) -> bool {
    let mut ours = Architecture::ALL.into_iter().filter(|architecture| architecture.number(name).is_some());
    ours.all(|architecture| {
        let key = architecture.oci().to_string().trim_start_matches("SCMP_ARCH_").to_owned();
        numbers.get(&(key, name.to_owned())).is_none_or(|number| *number >= 0)
    })
}

/// The profile without the names that libseccomp doesn't know: they would be above all that it knows, and calls
/// below them be refused in one program and not exist in the other.
fn cut(profile: &LinuxSeccomp, numbers: &Numbers) -> LinuxSeccomp {
    let mut cut = profile.clone();
    let rules = profile.syscalls().iter().flatten().map(|rule| {
        let mut rule = rule.clone();
        rule.set_names(rule.names().iter().filter(|name| known(numbers, name)).cloned().collect());
        rule
    });
    let names = || profile.syscalls().iter().flatten().flat_map(LinuxSyscall::names);
    let left_out: BTreeSet<_> = names().filter(|name| !known(numbers, name)).collect();
    println!("not known to this libseccomp everywhere: {left_out:?}");
    let rules: Vec<LinuxSyscall> = rules.filter(|rule| !rule.names().is_empty()).collect();
    cut.set_syscalls(Some(rules));
    cut
}

/// Sets of arguments at the borders of everything that the profile compares, for one call.
fn arguments(profile: &LinuxSeccomp, names: &[&str]) -> Vec<[u64; 6]> {
    let rules = profile
        .syscalls()
        .iter()
        .flatten()
        .filter(|rule| rule.names().iter().any(|name| names.contains(&name.as_str())));
    let args: Vec<_> = rules.flat_map(|rule| rule.args().iter().flatten().copied()).collect();
    let mut cases = vec![[0; 6], [u64::MAX; 6], [1, 2, 3, 4, 5, 6]];
    let looked: BTreeSet<usize> = args.iter().map(LinuxSeccompArg::index).collect();
    for index in looked {
        let values = args.iter().filter(|arg| arg.index() == index).flat_map(|arg| {
            let (value, two) = (arg.value(), arg.value_two().unwrap_or(0));
            [
                value,
                value.wrapping_add(1),
                value.wrapping_sub(1),
                value | 1 << 32,
                value & 0xffff_ffff,
                !value,
                two,
                two | !value,
                two & value,
                two ^ value,
            ]
        });
        let values: BTreeSet<u64> = values.collect();
        // With each set so far, so that several arguments are met together.
        for before in cases.clone().into_iter().take(64) {
            cases.extend(values.iter().map(|value| {
                let mut case = before;
                case[index] = *value;
                case
            }));
        }
    }
    for part in 1..26 {
        cases.push([part, 0, 0, 0, 0, 0]);
    }
    cases
}

/// Whose program ours is held against.
#[derive(Clone, Copy, PartialEq)]
enum Judge {
    /// It answers calls younger than the profile as any other that isn't named.
    Libseccomp,
    /// It answers them with ENOSYS.
    Runc,
}

/// Runs both programs on every call of the architectures, and says on how many calls and cases they agree.
fn compare(
    profile: &LinuxSeccomp,
    architectures: &[Architecture],
    ours: &[Instruction],
    (judge, theirs): (Judge, &[Instruction]),
) -> (usize, usize) {
    check(ours);
    let (mut calls, mut cases) = (BTreeSet::new(), 0);
    for architecture in architectures {
        let mut named: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        for name in Architecture::names() {
            if let Some(number) = architecture.number(name) {
                named.entry(number).or_default().push(name);
            }
        }
        let said = profile.syscalls().iter().flatten().flat_map(LinuxSyscall::names);
        let single = said.filter(|name| *architecture != Architecture::X86 || parts(name).is_none());
        let last = single.filter_map(|name| architecture.number(name)).max().unwrap_or(0);
        let mark = architecture.number("read").unwrap() & 0x4000_0000;
        for number in (0..700).map(|number| number | mark).chain([mark | 983_045, u32::MAX]) {
            let names = named.get(&number).cloned().unwrap_or_default();
            calls.extend(names.iter().map(ToString::to_string));
            for arguments in arguments(profile, &names) {
                let call = Call::new(*architecture, number, arguments);
                let (ours, theirs) = (run(ours, &call), run(theirs, &call));
                cases += 1;
                if judge == Judge::Libseccomp && number > last && ours == ENOSYS {
                    continue;
                }
                assert_eq!(ours, theirs, "{architecture:?} {names:?} {call:x?}: {ours:x}, theirs {theirs:x}");
            }
        }
    }
    (calls.len(), cases)
}

/// A rule for each operator and several values, all of which call for the same.
fn operators(native: Architecture, action: &str, default: &str) -> LinuxSeccomp {
    let values = [0_u64, 5, 0xffff_ffff, 0x1_0000_0000, 0x1234_5678_9abc_def0];
    let operators = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let mut names =
        ["ioctl", "fcntl", "prctl", "kill", "mount", "bpf", "keyctl", "futex", "mmap", "shmat", "socket"]
            .into_iter()
            .cycle();
    let mut rules = Vec::new();
    for operator in operators {
        for (place, value) in values.iter().enumerate() {
            let arg = |index: usize| json!({ "index": index, "op": format!("SCMP_CMP_{operator}"), "value": value, "valueTwo": value & 0xff });
            let other = json!({ "index": 5, "op": "SCMP_CMP_EQ", "value": place });
            let name = [names.next().unwrap()];
            rules.push(rule(&name, action, &json!([arg(place)])));
            rules.push(rule(&[names.next().unwrap()], action, &json!([arg(place), other])));
        }
    }
    let listed: &[Architecture] = if native == Architecture::Aarch64 { &ARM } else { &X86 };
    let listed: Vec<Value> = listed.iter().map(|architecture| json!(architecture.oci())).collect();
    profile(json!({ "defaultAction": default, "architectures": listed, "syscalls": rules }))
}

#[test]
fn numbers_are_those_of_libseccomp() {
    let Some(numbers) = numbers("numbers_are_those_of_libseccomp") else { return };
    let mut same = 0;
    for ((architecture, name), number) in numbers {
        let ours = Architecture::ALL
            .into_iter()
            .find(|known| known.oci().to_string() == format!("SCMP_ARCH_{architecture}"));
        // Calls that 32-bit x86 has in two ways are told by what they are a part of.
        let part = architecture == "X86" && [102, 117].contains(&number);
        // Below zero: a call that this architecture lacks, or that came later.
        if let (Some(ours), Ok(number), false) = (ours, u32::try_from(number), part) {
            assert_eq!(ours.number(&name), Some(number), "{architecture} {name}");
            same += 1;
        }
    }
    assert!(same > 1800, "only {same} numbers");
}

#[test]
fn libseccomp_says_the_same_on_every_call() {
    const TEST: &str = "libseccomp_says_the_same_on_every_call";
    let Some(numbers) = numbers(TEST) else { return };
    for (native, architectures) in [(Architecture::X86_64, &X86[..]), (Architecture::Aarch64, &ARM)] {
        let profiles = [
            docker_with(native, &[]),
            docker_with(native, &[Capability::SysAdmin, Capability::SysPtrace]),
            docker(native, &[]),
            operators(native, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"),
            operators(native, "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"),
            operators(native, "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG"),
            operators(native, "SCMP_ACT_TRAP", "SCMP_ACT_TRACE"),
        ];
        for profile in profiles.iter().map(|profile| cut(profile, &numbers)) {
            let Some(theirs) = theirs(TEST, &profile) else { return };
            let ours = compile(&profile, native).unwrap();
            let judge = (Judge::Libseccomp, &theirs[..]);
            let (calls, cases) = compare(&profile, architectures, ours.program(), judge);
            println!("{native:?}: the same on {calls} calls, {cases} cases");
            assert!(calls >= 400 || native != Architecture::X86_64, "{calls} calls");
        }
    }
}

#[test]
fn runc_says_the_same_on_every_call() {
    const TEST: &str = "runc_says_the_same_on_every_call";
    let Some(numbers) = numbers(TEST) else { return };
    if Architecture::NATIVE != Some(Architecture::X86_64) {
        println!("skipped {TEST}, because it is written for x86_64");
        return;
    }
    let native = Architecture::X86_64;
    let all: Vec<_> = capabilities::all().collect();
    for profile in [docker_with(native, &[]), docker(native, &[]), docker(native, &all)] {
        let profile = cut(&profile, &numbers);
        let Some(theirs) = runc::filter(TEST, &profile) else { return };
        let ours = compile(&profile, native).unwrap();
        let (calls, cases) = compare(&profile, &X86, ours.program(), (Judge::Runc, &theirs));
        println!(
            "the same on {calls} calls, {cases} cases; {} instructions, runc {}",
            ours.program().len(),
            theirs.len()
        );
        assert!(calls >= 400, "{calls} calls");
    }
}
