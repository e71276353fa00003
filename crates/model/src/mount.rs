//! What is mounted into an instance.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Digest, VolumeId};

/// One mount, at an absolute path inside the instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mount {
    /// Where it appears.
    pub target: PathBuf,
    /// What appears there.
    pub kind: MountKind,
    /// Mounted read-only.
    #[serde(default)]
    pub read_only: bool,
    /// Further mount options, as mount(8) names them (`noexec`, `nosuid`, …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountKind {
    /// A file or folder of the host, absolute; pinned to the host of origin.
    Bind {
        /// The path on the host.
        source: PathBuf,
        /// Make a missing source as a folder.
        #[serde(default)]
        create: bool,
        /// Mount propagation by the kernel's name (`rprivate`, `rshared`, …), when declared.
        propagation: Option<String>,
        /// Take the mounts below the source along.
        #[serde(default)]
        recursive: bool,
        /// Of a read-only mount: leave the mounts below it as they are.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        writable_below: bool,
        /// Of a single file, its content when the stack was put: another content is another definition.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Digest>,
    },
    /// A named volume.
    Volume {
        /// The volume.
        id: VolumeId,
        /// A folder inside it.
        subpath: Option<PathBuf>,
        /// Don't copy what the image has at the target into an empty volume.
        #[serde(default)]
        no_copy: bool,
    },
    /// A volume of this one instance, removed with it.
    Anonymous,
    /// A file system in memory.
    Tmpfs(TmpfsOptions),
    /// A file with this content (configs and secrets by file or content, uploaded by the CLI).
    Content {
        /// The bytes, read as the user.
        content: Vec<u8>,
        /// Owner.
        #[serde(default)]
        uid: u32,
        /// Group.
        #[serde(default)]
        gid: u32,
        /// Permission bits.
        mode: u32,
        /// Redact in everything printed.
        #[serde(default)]
        sensitive: bool,
    },
}

/// Options of a tmpfs mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TmpfsOptions {
    /// Bytes.
    pub size: Option<u64>,
    /// Permission bits of its root; default 1777.
    pub mode: Option<u32>,
    /// Owner of its root.
    pub uid: Option<u32>,
    /// Group of its root.
    pub gid: Option<u32>,
    /// Mount flags beyond nosuid, nodev: `exec`, `noexec`, `ro`, … as written.
    pub flags: Vec<String>,
}
