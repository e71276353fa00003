//! From verdicts to code: the architecture first, then the number through a balanced tree, then arguments.

use super::CompileError;
use super::architecture::{Architecture, X32_BIT};
use super::bpf::{Backwards, Instruction, Label, Test};
use super::rules::{Case, Comparison, Condition, Decided, Section, Verdict};

/// Where the kernel has what it knows of a call: `struct seccomp_data`, all of these machines being little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Of a call by an architecture that the profile doesn't list.
const FOREIGN: u32 = libc::SECCOMP_RET_KILL_THREAD;
/// Of a call younger than the profile.
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
/// What a tracer sets as the number of a call that is not to happen.
const SKIPPED: u32 = u32::MAX;

/// Writes the program.
pub(super) fn program(decided: &Decided) -> Result<Vec<Instruction>, CompileError> {
    let mut code = Code { out: Backwards::default(), default: decided.default };
    let find = |wanted| decided.sections.iter().find(|section| section.architecture == wanted);
    let mut entries = Vec::new();
    for section in &decided.sections {
        let entry = match section.architecture {
            // Told from x86_64 by the number, where that is written.
            Architecture::X32 if find(Architecture::X86_64).is_some() => continue,
            Architecture::X86_64 => code.x86_64(section, find(Architecture::X32)),
            Architecture::X32 => code.x32(section),
            _ => code.numbers(section),
        };
        entries.push((section.architecture.token(), code.out.load(NUMBER, entry)));
    }
    // Backwards: the first one, the machine's own, is asked for first.
    let mut start = code.out.give(FOREIGN);
    for (token, entry) in entries.into_iter().rev() {
        start = code.out.branch(Test::Equal, token, entry, start);
    }
    let start = code.out.load(ARCHITECTURE, start);
    code.out.finish(start)
}

/// The program under way. Every method writes code and gives the place where it starts.
struct Code {
    out: Backwards,
    default: u32,
}

impl Code {
    fn x86_64(&mut self, section: &Section, x32: Option<&Section>) -> Label {
        let marked = match x32 {
            Some(x32) => self.numbers(x32),
            None => {
                let (skipped, foreign) = (self.out.give(self.default), self.out.give(FOREIGN));
                self.out.branch(Test::Equal, SKIPPED, skipped, foreign)
            }
        };
        let own = self.numbers(section);
        self.out.branch(Test::Bits, X32_BIT, marked, own)
    }

    /// x32 alone, on a machine that is none: numbers of x86_64 are foreign.
    fn x32(&mut self, section: &Section) -> Label {
        let own = self.numbers(section);
        let foreign = self.out.give(FOREIGN);
        self.out.branch(Test::Bits, X32_BIT, own, foreign)
    }

    fn numbers(&mut self, section: &Section) -> Label {
        let default = Verdict::Always(self.default);
        let tree = self.tree(&ranges(section, &default), section.architecture.is_wide());
        let Some(last) = section.last else { return tree };
        let unknown = self.out.give(UNKNOWN);
        self.out.branch(Test::Greater, last, unknown, tree)
    }

    /// Halves the ranges until one is left.
    fn tree(&mut self, ranges: &[(u32, &Verdict)], wide: bool) -> Label {
        match ranges {
            [] => self.out.give(self.default),
            [(_, verdict)] => self.verdict(verdict, wide),
            ranges => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let from = high.first().map_or(0, |(from, _)| *from);
                let above = self.tree(high, wide);
                let below = self.tree(low, wide);
                self.out.branch(Test::AtLeast, from, above, below)
            }
        }
    }

    fn verdict(&mut self, verdict: &Verdict, wide: bool) -> Label {
        match verdict {
            Verdict::Always(action) => self.out.give(*action),
            Verdict::Cases(cases) => {
                let default = self.out.give(self.default);
                cases.iter().rev().fold(default, |otherwise, case| self.case(case, otherwise, wide))
            }
        }
    }

    fn case(&mut self, case: &Case, otherwise: Label, wide: bool) -> Label {
        let action = self.out.give(case.action);
        let conditions = case.conditions.iter().rev();
        conditions.fold(action, |holds, condition| self.condition(condition, holds, otherwise, wide))
    }

    fn condition(&mut self, condition: &Condition, holds: Label, fails: Label, wide: bool) -> Label {
        let (yes, no) = if condition.negated { (fails, holds) } else { (holds, fails) };
        let place = ARGUMENTS + 8 * u32::from(condition.argument);
        let (low, high) = (condition.value as u32, (condition.value >> 32) as u32);
        let (test, above, mask) = match condition.comparison {
            Comparison::Greater => (Test::Greater, Some(yes), u64::MAX),
            Comparison::AtLeast => (Test::AtLeast, Some(yes), u64::MAX),
            Comparison::Bits(mask) => (Test::Equal, None, mask),
        };
        let lower = self.half(place, mask as u32, |out| out.branch(test, low, yes, no), yes);
        if !wide {
            return lower;
        }
        self.half(
            place + 4,
            (mask >> 32) as u32,
            |out| {
                let same = out.branch(Test::Equal, high, lower, no);
                // Of a greater upper half the lower one doesn't matter.
                above.map_or(same, |above| out.branch(Test::Greater, high, above, same))
            },
            lower,
        )
    }

    /// A test of half an argument; none where no bit of it counts.
    fn half(
        &mut self,
        place: u32,
        mask: u32,
        test: impl FnOnce(&mut Backwards) -> Label,
        unlooked: Label,
    ) -> Label {
        if mask == 0 {
            return unlooked;
        }
        let tested = test(&mut self.out);
        let masked = if mask == u32::MAX { tested } else { self.out.mask(mask, tested) };
        self.out.load(place, masked)
    }
}

/// The numbers from 0 on, in pieces that share a verdict: where each begins.
fn ranges<'a>(section: &'a Section, default: &'a Verdict) -> Vec<(u32, &'a Verdict)> {
    let mut ranges: Vec<(u32, &Verdict)> = vec![(0, default)];
    let mut add = |from: u32, verdict: &'a Verdict| match ranges.last_mut() {
        Some(last) if last.0 == from => last.1 = verdict,
        Some(last) if last.1 == verdict => {}
        _ => ranges.push((from, verdict)),
    };
    for (number, verdict) in &section.verdicts {
        add(*number, verdict);
        if !section.verdicts.contains_key(&(number + 1)) {
            add(number + 1, default);
        }
    }
    ranges
}
