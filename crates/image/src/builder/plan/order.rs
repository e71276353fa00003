//! Which stages the target needs, and in which order they are built.

use super::request::{Bases, Need};
use super::stages::{Origin, Stages};
use crate::builder::dockerfile::instruction::{Instruction, Kind};
use crate::builder::dockerfile::lines::Line;
use crate::builder::dockerfile::{Problem, nearest};

/// A stage on the way, with those that it needs still to visit, once they are known.
type Open = (usize, Option<Vec<(usize, Line)>>);

impl Stages<'_> {
    /// What a stage reads, its own start first, each with the line that asks for it.
    fn reads(&self, at: usize, bases: &Bases) -> Result<Vec<(Origin, Line)>, Problem> {
        let mut reads = vec![(self.starts[at].origin.clone(), self.file.stages[at].line.clone())];
        for Instruction { line, kind } in self.instructions(at, bases)? {
            for name in sources_of(&kind) {
                refuse_variables(&line, &name)?;
                reads.push((self.source(&line, &name)?, line.clone()));
            }
        }
        Ok(reads)
    }

    /// The stages that the target needs, each after those that it needs itself, and the images not found yet.
    pub(super) fn order(
        &self,
        target: usize,
        bases: &Bases,
    ) -> Result<(Vec<usize>, Vec<Need>), Vec<Problem>> {
        let mut walk =
            Order { states: vec![Seen::Not; self.starts.len()], path: Vec::new(), done: Vec::new() };
        let (mut needs, mut problems) = (Vec::new(), Vec::new());
        walk.enter(target);
        while let Some((at, pending)) = walk.path.last_mut() {
            let at = *at;
            if pending.is_none() {
                let reads = self.reads(at, bases).unwrap_or_else(|problem| {
                    problems.push(problem);
                    Vec::new()
                });
                *pending = Some(self.sort(reads, bases, &mut needs));
            }
            match pending.as_mut().and_then(Vec::pop) {
                None => walk.leave(),
                Some((next, line)) if walk.states[next] == Seen::Open => {
                    problems.push(self.cycle(&walk.path, next, &line));
                }
                Some((next, _)) => walk.enter(next),
            }
        }
        if problems.is_empty() { Ok((walk.done, needs)) } else { Err(problems) }
    }

    /// The stages among what is read, last first; images that aren't found yet become needs.
    fn sort(&self, reads: Vec<(Origin, Line)>, bases: &Bases, needs: &mut Vec<Need>) -> Vec<(usize, Line)> {
        let mut stages = Vec::new();
        for (origin, line) in reads {
            match origin {
                Origin::Stage(at) => stages.push((at, line)),
                Origin::Image { reference, platform } if bases.get(&reference, &platform).is_none() => {
                    let known = |need: &Need| need.reference == reference && need.platform == platform;
                    if !needs.iter().any(known) {
                        let help = nearest(&reference, self.names.keys().copied());
                        needs.push(Need { reference, platform, line: line.number, help });
                    }
                }
                _ => {}
            }
        }
        stages.reverse();
        stages
    }

    fn cycle(&self, path: &[Open], back: usize, line: &Line) -> Problem {
        let start = path.iter().position(|(at, _)| *at == back).unwrap_or(0);
        let stages = path[start..].iter().map(|(at, _)| *at).chain([back]);
        let names = stages.map(|at| self.name(at)).collect::<Vec<_>>().join(" → ");
        line.problem("", format!("stages need each other: {names}"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    Open,
    Done,
}

/// A walk in depth, without recursion: a file may chain thousands of stages.
struct Order {
    states: Vec<Seen>,
    path: Vec<Open>,
    done: Vec<usize>,
}

impl Order {
    fn enter(&mut self, at: usize) {
        if self.states[at] == Seen::Not {
            self.states[at] = Seen::Open;
            self.path.push((at, None));
        }
    }

    fn leave(&mut self) {
        if let Some((at, _)) = self.path.pop() {
            self.states[at] = Seen::Done;
            self.done.push(at);
        }
    }
}

/// What an instruction reads from, by name.
fn sources_of(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::Copy(copy) => copy.from.iter().cloned().collect(),
        Kind::Run(run) => run.mounts.iter().filter_map(|mount| super::mounts::from(mount)).collect(),
        _ => Vec::new(),
    }
}

/// Which stages are needed has to be known before any variable is.
fn refuse_variables(line: &Line, name: &str) -> Result<(), Problem> {
    if !name.contains('$') {
        return Ok(());
    }
    let help = Some("name a stage, and let that one say FROM with the variable".to_owned());
    Err(Problem { help, ..line.problem(name, "variables don't count here") })
}
