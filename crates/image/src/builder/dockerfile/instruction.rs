//! What each instruction says, before any variable is expanded.

use super::heredoc::Heredoc;
use super::lines::Line;

/// One instruction and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) line: Line,
    pub(crate) kind: Kind,
}

/// The instructions, by what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    From(From),
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Run(Run),
    /// COPY and ADD.
    Copy(Copy),
    Cmd(Command),
    Entrypoint(Command),
    Shell(Vec<String>),
    Workdir(String),
    User(String),
    Expose(Vec<String>),
    Volume(Vec<String>),
    StopSignal(String),
    Healthcheck(Healthcheck),
    /// The instruction as written, checked already.
    Onbuild(String),
    Maintainer(String),
}

/// FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct From {
    pub(crate) base: String,
    /// In lower case.
    pub(crate) name: Option<String>,
    pub(crate) platform: Option<String>,
}

/// A command in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Exec(Vec<String>),
    Shell(String),
}

/// RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) command: Command,
    /// As written: variables may decide what they mean.
    pub(crate) mounts: Vec<String>,
    pub(crate) network: Option<crate::builder::graph::Network>,
    pub(crate) security: crate::builder::graph::Security,
}

/// COPY and ADD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copy {
    /// ADD, which unpacks and downloads.
    pub(crate) adds: bool,
    pub(crate) sources: Vec<String>,
    pub(crate) documents: Vec<Heredoc>,
    pub(crate) destination: String,
    pub(crate) from: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) link: bool,
    pub(crate) parents: bool,
    pub(crate) exclude: Vec<String>,
    pub(crate) keep_git_dir: Option<bool>,
    pub(crate) checksum: Option<String>,
    pub(crate) unpack: Option<bool>,
}

/// HEALTHCHECK; times in nanoseconds, 0 for not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Healthcheck {
    /// `NONE`, or `CMD` and arguments, or `CMD-SHELL` and a line.
    pub(crate) test: Vec<String>,
    pub(crate) interval: u64,
    pub(crate) timeout: u64,
    pub(crate) start_period: u64,
    pub(crate) start_interval: u64,
    pub(crate) retries: u32,
}
