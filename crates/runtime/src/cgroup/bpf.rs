//! Device access on version 2: rules compiled to an eBPF program that the kernel asks at every open and
//! mknod of a device.
//!
//! The program takes the requested accesses and goes through the rules from the last to the first. An
//! allowing rule takes the accesses it covers off the request and grants when none is left; a denying
//! rule that touches one of those left refuses. So every access is decided by the last rule that speaks
//! of it, also when one request asks for several. `BPF_PROG_TYPE_CGROUP_DEVICE`, `struct
//! bpf_cgroup_dev_ctx` in linux/bpf.h.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::CgroupError;
use super::devices::{Access, DeviceKind, DeviceRule};

/// Loads a filter and attaches it to the group's directory. The kernel drops it with the group.
pub(super) fn filter_devices(dir: &Path, rules: &[DeviceRule]) -> Result<(), CgroupError> {
    let failed = |action| move |source| CgroupError::DeviceFilter { action, dir: dir.to_owned(), source };
    let group = File::open(dir).map_err(failed("open the group of"))?;
    let program = load(&compile(rules)).map_err(failed("load"))?;
    attach(&group, &program).map_err(failed("attach"))
}

/// One instruction, `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Insn {
    code: u8,
    /// Destination in the low half, source in the high half.
    registers: u8,
    offset: i16,
    immediate: i32,
}

// Opcodes: class | operation | operand kind (linux/bpf_common.h, linux/bpf.h).
const LOAD_WORD: u8 = 0x61; // LDX | MEM | W
const MOVE_REG: u8 = 0xbf; // ALU64 | MOV | X
const MOVE: u8 = 0xb7; // ALU64 | MOV | K
const AND: u8 = 0x57; // ALU64 | AND | K
const SHIFT_RIGHT: u8 = 0x77; // ALU64 | RSH | K
const JUMP_IF_EQUAL: u8 = 0x15; // JMP | JEQ | K
const JUMP_IF_NOT: u8 = 0x55; // JMP | JNE | K
const EXIT: u8 = 0x95; // JMP | EXIT

// Registers, by what they hold here.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const WANTED: u8 = 2;
const KIND: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

// BPF_DEVCG_*
const BLOCK: i32 = 1;
const CHAR: i32 = 2;
const ACCESS_BITS: [i32; 3] = [1, 2, 4]; // mknod, read, write

fn insn(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Insn {
    Insn { code, registers: source << 4 | destination, offset, immediate }
}

fn compile(rules: &[DeviceRule]) -> Vec<Insn> {
    // The context: access in the upper half and kind in the lower half of a word, then the numbers.
    let mut program = vec![
        insn(LOAD_WORD, WANTED, CONTEXT, 0, 0),
        insn(MOVE_REG, KIND, WANTED, 0, 0),
        insn(AND, KIND, 0, 0, 0xffff),
        insn(SHIFT_RIGHT, WANTED, 0, 0, 16),
        insn(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        insn(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    program.extend(rules.iter().rev().flat_map(block));
    program.extend(verdict(false));
    program
}

fn verdict(allow: bool) -> [Insn; 2] {
    [insn(MOVE, VERDICT, 0, 0, i32::from(allow)), insn(EXIT, 0, 0, 0, 0)]
}

/// One rule: leave unless it matches, then take off or refuse. Every way out but a verdict is the block's
/// end, which is the next rule.
fn block(rule: &DeviceRule) -> Vec<Insn> {
    let kind = match rule.kind {
        DeviceKind::All => None,
        DeviceKind::Block => Some(BLOCK),
        DeviceKind::Char => Some(CHAR),
    };
    let number = |number: Option<u32>| number.map(u32::cast_signed);
    let conditions = [(KIND, kind), (MAJOR, number(rule.major)), (MINOR, number(rule.minor))];
    let mut block: Vec<Insn> = conditions
        .into_iter()
        .filter_map(|(register, wanted)| Some(insn(JUMP_IF_NOT, register, 0, 0, wanted?)))
        .collect();
    let covered = bits(rule.access);
    if rule.allow {
        block.push(insn(AND, WANTED, 0, 0, !covered));
        block.push(insn(JUMP_IF_NOT, WANTED, 0, 0, 0));
    } else {
        block.push(insn(MOVE_REG, SCRATCH, WANTED, 0, 0));
        block.push(insn(AND, SCRATCH, 0, 0, covered));
        block.push(insn(JUMP_IF_EQUAL, SCRATCH, 0, 0, 0));
    }
    block.extend(verdict(rule.allow));
    let end = block.len();
    for (at, insn) in block.iter_mut().enumerate() {
        if matches!(insn.code, JUMP_IF_EQUAL | JUMP_IF_NOT) {
            // A block has at most eight instructions.
            insn.offset = (end - at - 1) as i16;
        }
    }
    block
}

fn bits(access: Access) -> i32 {
    let set = [access.mknod, access.read, access.write];
    set.into_iter().zip(ACCESS_BITS).filter_map(|(set, bit)| set.then_some(bit)).sum()
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Filters of the groups above stay in force beside ours.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The first fields of `union bpf_attr` for BPF_PROG_LOAD; the kernel takes the rest as zero.
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
}

/// The same for BPF_PROG_ATTACH.
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

fn load(program: &[Insn]) -> io::Result<OwnedFd> {
    let attributes = LoadAttributes {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
    };
    let fd = bpf(BPF_PROG_LOAD, &attributes)?;
    // SAFETY: BPF_PROG_LOAD returned a new descriptor that nothing else knows of.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn attach(group: &File, program: &OwnedFd) -> io::Result<()> {
    let attributes = AttachAttributes {
        target: group.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    bpf(BPF_PROG_ATTACH, &attributes).map(drop)
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<i32> {
    let size = size_of::<T>() as u32;
    // SAFETY: the attributes are a live `repr(C)` prefix of the union of this command, `size` is their
    // size, and what they point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A machine for the few instructions used here.
    fn run(program: &[Insn], kind: i32, wanted: i32, major: u32, minor: u32) -> bool {
        let context = [(wanted << 16 | kind).cast_unsigned(), major, minor];
        let mut registers = [0_u64; 11];
        let mut at = 0;
        loop {
            let Insn { code, registers: pair, offset, immediate } = program[at];
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            let immediate = i64::from(immediate).cast_unsigned();
            let jump = match code {
                LOAD_WORD => {
                    registers[to] = u64::from(context[offset as usize / 4]);
                    false
                }
                MOVE_REG => {
                    registers[to] = registers[from];
                    false
                }
                MOVE => {
                    registers[to] = immediate;
                    false
                }
                AND => {
                    registers[to] &= immediate;
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] >>= immediate;
                    false
                }
                JUMP_IF_EQUAL => registers[to] == immediate,
                JUMP_IF_NOT => registers[to] != immediate,
                EXIT => return registers[usize::from(VERDICT)] == 1,
                other => panic!("{other:#x}"),
            };
            at += 1 + if jump { offset as usize } else { 0 };
        }
    }

    /// What the rules say about one access: the last one that speaks of it, else no.
    fn allowed(rules: &[DeviceRule], kind: i32, bit: i32, major: u32, minor: u32) -> bool {
        let speaks = |rule: &&DeviceRule| {
            let kinds = match rule.kind {
                DeviceKind::All => true,
                DeviceKind::Block => kind == BLOCK,
                DeviceKind::Char => kind == CHAR,
            };
            let numbers = rule.major.is_none_or(|m| m == major) && rule.minor.is_none_or(|m| m == minor);
            kinds && numbers && bits(rule.access) & bit != 0
        };
        rules.iter().rev().find(speaks).is_some_and(|rule| rule.allow)
    }

    fn a_rule() -> impl Strategy<Value = DeviceRule> {
        let kind = prop_oneof![Just(DeviceKind::All), Just(DeviceKind::Block), Just(DeviceKind::Char)];
        let number = || prop::option::of(0..3_u32);
        let access =
            any::<(bool, bool, bool)>().prop_map(|(read, write, mknod)| Access { read, write, mknod });
        (any::<bool>(), kind, number(), number(), access)
            .prop_map(|(allow, kind, major, minor, access)| DeviceRule { allow, kind, major, minor, access })
    }

    proptest! {
        #[test]
        fn every_access_is_decided_by_the_last_rule_that_speaks_of_it(
            rules in prop::collection::vec(a_rule(), 0..8),
            kind in BLOCK..=CHAR,
            wanted in 1..8,
            major in 0..3_u32,
            minor in 0..3_u32,
        ) {
            let program = compile(&rules);
            let bits = ACCESS_BITS.into_iter().filter(|bit| wanted & bit != 0);
            let expected = bits.into_iter().all(|bit| allowed(&rules, kind, bit, major, minor));
            prop_assert_eq!(run(&program, kind, wanted, major, minor), expected);
        }
    }
}
