//! What became of a stack's revisions: who asked for each, what it changed, how it ended.
//!
//! An entry outlives the content of its revision: history tells of more revisions than a person can go back to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Revision, ServiceName, WallTime};

/// Who asked, as their command line says it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Author {
    /// The user's name, or number where it has none; empty when unknown.
    pub user: String,
    /// The name of the machine that the command ran on; empty when unknown.
    pub host: String,
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.user.is_empty(), self.host.is_empty()) {
            (true, _) => f.write_str("unknown"),
            (false, true) => f.write_str(&self.user),
            (false, false) => write!(f, "{}@{}", self.user, self.host),
        }
    }
}

/// One revision in a stack's history.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryEntry {
    /// When it was put.
    pub created: WallTime,
    /// Who put it.
    pub by: Author,
    /// The command with the options that decide what it does, without the file: `up web --scale web=3`.
    pub command: String,
    /// The revision that it goes back to, whose content it has. Never itself one that goes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<Revision>,
    /// What it changed against what was in force before, in a few words each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Services that stood at another revision when this one was the newest: not moved, or no longer in the file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub elsewhere: BTreeMap<ServiceName, Revision>,
    /// Services of its file that were not wanted at all.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub without: BTreeSet<ServiceName>,
    /// Numbers of replicas that a person set in place of the file's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scale: BTreeMap<ServiceName, u32>,
    /// How it ended.
    pub verdict: RevisionVerdict,
}

/// How a revision ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevisionVerdict {
    /// It hasn't yet.
    #[default]
    UnderWay,
    /// Everything became as asked.
    Succeeded,
    /// It didn't.
    Failed {
        /// Why, in a sentence.
        why: String,
    },
    /// The stack went back from it.
    RolledBack {
        /// The revision that it went back to.
        to: Revision,
        /// Why it failed, where it had.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// Something else was asked of the stack before it had ended.
    Superseded {
        /// The revision that took its place; none where a stop, a restart or the like did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Revision>,
    },
}
