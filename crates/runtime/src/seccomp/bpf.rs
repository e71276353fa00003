//! Classic BPF (linux/filter.h), written from its end to its start: all jumps lead forward, so their targets are
//! there when they are written.

use std::collections::BTreeMap;

use super::{CompileError, MOST_INSTRUCTIONS};

/// One instruction, laid out as the kernel's `sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What to do: `BPF_…`.
    pub code: u16,
    /// Instructions to pass over when a test holds.
    pub if_true: u8,
    /// Instructions to pass over when it doesn't.
    pub if_false: u8,
    /// The operand.
    pub operand: u32,
}

/// A test of the accumulator against an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Equal,
    Greater,
    AtLeast,
    /// Any bit in common.
    Bits,
}

impl Test {
    fn code(self) -> u32 {
        let test = match self {
            Self::Equal => libc::BPF_JEQ,
            Self::Greater => libc::BPF_JGT,
            Self::AtLeast => libc::BPF_JGE,
            Self::Bits => libc::BPF_JSET,
        };
        libc::BPF_JMP | test | libc::BPF_K
    }
}

/// A place in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Conditional jumps have eight bits; some are left for what is put between.
const REACH: usize = 250;

/// A program under way, its last instruction first.
#[derive(Debug, Default)]
pub(super) struct Backwards {
    reversed: Vec<Instruction>,
    /// Where each action is returned, the place written last.
    returns: BTreeMap<u32, Label>,
    too_long: bool,
}

impl Backwards {
    /// Returns an action.
    pub(super) fn give(&mut self, action: u32) -> Label {
        match self.returns.get(&action) {
            Some(label) if self.distance(*label) <= REACH => *label,
            _ => {
                let label = self.push(libc::BPF_RET | libc::BPF_K, action);
                self.returns.insert(action, label);
                label
            }
        }
    }

    /// Loads 32 bits of what is known of the call, and goes on.
    pub(super) fn load(&mut self, offset: u32, next: Label) -> Label {
        self.lead_to(next);
        self.push(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
    }

    /// Keeps some bits of the accumulator, and goes on.
    pub(super) fn mask(&mut self, mask: u32, next: Label) -> Label {
        self.lead_to(next);
        self.push(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask)
    }

    /// Goes on at one of two places.
    pub(super) fn branch(&mut self, test: Test, operand: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let (yes, no) = (self.near(yes), self.near(no));
        let (if_true, if_false) = (self.distance(yes), self.distance(no));
        let label = self.push(test.code(), operand);
        if let Some(branch) = self.reversed.get_mut(label.0) {
            // Within reach, unless the program is too long and refused.
            (branch.if_true, branch.if_false) = (if_true as u8, if_false as u8);
        }
        label
    }

    /// The program from its start.
    pub(super) fn finish(mut self, start: Label) -> Result<Vec<Instruction>, CompileError> {
        self.lead_to(start);
        if self.too_long {
            return Err(CompileError::TooLong);
        }
        self.reversed.reverse();
        Ok(self.reversed)
    }

    /// How many instructions lie between the next one to be written and a place.
    fn distance(&self, to: Label) -> usize {
        self.reversed.len().saturating_sub(to.0 + 1)
    }

    /// A place that a conditional jump reaches, and that leads to the one given.
    fn near(&mut self, label: Label) -> Label {
        if self.distance(label) <= REACH {
            return label;
        }
        match self.reversed.get(label.0).copied() {
            Some(end) if u32::from(end.code) & 7 == libc::BPF_RET => self.give(end.operand),
            _ => self.jump(label),
        }
    }

    /// Has the next instruction be followed by what is at a place.
    fn lead_to(&mut self, label: Label) {
        if self.distance(label) > 0 {
            self.jump(label);
        }
    }

    fn jump(&mut self, label: Label) -> Label {
        let distance = self.distance(label) as u32;
        self.push(libc::BPF_JMP | libc::BPF_JA, distance)
    }

    fn push(&mut self, code: u32, operand: u32) -> Label {
        if self.reversed.len() >= MOST_INSTRUCTIONS {
            self.too_long = true;
        } else {
            self.reversed.push(Instruction { code: code as u16, if_true: 0, if_false: 0, operand });
        }
        Label(self.reversed.len() - 1)
    }
}
