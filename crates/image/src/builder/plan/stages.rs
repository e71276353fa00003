//! Which stage starts from what, which of them the target needs, and in which order.

use std::collections::BTreeMap;

use super::arguments::Globals;
use super::platforms;
use super::request::{Base, Bases, NamedContext, Request};
use crate::builder::dockerfile::expand::Expander;
use crate::builder::dockerfile::instruction::{Instruction, Kind};
use crate::builder::dockerfile::lines::{self, Line};
use crate::builder::dockerfile::{Dockerfile, Problem, Stage, nearest, parse_instruction};
use crate::platform::Platform;
use crate::reference::Reference;

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Scratch,
    Stage(usize),
    /// A folder of the client.
    Folder(String),
    Image {
        reference: String,
        platform: Platform,
    },
}

/// What a stage starts from.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) origin: Origin,
    /// A named context stands in for the whole stage: its instructions don't count.
    pub(super) replaced: bool,
    pub(super) platform: Platform,
}

/// The stages of a file under one request.
pub(super) struct Stages<'a> {
    pub(super) file: &'a Dockerfile,
    pub(super) request: &'a Request,
    pub(super) globals: &'a Globals,
    pub(super) starts: Vec<Start>,
    pub(super) names: BTreeMap<&'a str, usize>,
}

impl<'a> Stages<'a> {
    pub(super) fn new(
        file: &'a Dockerfile,
        request: &'a Request,
        globals: &'a Globals,
    ) -> Result<Self, Vec<Problem>> {
        let mut stages = Self { file, request, globals, starts: Vec::new(), names: BTreeMap::new() };
        let mut problems = Vec::new();
        for (at, stage) in file.stages.iter().enumerate() {
            match stages.start(stage) {
                Ok(start) => stages.starts.push(start),
                Err(problem) => {
                    problems.push(problem);
                    let platform = globals.target.clone();
                    stages.starts.push(Start { origin: Origin::Scratch, replaced: false, platform });
                }
            }
            if let Some(name) = &stage.from.name {
                stages.names.insert(name, at);
            }
        }
        if problems.is_empty() { Ok(stages) } else { Err(problems) }
    }

    /// The stage that is built.
    pub(super) fn target(&self) -> Result<usize, Problem> {
        let Some(target) = self.request.target.as_deref().filter(|target| !target.is_empty()) else {
            return Ok(self.file.stages.len() - 1);
        };
        let found = self.names.get(&*target.to_ascii_lowercase()).copied().or_else(|| self.numbered(target));
        found.ok_or_else(|| {
            let names = self.names.keys().copied().collect::<Vec<_>>().join(", ");
            let help = nearest(target, self.names.keys().copied());
            let help = help.or_else(|| (!names.is_empty()).then(|| format!("the stages are {names}")));
            let message = format!("no stage is named {target}, which is the target");
            Problem { line: 1, column: 1, source: String::new(), message, help }
        })
    }

    fn numbered(&self, text: &str) -> Option<usize> {
        text.parse().ok().filter(|number| *number < self.file.stages.len())
    }

    fn start(&self, stage: &Stage) -> Result<Start, Problem> {
        let from = &stage.from;
        let wanted = self.platform_of(stage)?.unwrap_or_else(|| self.globals.target.clone());
        if let Some(origin) = from.name.as_deref().and_then(|name| self.context(name, &wanted)) {
            return Ok(Start { origin, replaced: true, platform: wanted });
        }
        let (base, unset) = self.expanded(stage, &from.base)?;
        if base.is_empty() {
            let message = format!("{} is empty, so the stage starts from nothing", from.base);
            let help = unset.or_else(|| Some("write FROM scratch to start from nothing".to_owned()));
            return Err(Problem { help, ..stage.line.problem(&from.base, message) });
        }
        if let Some(at) = self.names.get(&*base.to_ascii_lowercase()) {
            let platform = self.starts[*at].platform.clone();
            return Ok(Start { origin: Origin::Stage(*at), replaced: false, platform });
        }
        let no_image = || {
            let problem = self.no_image(&stage.line, &from.base, &base);
            Problem { help: unset.or(problem.help), ..problem }
        };
        let origin = self.outside(&base, &wanted).ok_or_else(no_image)?;
        Ok(Start { origin, replaced: false, platform: wanted })
    }

    fn platform_of(&self, stage: &Stage) -> Result<Option<Platform>, Problem> {
        let Some(written) = &stage.from.platform else { return Ok(None) };
        let (text, unset) = self.expanded(stage, written)?;
        platforms::parse(&text, &self.request.build_platform).map(Some).ok_or_else(|| {
            let message = format!("--platform={written} comes to {text:?}, which is not a platform");
            let help = unset.or_else(|| Some("write os/architecture, as linux/arm64".to_owned()));
            Problem { help, ..stage.line.problem("--platform", message) }
        })
    }

    /// What a word of FROM comes to; and what to do about the variables in it that have no value, if there are any.
    fn expanded(&self, stage: &Stage, text: &str) -> Result<(String, Option<String>), Problem> {
        let lookup = |name: &str| self.globals.get(name);
        let expander = Expander::new(self.file.escape, &lookup);
        let value = expander.word(text).map_err(|error| stage.line.problem(text, error.to_string()))?;
        let unset = expander.unset.into_inner().into_iter().next();
        let help =
            |name| format!("{name} has no value here: give it one before the first FROM, ARG {name}=VALUE");
        Ok((value, unset.map(help)))
    }

    /// What COPY --from and the `from` of mounts name: a stage by name or number, a named context, an image.
    pub(super) fn source(&self, line: &Line, name: &str) -> Result<Origin, Problem> {
        if let Some(at) = self.names.get(&*name.to_ascii_lowercase()) {
            return Ok(Origin::Stage(*at));
        }
        if let Ok(number) = name.parse::<usize>() {
            let message = format!(
                "there is no stage {number}: the first is 0, the last {}",
                self.file.stages.len() - 1
            );
            return self.numbered(name).map(Origin::Stage).ok_or_else(|| line.problem(name, message));
        }
        self.outside(name, &self.globals.target).ok_or_else(|| self.no_image(line, name, name))
    }

    fn outside(&self, name: &str, platform: &Platform) -> Option<Origin> {
        if name.eq_ignore_ascii_case("scratch") {
            return Some(Origin::Scratch);
        }
        self.context(name, platform).or_else(|| {
            name.parse::<Reference>().ok()?;
            Some(Origin::Image { reference: name.to_owned(), platform: platform.clone() })
        })
    }

    fn no_image(&self, line: &Line, written: &str, name: &str) -> Problem {
        let message = format!("{name} is neither a stage nor the name of an image");
        Problem { help: nearest(name, self.names.keys().copied()), ..line.problem(written, message) }
    }

    /// A named context, also by another way of writing the same image.
    fn context(&self, name: &str, platform: &Platform) -> Option<Origin> {
        let short = |name: &str| match name.parse::<Reference>() {
            Ok(reference) => reference.familiar().trim_end_matches(":latest").to_owned(),
            Err(_) => name.to_ascii_lowercase(),
        };
        let contexts = &self.request.contexts;
        let same = |(known, _): &(&String, &NamedContext)| *known == name || short(known) == short(name);
        let (name, context) = contexts.get_key_value(name).or_else(|| contexts.iter().find(same))?;
        Some(match context {
            NamedContext::Folder => Origin::Folder(name.clone()),
            NamedContext::Image(reference) => {
                Origin::Image { reference: reference.clone(), platform: platform.clone() }
            }
        })
    }

    /// The instructions of a stage, the triggers of what it starts from first. Those of an image that isn't
    /// found yet are not among them.
    pub(super) fn instructions(&self, at: usize, bases: &Bases) -> Result<Vec<Instruction>, Problem> {
        if self.starts[at].replaced {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        for trigger in self.triggers(&self.starts[at].origin, bases) {
            all.push(self.trigger(&trigger, &self.file.stages[at].line)?);
        }
        all.extend(self.file.stages[at].instructions.iter().cloned());
        Ok(all)
    }

    fn triggers(&self, origin: &Origin, bases: &Bases) -> Vec<String> {
        match origin {
            Origin::Stage(at) if self.starts[*at].replaced => self.triggers(&self.starts[*at].origin, bases),
            Origin::Stage(at) => {
                let instructions = self.file.stages[*at].instructions.iter();
                let text = |instruction: &Instruction| match &instruction.kind {
                    Kind::Onbuild(text) => Some(text.clone()),
                    _ => None,
                };
                instructions.filter_map(text).collect()
            }
            Origin::Image { reference, platform } => {
                bases.get(reference, platform).map(on_build).unwrap_or_default()
            }
            Origin::Scratch | Origin::Folder(_) => Vec::new(),
        }
    }

    fn trigger(&self, text: &str, from: &Line) -> Result<Instruction, Problem> {
        let mut found = lines::lines(text, self.file.escape);
        let problem = |why: &str| from.problem("", format!("the base's trigger `ONBUILD {text}`: {why}"));
        let line = found.lines.pop().filter(|_| found.lines.is_empty() && found.problems.is_empty());
        let line = line.ok_or_else(|| problem("is not one instruction"))?;
        let line = Line::trigger(&line.text, from, line.heredocs);
        parse_instruction(line, self.file.escape).map_err(|why| problem(&why.message))
    }

    /// Whether the stage takes nothing from earlier builds.
    pub(super) fn is_fresh(&self, at: usize) -> bool {
        let name = self.name(at);
        self.request.fresh.iter().any(|fresh| fresh.eq_ignore_ascii_case(&name))
    }

    /// Whether a stage goes by this name.
    pub(super) fn has(&self, name: &str) -> bool {
        (0..self.file.stages.len()).any(|at| self.name(at).eq_ignore_ascii_case(name))
    }

    /// The stage's name, or its number.
    pub(super) fn name(&self, at: usize) -> String {
        self.file.stages[at].from.name.clone().unwrap_or_else(|| format!("stage-{at}"))
    }
}

fn on_build(base: &Base) -> Vec<String> {
    let triggers = base.config.pointer("/config/OnBuild").and_then(serde_json::Value::as_array);
    triggers.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}
