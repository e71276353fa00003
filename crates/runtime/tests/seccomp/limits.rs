//! What can't be compiled, and what is just about possible.

use hoist_runtime::seccomp::{Architecture, CompileError, compile};
use serde_json::{Value, json};

use crate::interpreter::{Call, check, run};
use crate::profiles::{profile, rule};

const NATIVE: Architecture = Architecture::X86_64;
const ALLOW: u32 = 0x7fff_0000;

fn refused(value: Value) -> CompileError {
    compile(&profile(value), NATIVE).unwrap_err()
}

#[test]
fn what_can_not_be_met_is_an_error() {
    let with = |action: &str, rules: Value| json!({ "defaultAction": action, "syscalls": rules });
    assert_eq!(refused(with("SCMP_ACT_NOTIFY", json!([]))), CompileError::Notify);
    assert_eq!(
        refused(with("SCMP_ACT_ALLOW", json!([rule(&["mount"], "SCMP_ACT_NOTIFY", &json!([]))]))),
        CompileError::Notify
    );
    let errno = json!([{ "names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096 }]);
    assert_eq!(refused(with("SCMP_ACT_ALLOW", errno)), CompileError::Errno(4096));
    let seventh = json!([{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }]);
    assert_eq!(
        refused(with("SCMP_ACT_ALLOW", json!([rule(&["mount"], "SCMP_ACT_ERRNO", &seventh)]))),
        CompileError::Argument(6)
    );
    assert_eq!(
        refused(
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] })
        ),
        CompileError::WaitKillable
    );
}

#[test]
fn flags_are_the_kernels() {
    let flags = |value: Value| compile(&profile(value), NATIVE).unwrap().flags();
    assert_eq!(flags(json!({ "defaultAction": "SCMP_ACT_ALLOW" })), 4);
    assert_eq!(flags(json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": [] })), 0);
    let all = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"];
    assert_eq!(flags(json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": all })), 7);
}

/// So many alternatives for one call, each of four instructions.
fn many(count: u64) -> Value {
    let rules: Vec<Value> = (0..count)
        .map(|value| {
            let arg = json!([{ "index": 1, "value": value * 2, "op": "SCMP_CMP_EQ" }]);
            rule(&["ioctl"], "SCMP_ACT_ALLOW", &arg)
        })
        .collect();
    json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })
}

#[test]
fn a_long_program_jumps_far_and_a_longer_one_is_refused() {
    let filter = compile(&profile(many(1000)), NATIVE).unwrap();
    check(filter.program());
    assert!(filter.program().len() > 4000, "{}", filter.program().len());
    let ioctl = |value| Call::new(NATIVE, 16, [0, value, 0, 0, 0, 0]);
    for value in 0..2100 {
        let allowed = value % 2 == 0 && value < 2000;
        assert_eq!(
            run(filter.program(), &ioctl(value)),
            if allowed { ALLOW } else { 0x0005_0001 },
            "{value}"
        );
    }
    assert_eq!(refused(many(1100)), CompileError::TooLong);
    assert_eq!(refused(many(20_000)), CompileError::TooLong);
}

#[test]
fn a_name_said_a_hundred_thousand_times_costs_one_instruction() {
    let names = vec!["read"; 100_000];
    let value = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule(&names, "SCMP_ACT_ALLOW", &json!([]))] });
    assert!(compile(&profile(value), NATIVE).unwrap().program().len() < 20);
}
