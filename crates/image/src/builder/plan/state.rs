//! What a stage has come to after some of its instructions.

use std::collections::BTreeMap;

use super::config::Config;
use crate::builder::graph::{History, Tree};

/// The tree and configuration of a stage, and what of its arguments holds.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) config: Config,
    /// Declared by ARG, in order, with the values of those that have one. Stages built upon this one have them too.
    pub(super) arguments: Vec<(String, Option<String>)>,
    pub(super) history: Vec<History>,
}

impl State {
    pub(super) fn new(tree: Tree, config: Config) -> Self {
        Self { tree, config, arguments: Vec::new(), history: Vec::new() }
    }

    /// A variable: ENV goes before ARG of the same name, whichever comes first.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.config.variable(name).map(str::to_owned).or_else(|| self.argument(name))
    }

    fn argument(&self, name: &str) -> Option<String> {
        self.arguments.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone())
    }

    /// Whether ARG names it, with a value or without.
    pub(super) fn declares(&self, name: &str) -> bool {
        self.arguments.iter().any(|(known, _)| known == name)
    }

    /// The last ARG of a name counts.
    pub(super) fn declare(&mut self, name: &str, value: Option<String>) {
        match self.arguments.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value.or(known.1.take()),
            None => self.arguments.push((name.to_owned(), value)),
        }
    }

    /// What commands see.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let arguments =
            self.arguments.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        let variables = self.config.variables().map(|(name, value)| (name.to_owned(), value.to_owned()));
        arguments.chain(variables).collect()
    }

    /// `|2 A=1 B=2`, which the history puts before commands that could see arguments; empty when there are none.
    pub(super) fn arguments_line(&self) -> String {
        if self.arguments.is_empty() {
            return String::new();
        }
        let pair = |(name, _): &(String, _)| format!(" {name}={}", self.variable(name).unwrap_or_default());
        format!("|{}{} ", self.arguments.len(), self.arguments.iter().map(pair).collect::<String>())
    }

    /// A line of history for a change of configuration.
    pub(super) fn note(&mut self, created_by: String) {
        self.history.push(History { created_by, step: None });
    }
}
