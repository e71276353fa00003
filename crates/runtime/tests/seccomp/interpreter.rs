//! Runs classic BPF as the kernel's checker and interpreter do (net/core/filter.c, kernel/seccomp.c).

use hoist_runtime::seccomp::{Architecture, Instruction, MOST_INSTRUCTIONS};

/// A system call, as a filter sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) token: u32,
    pub(crate) number: u32,
    pub(crate) arguments: [u64; 6],
}

impl Call {
    pub(crate) fn new(architecture: Architecture, number: u32, arguments: [u64; 6]) -> Self {
        Self { token: architecture.token(), number, arguments }
    }

    /// `struct seccomp_data`; the instruction pointer is not looked at.
    fn bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[0..4].copy_from_slice(&self.number.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.token.to_le_bytes());
        for (place, argument) in bytes[16..].chunks_exact_mut(8).zip(self.arguments) {
            place.copy_from_slice(&argument.to_le_bytes());
        }
        bytes
    }
}

/// What the kernel checks before it takes a program.
pub(crate) fn check(program: &[Instruction]) {
    assert!((1..=MOST_INSTRUCTIONS).contains(&program.len()), "{} instructions", program.len());
    for (place, instruction) in program.iter().enumerate() {
        let Instruction { code, if_true, if_false, operand } = *instruction;
        let next = place + 1;
        let furthest = match u32::from(code) & 7 {
            libc::BPF_JMP if u32::from(code) & 0xf0 == libc::BPF_JA => next + operand as usize,
            libc::BPF_JMP => next + usize::from(if_true.max(if_false)),
            libc::BPF_RET => place,
            _ => next,
        };
        assert!(furthest < program.len(), "{place} leads out of the program");
        if u32::from(code) & 7 == libc::BPF_LD {
            assert!(operand % 4 == 0 && operand < 64, "{place} loads what isn't there");
        }
    }
}

/// What the program says of the call.
pub(crate) fn run(program: &[Instruction], call: &Call) -> u32 {
    let data = call.bytes();
    let (mut place, mut accumulator) = (0_usize, 0_u32);
    let mut other = 0_u32;
    let mut memory = [0_u32; 16];
    for _ in 0..program.len() {
        let Instruction { code, if_true, if_false, operand } = program[place];
        place += 1;
        let word = |offset: u32| {
            let offset = offset as usize;
            u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap())
        };
        let mut jump = |holds: bool| place += usize::from(if holds { if_true } else { if_false });
        match u32::from(code) {
            0x20 => accumulator = word(operand),
            0x00 => accumulator = operand,
            0x01 => other = operand,
            0x60 => accumulator = memory[operand as usize],
            0x61 => other = memory[operand as usize],
            0x02 => memory[operand as usize] = accumulator,
            0x07 => other = accumulator,
            0x87 => accumulator = other,
            0x54 => accumulator &= operand,
            0x05 => place += operand as usize,
            0x15 => jump(accumulator == operand),
            0x25 => jump(accumulator > operand),
            0x35 => jump(accumulator >= operand),
            0x45 => jump(accumulator & operand != 0),
            0x06 => return operand,
            code => panic!("no filter has the instruction {code:#x}"),
        }
    }
    panic!("the program has no end");
}
