//! Where everything lies below `--root`. Owns names only; nothing here touches the disk.

use std::path::{Path, PathBuf};

use hoist_model::{InstanceUid, VolumeId};

/// The folders and files of one root; `docs/architecture.md` lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout below `root`, which must be absolute.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The root itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its short name among all roots ([`crate::root_tag()`]).
    #[must_use]
    pub fn tag(&self) -> PathBuf {
        self.root.join("tag.json")
    }

    /// Where the CLI connects.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        self.root.join("agent.sock")
    }

    /// Held (flock) by the agent that owns this root.
    #[must_use]
    pub fn agent_lock(&self) -> PathBuf {
        self.root.join("agent.lock")
    }

    /// What agent, keeper and dns write about themselves.
    #[must_use]
    pub fn daemon_log(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.log"))
    }

    /// Where agent and keeper meet.
    #[must_use]
    pub fn keeper_socket(&self) -> PathBuf {
        self.root.join("keeper.sock")
    }

    /// The keeper's records.
    #[must_use]
    pub fn keeper_state(&self) -> PathBuf {
        self.root.join("keeper")
    }

    /// The orchestrator's store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join("store.redb")
    }

    /// The spec last accepted.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger.json")
    }

    /// The endpoints last accepted.
    #[must_use]
    pub fn endpoints(&self) -> PathBuf {
        self.root.join("endpoints.json")
    }

    /// What the kernel forgets.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.json")
    }

    /// Room kept back for a full disk.
    #[must_use]
    pub fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// The image store.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// When each image was pulled and used last.
    #[must_use]
    pub fn image_times(&self) -> PathBuf {
        self.root.join("image-times.json")
    }

    /// All named volumes.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// One volume's data.
    #[must_use]
    pub fn volume_data(&self, id: &VolumeId) -> PathBuf {
        self.volumes().join(id.as_str()).join("_data")
    }

    /// All instances.
    #[must_use]
    pub fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    /// One instance's folder.
    #[must_use]
    pub fn instance(&self, uid: &InstanceUid) -> InstanceLayout {
        let name = uid.to_string();
        InstanceLayout { dir: self.instances().join(&name), run: self.volatile().join(name) }
    }

    /// What instances need only while the machine is up.
    #[must_use]
    pub fn volatile(&self) -> PathBuf {
        self.root.join("run")
    }

    /// What a root file system is given where it lacks it, for mounts to lie on.
    #[must_use]
    pub fn skeleton(&self) -> PathBuf {
        self.root.join("skeleton")
    }

    /// The fabric's files.
    #[must_use]
    pub fn fabric(&self) -> PathBuf {
        self.root.join("fabric")
    }

    /// Where the fabric's network namespace is pinned.
    #[must_use]
    pub fn fabric_netns(&self) -> PathBuf {
        self.fabric().join("netns")
    }

    /// The root's address ranges.
    #[must_use]
    pub fn ranges(&self) -> PathBuf {
        self.fabric().join("ranges.json")
    }

    /// Held by dns while it runs; says which process it is.
    #[must_use]
    pub fn dns_lock(&self) -> PathBuf {
        self.fabric().join("dns.lock")
    }

    /// What dns answers from.
    #[must_use]
    pub fn zone(&self) -> PathBuf {
        self.fabric().join("zone.json")
    }
}

/// The folders of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceLayout {
    dir: PathBuf,
    run: PathBuf,
}

impl InstanceLayout {
    /// The instance's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The private writable layer.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    /// overlayfs's own folder beside it.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// The FIFOs of its standard streams, and its generated files.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Where the FIFOs of an instance are that an earlier version has started.
    #[must_use]
    pub fn former_run(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// Its log segments.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// A generated file that is mounted into it: `hosts`, `hostname`, `resolv.conf`, contents by number.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    /// An anonymous volume, numbered in the order of its mounts.
    #[must_use]
    pub fn anonymous_volume(&self, number: usize) -> PathBuf {
        self.dir.join("volumes").join(number.to_string())
    }
}
