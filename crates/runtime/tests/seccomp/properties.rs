//! Random profiles: the compiled program says of every call what the reference says.

use hoist_runtime::seccomp::{Architecture, compile};
use oci_spec::runtime::LinuxSeccomp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::interpreter::{Call, check, run};
use crate::profiles::profile;
use crate::reference::verdict;

const ACTIONS: [&str; 8] = [
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_ALLOW",
];
const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];
const EXTRA: [&str; 5] =
    ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_MIPS"];

/// Numbers near the borders of comparisons: small, at 32 bits, at 64 bits.
fn value() -> impl Strategy<Value = u64> {
    let borders =
        select(vec![0, 1, 2, 0x7fff_ffff, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, u64::MAX - 1, u64::MAX]);
    prop_oneof![borders, 0..40_u64, any::<u64>()]
}

fn name() -> impl Strategy<Value = String> {
    // Few names, so that rules meet.
    let names: Vec<&'static str> = Architecture::names().step_by(7).collect();
    let met = ["socket", "socketcall", "ipc", "shmat", "clone", "personality", "no_such_call", "read"];
    prop_oneof![select(names), select(met.to_vec())].prop_map(str::to_owned)
}

fn argument() -> impl Strategy<Value = Value> {
    (0..6_usize, select(OPERATORS.to_vec()), value(), value()).prop_map(
        |(index, op, value, two)| json!({ "index": index, "op": op, "value": value, "valueTwo": two }),
    )
}

fn action() -> impl Strategy<Value = (&'static str, Option<u32>)> {
    (select(ACTIONS.to_vec()), proptest::option::of(0..100_u32))
}

fn rule() -> impl Strategy<Value = Value> {
    (vec(name(), 1..8), action(), vec(argument(), 0..4)).prop_map(
        |(names, (action, errno), args)| json!({ "names": names, "action": action, "errnoRet": errno, "args": args }),
    )
}

fn any_profile() -> impl Strategy<Value = LinuxSeccomp> {
    (action(), vec(select(EXTRA.to_vec()), 0..4), vec(rule(), 0..24)).prop_map(
        |((action, errno), architectures, rules)| {
            profile(json!({
                "defaultAction": action, "defaultErrnoRet": errno, "architectures": architectures,
                "syscalls": rules,
            }))
        },
    )
}

/// Arguments that the profile's own values are near to.
fn arguments(profile: &LinuxSeccomp) -> impl Strategy<Value = [u64; 6]> + use<> {
    let rules = profile.syscalls().iter().flatten();
    let args = rules.flat_map(|rule| rule.args().iter().flatten());
    let mut near: Vec<u64> = args
        .flat_map(|arg| {
            let value = arg.value();
            [
                value,
                value.wrapping_add(1),
                value.wrapping_sub(1),
                value & 0xffff_ffff,
                arg.value_two().unwrap_or(0),
            ]
        })
        .collect();
    near.push(0);
    proptest::array::uniform6(prop_oneof![select(near), value()])
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..600_u32,
        (0..600_u32).prop_map(|number| number | 0x4000_0000),
        any::<u32>(),
        Just(u32::MAX)
    ]
}

/// A profile, and calls to hold against it.
fn case() -> impl Strategy<Value = (LinuxSeccomp, Architecture, Vec<Call>)> {
    let natives =
        select(vec![Architecture::X86_64, Architecture::Aarch64, Architecture::X86, Architecture::Arm]);
    (any_profile(), natives).prop_flat_map(|(profile, native)| {
        let named: Vec<String> =
            profile.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect();
        let by_name = (select([named, vec!["read".to_owned()]].concat()), select(Architecture::ALL.to_vec()))
            .prop_map(|(name, architecture)| (architecture, architecture.number(&name).unwrap_or(7)));
        let by_number = (select(Architecture::ALL.to_vec()), number());
        let call = (prop_oneof![3 => by_name, 1 => by_number], arguments(&profile))
            .prop_map(|((architecture, number), arguments)| Call::new(architecture, number, arguments));
        (Just(profile), Just(native), vec(call, 64))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_program_says_what_its_profile_says((profile, native, calls) in case()) {
        let filter = compile(&profile, native).unwrap();
        check(filter.program());
        for call in calls {
            prop_assert_eq!(
                run(filter.program(), &call), verdict(&profile, native, &call),
                "{:x?} on {:?}", call, native
            );
        }
    }
}
