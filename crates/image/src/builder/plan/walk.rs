//! The needed stages, instruction by instruction.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::config::Config;
use super::request::{Base, Bases, Request};
use super::stages::{Origin, Stages, Start};
use super::state::State;
use super::steps::Steps;
use super::{arguments, paths};
use crate::builder::dockerfile::expand::{ExpandError, Expander, Quotes};
use crate::builder::dockerfile::instruction::{Instruction, Kind};
use crate::builder::dockerfile::lines::Line;
use crate::builder::dockerfile::{Problem, Warning, nearest};
use crate::builder::graph::{Action, Graph, History, StepId, Tree};
use crate::platform::Platform;

/// How long a here-document may be with its variables in place.
const LONGEST_CONTENT: usize = 4 * 1024 * 1024;

/// What came of the stages.
#[derive(Default)]
pub(super) struct Built {
    /// What copies and mounts read.
    trees: BTreeMap<usize, Tree>,
    /// Only of stages that others yet start from: a file may have thousands, each with all of what is before it.
    states: BTreeMap<usize, State>,
    steps: Steps,
    pub(super) warnings: Vec<Warning>,
    /// Steps of stages that take nothing from earlier builds.
    pub(super) fresh: BTreeSet<StepId>,
}

/// Goes through the stages in an order in which each finds what it needs; the last one is the target.
pub(super) fn stages(stages: &Stages<'_>, bases: &Bases, order: &[usize]) -> Result<Built, Vec<Problem>> {
    let mut built = Built::default();
    let mut problems = Vec::new();
    let mut waiting = waiting(stages, order);
    for at in order {
        let instructions = stages.instructions(*at, bases).map_err(|problem| vec![problem])?;
        let mut state = built.start(stages, *at, bases, &mut waiting).map_err(|problem| vec![problem])?;
        state.config.config.on_build.clear();
        if !stages.starts[*at].replaced {
            state.config.ensure_path();
        }
        let titles = Titles::new(stages, *at, &instructions);
        let fresh = stages.is_fresh(*at);
        let mut walk = Walk { stages, bases, built: &mut built, state, titles, fresh, command_set: false };
        for instruction in &instructions {
            problems.extend(walk.instruction(instruction).err());
        }
        let state = walk.state;
        built.trees.insert(*at, state.tree.clone());
        if waiting.contains_key(at) || order.last() == Some(at) {
            built.states.insert(*at, state);
        }
    }
    if problems.is_empty() { Ok(built) } else { Err(problems) }
}

/// How many of the needed stages start from which.
fn waiting(stages: &Stages<'_>, order: &[usize]) -> BTreeMap<usize, usize> {
    let mut waiting = BTreeMap::new();
    for at in order {
        if let Origin::Stage(parent) = stages.starts[*at].origin {
            *waiting.entry(parent).or_default() += 1;
        }
    }
    waiting
}

impl Built {
    /// What a stage has before its first instruction.
    fn start(
        &mut self,
        stages: &Stages<'_>,
        at: usize,
        bases: &Bases,
        waiting: &mut BTreeMap<usize, usize>,
    ) -> Result<State, Problem> {
        let Start { origin, platform, .. } = &stages.starts[at];
        let empty = |tree| State::new(tree, Config::empty(platform));
        Ok(match origin {
            Origin::Scratch => empty(Tree::Empty),
            Origin::Folder(name) => empty(Tree::Context(name.clone())),
            Origin::Stage(parent) => self.inherit(*parent, waiting).unwrap_or_else(|| empty(Tree::Empty)),
            Origin::Image { reference, platform } => match bases.get(reference, platform) {
                Some(base) => on_image(base, platform).map_err(|error| {
                    let message = format!("the configuration of {reference} can't be read: {error}");
                    stages.file.stages[at].line.problem("", message)
                })?,
                None => empty(Tree::Empty),
            },
        })
    }

    /// The parent's state, which the last one to ask takes away.
    fn inherit(&mut self, parent: usize, waiting: &mut BTreeMap<usize, usize>) -> Option<State> {
        match waiting.get_mut(&parent) {
            Some(count) if *count > 1 => {
                *count -= 1;
                self.states.get(&parent).cloned()
            }
            _ => {
                waiting.remove(&parent);
                self.states.remove(&parent)
            }
        }
    }

    /// The graph whose image is what the target came to.
    pub(super) fn graph(self, target: usize, request: &Request) -> Graph {
        let Self { mut states, steps, .. } = self;
        let State { tree, mut config, history, .. } =
            states.remove(&target).expect("the target is built, and last");
        config.config.labels.extend(request.labels.clone());
        if let Some(platform) = &request.platform {
            config.set_platform(platform);
        }
        Graph { steps: steps.into_vec(), target: tree, config: config.into_document(), history }
    }
}

fn on_image(base: &Base, platform: &Platform) -> Result<State, serde_json::Error> {
    let mut config = Config::deserialize(&base.config)?;
    if config.os.is_empty() || config.architecture.is_empty() {
        config.set_platform(platform);
    }
    Ok(State::new(Tree::Image(base.id), config))
}

/// `[builder 3/7] `: which stage, and how far in it.
struct Titles {
    stage: String,
    at: usize,
    total: usize,
}

impl Titles {
    fn new(stages: &Stages<'_>, at: usize, instructions: &[Instruction]) -> Self {
        let base = usize::from(matches!(stages.starts[at].origin, Origin::Image { .. }));
        let makes_files = |kind: &Kind| matches!(kind, Kind::Run(_) | Kind::Copy(_) | Kind::Workdir(_));
        let own = instructions.iter().filter(|instruction| makes_files(&instruction.kind)).count();
        let alone = stages.file.stages.len() == 1;
        let stage = if alone { String::new() } else { stages.name(at) + " " };
        Self { stage, at: base, total: base + own }
    }

    fn next(&mut self, text: &str) -> String {
        self.at += 1;
        let width = self.total.to_string().len();
        format!("[{}{:>width$}/{}] {text}", self.stage, self.at, self.total)
    }
}

/// One stage on its way.
pub(super) struct Walk<'a, 'b> {
    pub(super) stages: &'a Stages<'b>,
    pub(super) bases: &'a Bases,
    pub(super) built: &'a mut Built,
    pub(super) state: State,
    titles: Titles,
    fresh: bool,
    /// This stage has a CMD of its own.
    pub(super) command_set: bool,
}

impl Walk<'_, '_> {
    fn instruction(&mut self, instruction: &Instruction) -> Result<(), Problem> {
        let line = &instruction.line;
        match &instruction.kind {
            Kind::Run(run) => self.run(line, run),
            Kind::Copy(copy) => self.copy(line, copy),
            Kind::Workdir(path) => self.workdir(line, path),
            Kind::Arg(pairs) => self.arg(line, pairs),
            Kind::Env(pairs) => self.env(line, pairs),
            Kind::Label(pairs) => self.label(line, pairs),
            Kind::User(user) => self.user(line, user),
            Kind::Expose(words) => self.expose(line, words),
            Kind::Volume(paths) => self.volume(line, paths),
            Kind::StopSignal(signal) => self.stop_signal(line, signal),
            kind => {
                self.plain(kind);
                Ok(())
            }
        }
    }

    /// The word with the variables as they are before this instruction.
    pub(super) fn expand(&mut self, line: &Line, text: &str) -> Result<String, Problem> {
        self.expand_by(line, text, |expander| expander.word(text))
    }

    /// A here-document's content, in which quotes mean nothing.
    pub(super) fn expand_content(&mut self, line: &Line, text: &str) -> Result<String, Problem> {
        self.expand_by(line, "<<", |expander| {
            let lookup = expander.lookup;
            let rules =
                Expander { quotes: Quotes::Ignore, longest: LONGEST_CONTENT, ..Expander::new('\\', lookup) };
            let content = rules.word(text);
            expander.unset.borrow_mut().append(&mut rules.unset.borrow_mut());
            content
        })
    }

    pub(super) fn expand_by<T>(
        &mut self,
        line: &Line,
        written: &str,
        by: impl FnOnce(&Expander<'_>) -> Result<T, ExpandError>,
    ) -> Result<T, Problem> {
        let lookup = |name: &str| self.state.variable(name);
        let expander = Expander::new(self.stages.file.escape, &lookup);
        let value = by(&expander).map_err(|error| line.problem(written, error.to_string()));
        let unset = expander.unset.into_inner();
        self.warn_of_unset(line, &unset);
        value
    }

    pub(super) fn warn_of_unset(&mut self, line: &Line, unset: &BTreeSet<String>) {
        for name in unset.iter().filter(|name| !self.state.declares(name) && !arguments::is_predefined(name))
        {
            let known = self.state.config.variables().map(|(known, _)| known);
            let known = known.chain(self.state.arguments.iter().map(|(known, _)| &known[..]));
            let help = nearest(name, known).map(|help| format!("; {help}")).unwrap_or_default();
            let message = format!("the variable {name} is not set here{help}");
            self.built.warnings.push(Warning { check: "UndefinedVar", line: line.number, message });
        }
    }

    /// The instruction as progress shows it, variables in place where they are known.
    pub(super) fn title(&mut self, line: &Line) -> String {
        let lookup = |name: &str| self.state.variable(name);
        let escape = self.stages.file.escape;
        let shown = Expander { quotes: Quotes::Keep, keep_unset: true, ..Expander::new(escape, &lookup) };
        let text = shown.word(&line.text).unwrap_or_else(|_| line.text.clone());
        let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
        self.titles.next(&format!("{} {}", keyword.to_ascii_uppercase(), rest.trim_start()))
    }

    /// Adds a step on the present tree, with its line of history.
    pub(super) fn step(&mut self, line: &Line, title: String, action: Action, created_by: String) {
        let step = self.built.steps.add(title, self.state.tree.clone(), action, line.number);
        if self.fresh {
            self.built.fresh.insert(step);
        }
        self.state.tree = Tree::Step(step);
        self.state.history.push(History { created_by, step: Some(step) });
    }

    /// The tree that a name stands for in COPY --from and mounts.
    pub(super) fn tree(&self, line: &Line, name: &str) -> Result<Tree, Problem> {
        Ok(match self.stages.source(line, name)? {
            Origin::Scratch => Tree::Empty,
            Origin::Folder(name) => Tree::Context(name),
            Origin::Stage(at) => self.built.trees.get(&at).cloned().unwrap_or(Tree::Empty),
            Origin::Image { reference, platform } => {
                self.bases.get(&reference, &platform).map_or(Tree::Empty, |base| Tree::Image(base.id))
            }
        })
    }

    fn workdir(&mut self, line: &Line, path: &str) -> Result<(), Problem> {
        let path = self.expand(line, path)?;
        let path = paths::join(self.state.config.working_dir(), &path);
        self.settings().working_dir.clone_from(&path);
        let created_by = format!("WORKDIR {path}");
        if path == "/" {
            self.state.note(created_by);
            return Ok(());
        }
        let title = self.title(line);
        let owner = Some(self.state.config.config.user.clone()).filter(|user| !user.is_empty());
        self.step(line, title, Action::Folder { path, owner }, created_by);
        Ok(())
    }
}
