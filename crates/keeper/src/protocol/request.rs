//! What the agent asks.

use std::path::PathBuf;

use hoist_runtime::cgroup::CgroupPath;
use oci_spec::runtime::{LinuxSeccomp, Process, Spec};
use serde::{Deserialize, Serialize};

use super::{Key, Versions};
use crate::segments::Limits;
use crate::stdio::{StdioSpec, WindowSize};

/// A request. "With" says which descriptors come along, in this order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Opens the conversation. Answer: [`super::Reply::Welcome`].
    Hello(Hello),
    /// Starts a container. With its root (a detached mount), then its network namespace if
    /// [`Launch::netns`]. Answer, when the program runs: [`super::Reply::Launched`]. Before that comes
    /// [`super::Event::Spawned`]. Asking again for an attempt that runs already gives its answer again.
    Launch(Box<Launch>),
    /// Runs a process inside a running container. With stdin, stdout and stderr, unless it gets a
    /// terminal. Answer: [`super::Reply::ExecStarted`].
    Exec(Box<Exec>),
    /// Sends a signal to an instance's first process, or to a process run inside it.
    Signal {
        key: Key,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exec: Option<String>,
        /// The signal's number.
        signal: i32,
    },
    /// Sets the size of an instance's terminal.
    Resize { key: Key, size: WindowSize },
    /// Closes the keeper's end of an instance's stdin: with the agent's closed too, it ends.
    CloseStdin { key: Key },
    /// All instances that are known. Answer: [`super::Reply::Instances`].
    List,
    /// The descriptors of one instance. Answer: [`super::Reply::Descriptors`].
    Descriptors { key: Key },
    /// Drops what is known of an ended instance: the agent has journalled it.
    Forget { key: Key },
    /// Gives a keeper that was restarted what only the agent still had. With the pidfd and the terminal's
    /// master, as the fields say.
    HandBack(HandBack),
    /// Looks after a container again whose record was lost. With its first process's pidfd. Refused while the keeper
    /// knows that it runs.
    TakeUp(Box<TakeUp>),
    /// Keeps duplicates of descriptors, in place of any of that name. With them.
    Hold { name: String },
    /// Duplicates of the descriptors held under a name. Answer: [`super::Reply::Taken`].
    Take { name: String },
    /// Closes the descriptors held under a name. None of that name is fine.
    Drop { name: String },
    /// Which names descriptors are held under. Answer: [`super::Reply::Held`].
    ListHeld,
    /// Replaces the keeper's program in place: same process, same children, same descriptors. The
    /// connection ends; connect again.
    Upgrade {
        /// The program to execute.
        program: PathBuf,
        /// Its arguments, its own name first.
        args: Vec<String>,
    },
    /// The agent is about to end as it should: it is not to be restarted.
    Goodbye,
    /// Ends the keeper. Refused while containers run, unless forced; then they run on without a parent,
    /// for a next keeper to adopt.
    Shutdown { force: bool },
}

/// Who is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub versions: Versions,
    /// Whether this is the agent, to be watched and restarted. Others may talk to a keeper as well. With
    /// the agent's pidfd; without it, the one of the connecting process is looked up.
    #[serde(default)]
    pub agent: bool,
}

/// A container to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    pub key: Key,
    /// Counts the launches of this key, upwards.
    pub attempt: u32,
    /// What to run, in the form of the OCI runtime specification. `root.path` is not looked at.
    pub spec: Spec,
    pub stdio: StdioSpec,
    /// Where the output goes; `None` throws it away.
    pub log: Option<LogSpec>,
    /// The name of its control group, part of the process's identity.
    pub cgroup: Option<CgroupPath>,
    /// The directories of its control group, one per hierarchy. They must exist.
    #[serde(default)]
    pub cgroup_dirs: Vec<PathBuf>,
    /// The program inside the root, when it has been looked up already.
    #[serde(default)]
    pub executable: Option<PathBuf>,
    /// Whether a small reaping process is its process 1.
    #[serde(default)]
    pub init: bool,
    /// Whether to go on, with a warning, where the host doesn't allow all that is asked for.
    #[serde(default)]
    pub best_effort: bool,
    /// Whether a network namespace comes with the request.
    #[serde(default)]
    pub netns: bool,
}

/// Where and how much output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// The folder of the segments. It is made when absent; what it has is continued.
    pub dir: PathBuf,
    #[serde(default)]
    pub limits: Limits,
}

/// A process to run inside a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    pub key: Key,
    /// The agent's name for it, unique for the instance.
    pub exec: String,
    /// What to run, in the form of the OCI runtime specification.
    pub process: Process,
    /// Which system calls it may make, as the specification's `linux.seccomp`; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<LinuxSeccomp>,
    #[serde(default)]
    pub cgroup_dirs: Vec<PathBuf>,
    /// The size of its terminal, when it gets one.
    #[serde(default)]
    pub terminal: Option<WindowSize>,
    /// Whom the terminal belongs to: the process's user, as the host numbers it.
    #[serde(default)]
    pub uid: u32,
    /// Whether a small reaping process stays above it, so that all it makes can be found and ended with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
    #[serde(default)]
    pub best_effort: bool,
}

/// A container that runs and that the keeper has no record of: what it was launched with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeUp {
    pub key: Key,
    pub attempt: u32,
    /// Its first process, as the host numbers it.
    pub pid: i32,
    pub stdio: StdioSpec,
    pub log: Option<LogSpec>,
    pub cgroup: Option<CgroupPath>,
    #[serde(default)]
    pub cgroup_dirs: Vec<PathBuf>,
}

/// What the agent held for an instance whose keeper was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandBack {
    pub key: Key,
    /// Whether the pidfd comes along. For an instance that has ended it tells how. Without it the exit of
    /// one in [`super::Phase::Lost`] is settled as unknown.
    #[serde(default)]
    pub pidfd: bool,
    /// Whether the terminal's master comes along.
    #[serde(default)]
    pub terminal: bool,
}
