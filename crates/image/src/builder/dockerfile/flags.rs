//! `--flag=value` of instructions.

use super::lines::Line;
use super::problem::{Problem, nearest};

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// A value, once.
    Text,
    /// A value, any number of times.
    Texts,
    /// Nothing, or `true` or `false`.
    Switch,
}

/// The flags of one instruction, all known and with what they take.
#[derive(Debug)]
pub(super) struct Flags(Vec<(String, String)>);

impl Flags {
    pub(super) fn parse(line: &Line, written: Vec<String>, known: &[(&str, Takes)]) -> Result<Self, Problem> {
        let mut flags: Vec<(String, String)> = Vec::new();
        for text in written {
            let (name, value) = text[2..].split_once('=').map_or((&text[2..], None), |(n, v)| (n, Some(v)));
            let problem = |message: String| line.problem(&format!("--{name}"), message);
            let Some((_, takes)) = known.iter().find(|(known, _)| *known == name) else {
                let help = nearest(name, known.iter().map(|(name, _)| *name));
                return Err(Problem {
                    help,
                    ..problem(format!("--{name} is not a flag of this instruction"))
                });
            };
            if *takes != Takes::Texts && flags.iter().any(|(seen, _)| seen == name) {
                return Err(problem(format!("--{name} is given twice")));
            }
            let value = value_of(*takes, value).map_err(|what| problem(format!("--{name} {what}")))?;
            flags.push((name.to_owned(), value));
        }
        Ok(Self(flags))
    }

    /// The value of a flag that is there, unless it is empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = String> {
        self.0.iter().filter(move |(flag, _)| flag == name).map(|(_, value)| value.clone())
    }

    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.all(name).next().map(|value| value == "true")
    }
}

fn value_of(takes: Takes, value: Option<&str>) -> Result<String, &'static str> {
    match (takes, value) {
        (Takes::Switch, None) => Ok("true".to_owned()),
        (Takes::Switch, Some(value)) => match value.to_ascii_lowercase() {
            value if value == "true" || value == "false" => Ok(value),
            _ => Err("is either true or false"),
        },
        (_, None) => Err("needs a value: --flag=VALUE"),
        (_, Some(value)) => Ok(value.to_owned()),
    }
}
