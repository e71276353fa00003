//! What a build is: steps, each on top of a file tree, and the images that come out. A value without effects: the front
//! end makes it from a Dockerfile, the executor performs it, a test prints it.
//!
//! A step depends on the trees it starts from and reads; steps that don't depend on each other may run at once. What
//! only changes the configuration (ENV, LABEL, CMD …) is no step: the front end has worked it into [`Graph::config`]
//! and into the steps that come after.

use std::collections::BTreeMap;

use hoist_model::RunSettings;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A step, by its index in [`Graph::steps`]; it depends on steps of smaller index only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId(pub usize);

/// The steps that a target needs, and what its image says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    pub steps: Vec<Step>,
    /// The tree of the image.
    pub target: Tree,
    /// The image's configuration document without `rootfs`, `history` and `created`, Docker's additions included.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// One line per instruction, the base's own lines left out.
    pub history: Vec<History>,
}

/// A file tree that something starts from or reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tree {
    /// `FROM scratch`.
    Empty,
    /// An image of the store, by its id.
    Image(Digest),
    /// What a step left.
    Step(StepId),
    /// A folder that the client hands over, by name; `""` is the build context itself.
    Context(String),
}

/// One instruction that makes or changes files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// As progress shows it: `[builder 3/7] RUN make`.
    pub title: String,
    /// The tree it changes.
    pub base: Tree,
    pub action: Action,
    /// The line of the Dockerfile, from 1, for errors.
    pub line: usize,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    Run(Run),
    Copy(Copy),
    /// WORKDIR: makes an absolute folder where there is none, with this owner.
    Folder {
        path: String,
        owner: Option<String>,
    },
}

/// RUN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Program and arguments; the shell form comes with its shell.
    pub command: Vec<String>,
    /// The environment, build arguments included; proxy variables are apart in `hidden_environment`.
    pub environment: BTreeMap<String, String>,
    /// Also in the environment, but no part of what the cache compares (proxy settings).
    pub hidden_environment: BTreeMap<String, String>,
    /// `name`, `uid`, `name:group` …, as USER has it; root when none.
    pub user: Option<String>,
    pub working_dir: String,
    pub mounts: Vec<Mount>,
    pub network: Network,
    /// Files that exist while it runs, by absolute path, mode 0755: a heredoc with a shebang.
    pub files: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_sandbox")]
    pub security: Security,
    /// What the build gives all its commands.
    #[serde(default, skip_serializing_if = "RunSettings::is_usual")]
    pub settings: RunSettings,
}

/// `RUN --security`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    #[default]
    Sandbox,
    /// With all of the runner's privileges.
    Insecure,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_sandbox(security: &Security) -> bool {
    *security == Security::Sandbox
}

/// `RUN --network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    #[default]
    Default,
    None,
    Host,
}

/// `RUN --mount`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute.
    pub target: String,
    pub kind: MountKind,
}

/// The types of `RUN --mount`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MountKind {
    /// What is written to it is thrown away.
    Bind {
        from: Tree,
        source: String,
        writable: bool,
    },
    /// A folder that outlives the build. `from` fills it when it is new.
    Cache {
        id: String,
        from: Tree,
        source: String,
        sharing: Sharing,
        readonly: bool,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    Tmpfs {
        size: Option<u64>,
    },
    /// `target` is a file; empty when the secret is an environment variable only.
    Secret {
        id: String,
        env: Option<String>,
        required: bool,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// `target` is a socket.
    Ssh {
        id: String,
        required: bool,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

/// Who may use a cache mount at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}

/// COPY and ADD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    pub sources: Vec<Source>,
    /// Absolute; ends in `/` when the file says so or there are several sources.
    pub destination: String,
    /// `--chown` as written, variables expanded.
    pub owner: Option<String>,
    /// `--chmod`: octal or symbolic.
    pub mode: Option<String>,
    /// `--link`: the layer doesn't depend on what is below it.
    pub link: bool,
    /// `--parents`: keep the folders of the source, from `/./` on.
    pub parents: bool,
    /// `--exclude`, as `.dockerignore` lines.
    pub exclude: Vec<String>,
}

/// One source of a COPY or ADD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Source {
    /// Files of a tree; `path` is absolute in it, clean but for the `/./` that `parents` goes by, and may hold `*`, `?`
    /// and `[…]`. `unpack`: local archives are unpacked (ADD).
    Files { from: Tree, path: String, unpack: bool },
    /// A heredoc.
    Inline { name: String, content: String },
    /// A file by HTTP(S). `unpack` only where `ADD --unpack` says so.
    Http { url: String, checksum: Option<Digest>, unpack: bool },
    /// A git repository at a branch, tag or commit, and a folder of it.
    Git {
        url: String,
        reference: Option<String>,
        folder: Option<String>,
        keep_git_dir: bool,
        checksum: Option<String>,
    },
}

/// A line of the image's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// As Docker writes it: `COPY app /app # buildkit`, `ENV A=b`.
    pub created_by: String,
    /// The step that made its layer; none for a change of configuration.
    pub step: Option<StepId>,
}
