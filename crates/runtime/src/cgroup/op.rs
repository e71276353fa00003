//! The steps that make and limit a group, as values: one can print them, compare them and walk them.

use std::fmt;
use std::path::PathBuf;

use super::{DeviceRule, Unenforced};

/// What to do, in order, and what will have no effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub ops: Vec<Op>,
    pub warnings: Vec<Unenforced>,
}

/// One step upon cgroupfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Makes one directory; it may exist.
    MakeDir { dir: PathBuf },
    /// Version 2: passes controllers on to the children of `dir`.
    EnableControllers { dir: PathBuf, controllers: Vec<&'static str> },
    /// Version 1: a new cpuset is empty and no process may join it, so it takes what its parent has.
    InheritCpuset { dir: PathBuf },
    /// Version 1 before Linux 5.11: has memory of the groups below `dir` count as its own.
    CountBelow { dir: PathBuf },
    /// Fails when more than `limit` bytes are in use.
    RefuseIfAbove { key: &'static str, file: PathBuf, limit: u64 },
    /// Writes a value; where kernels differ in the file's name, the first choice that exists counts.
    Write { key: &'static str, need: Need, choices: Vec<(PathBuf, String)> },
    /// Version 2: attaches a filter program made from the rules.
    FilterDevices { dir: PathBuf, rules: Vec<DeviceRule> },
}

/// What it means when a file to write doesn't exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The group must not run without it: an error.
    Must,
    /// A preference that bounds nothing: a warning.
    Wish,
}

impl Op {
    pub(super) fn write(key: &'static str, file: PathBuf, value: &dyn fmt::Display) -> Op {
        Op::Write { key, need: Need::Must, choices: vec![(file, value.to_string())] }
    }

    pub(super) fn wish(key: &'static str, file: PathBuf, value: &dyn fmt::Display) -> Op {
        Op::Write { key, need: Need::Wish, choices: vec![(file, value.to_string())] }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::MakeDir { dir } => write!(f, "mkdir {}", dir.display()),
            Op::EnableControllers { dir, controllers } => {
                write!(f, "enable {} in {}", controllers.join(" "), dir.display())
            }
            Op::InheritCpuset { dir } => write!(f, "inherit cpuset in {}", dir.display()),
            Op::CountBelow { dir } => write!(f, "count memory below {}", dir.display()),
            Op::RefuseIfAbove { file, limit, .. } => write!(f, "refuse if {} > {limit}", file.display()),
            Op::Write { need, choices, .. } => {
                f.write_str(if *need == Need::Must { "write" } else { "try" })?;
                for (at, (file, value)) in choices.iter().enumerate() {
                    write!(f, "{} {} = {value}", if at == 0 { "" } else { " else" }, file.display())?;
                }
                Ok(())
            }
            Op::FilterDevices { dir, rules } => {
                write!(f, "filter devices in {}:", dir.display())?;
                for rule in rules {
                    write!(f, " {}[{rule}]", if rule.allow { "+" } else { "-" })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ops.iter().try_for_each(|op| writeln!(f, "{op}"))?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}
