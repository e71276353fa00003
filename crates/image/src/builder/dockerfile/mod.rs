//! The text of a Dockerfile to instructions and stages, with every problem of the file at once.
//!
//! Nothing here knows a variable's value: what the instructions come to is worked out in [`super::plan`].

mod directives;
pub(crate) mod duration;
pub(crate) mod expand;
mod flags;
pub(crate) mod heredoc;
pub(crate) mod instruction;
pub(crate) mod lines;
mod parse;
mod pattern;
mod problem;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use directives::Directives;
use instruction::{From, Instruction, Kind};
use lines::Line;
pub(crate) use parse::instruction as parse_instruction;
pub(crate) use problem::nearest;
pub use problem::{Problem, Warning};

/// A file larger than this is none that a person wrote.
const LARGEST: usize = 1024 * 1024;

/// A Dockerfile whose instructions are all understood; whether they can be built is for [`super::plan()`] to say.
#[derive(Clone, Debug)]
pub struct Dockerfile {
    pub(crate) escape: char,
    /// ARG before the first FROM.
    pub(crate) globals: Vec<Instruction>,
    pub(crate) stages: Vec<Stage>,
    directives: Directives,
    warnings: Vec<Warning>,
    names: BTreeSet<String>,
    /// A FROM was read, be it one that can't be understood.
    begun: bool,
}

/// FROM and what follows it.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) line: Line,
    pub(crate) from: From,
    pub(crate) instructions: Vec<Instruction>,
}

impl Dockerfile {
    /// Understands the text, or says all that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.len() > LARGEST {
            return Err(vec![whole(format!("the file is larger than {LARGEST} bytes"))]);
        }
        let directives = Directives::parse(text).map_err(|problem| vec![problem])?;
        let escape = directives.escape;
        let found = lines::lines(text, escape);
        let mut file = Self {
            escape,
            globals: vec![],
            stages: vec![],
            directives,
            warnings: vec![],
            names: BTreeSet::new(),
            begun: false,
        };
        let mut problems = found.problems;
        found.warnings.into_iter().for_each(|warning| file.warn(warning));
        for line in found.lines {
            file.begun |= words::keyword(&line.text).0.eq_ignore_ascii_case("from");
            let placed = parse::instruction(line, escape).and_then(|instruction| file.place(instruction));
            problems.extend(placed.err());
        }
        if file.stages.is_empty() && problems.is_empty() {
            problems.push(whole("the file has no FROM".to_owned()));
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        if problems.is_empty() { Ok(file) } else { Err(problems) }
    }

    /// The names of the stages, in order; those that have one.
    pub fn stages(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().filter_map(|stage| stage.from.name.as_deref())
    }

    /// `# syntax=`: the front end that the file asks for. It is only told: the one here is always used.
    pub fn syntax(&self) -> Option<&str> {
        self.directives.syntax.as_deref()
    }

    /// What is likely not meant, those checks left out that the file switches off.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Whether `# check=error=true` makes errors of the warnings.
    pub fn warnings_are_errors(&self) -> bool {
        self.directives.checks_fail
    }

    /// Whether the file doesn't want to hear of this check.
    pub(crate) fn skips(&self, check: &str) -> bool {
        self.directives.skips.iter().any(|skipped| skipped.eq_ignore_ascii_case(check) || skipped == "all")
    }

    fn warn(&mut self, warning: Warning) {
        if !self.skips(warning.check) {
            self.warnings.push(warning);
        }
    }

    fn place(&mut self, instruction: Instruction) -> Result<(), Problem> {
        let Instruction { line, kind } = instruction;
        match (kind, self.stages.last_mut()) {
            (Kind::From(from), _) => self.open(line, from),
            (kind, Some(stage)) => stage.instructions.push(Instruction { line, kind }),
            (kind @ Kind::Arg(_), None) if !self.begun => self.globals.push(Instruction { line, kind }),
            (_, None) if self.begun => {}
            (_, None) => {
                let (keyword, _) = words::keyword(&line.text);
                return Err(
                    line.problem("", format!("{keyword} comes before the first FROM, where only ARG may"))
                );
            }
        }
        Ok(())
    }

    fn open(&mut self, line: Line, from: From) {
        let number = line.number;
        if let Some(name) = &from.name {
            if !self.names.insert(name.clone()) {
                let message = format!("two stages are named {name}");
                self.warn(Warning { check: "DuplicateStageName", line: number, message });
            }
            if !line.text.ends_with(&**name) {
                let written = line.text.rsplit(char::is_whitespace).next().unwrap_or_default();
                let message = format!("the stage name {written} is not in lower case");
                self.warn(Warning { check: "StageNameCasing", line: number, message });
            }
        }
        self.stages.push(Stage { line, from, instructions: Vec::new() });
    }
}

/// Where the patterns of a build's context may be, the first that is there counts: beside the Dockerfile, under its
/// name with `.dockerignore` at the end; and `.dockerignore` in the context.
pub fn ignore_files(context: &Path, dockerfile: &Path) -> [PathBuf; 2] {
    let mut beside = dockerfile.as_os_str().to_owned();
    beside.push(".dockerignore");
    [beside.into(), context.join(".dockerignore")]
}

/// A problem of no line in particular.
fn whole(message: String) -> Problem {
    Problem { line: 1, column: 1, source: String::new(), message, help: None }
}
