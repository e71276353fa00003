//! The operations of a launch: plain values that print, each knowing how to perform itself in the child.
//!
//! An operation owns its strings and descriptors, all made before the clone. Performing one makes system
//! calls and nothing else: no allocation, no lock, no panic, for the child may be the copy of one thread of
//! many. Each prints as an infinitive, so that an error reads "can't *mount tmpfs at /dev*".

mod apparmor;
mod credentials;
mod failure;
mod folder;
mod gate;
mod init;
mod mount;
mod namespace;
mod node;
mod place;
mod program;
mod restrict;
mod root;
mod seccomp;
mod settings;
mod stdio;
mod tree;
pub(crate) mod within;

use std::fmt;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

pub use apparmor::AppArmor;
pub use credentials::{Ambient, Become, Bounding, Capabilities};
pub(crate) use failure::{Failure, Note, Record};
pub(crate) use folder::Folder;
pub use gate::Gate;
pub use init::StayAsInit;
pub(crate) use mount::{Console, Parameter, Source, Target, new_tree};
pub use mount::{Mount, MountConsole};
pub use namespace::{JoinCgroup, JoinNamespace, JoinProcess, Unshare};
pub(crate) use node::Rdev;
pub use node::{Device, Directory, Symlink};
pub(crate) use place::Place;
pub(crate) use program::StringArray;
pub use program::{Announce, Execute};
pub(crate) use restrict::Cover;
pub use restrict::{Mask, MountAttributes, ReadOnlyPath, ReadOnlyRoot};
pub use root::{AttachRoot, IsolateMounts, PivotRoot};
pub use seccomp::Seccomp;
pub use settings::{Conceal, Domainname, Hostname, Keyring, OomScoreAdj, ResourceLimit, Sysctl, Umask};
pub use stdio::{ChangeDirectory, CloseDescriptors, ConnectStdio, LeadSession, ResetSignals, TakeTerminal};
pub use tree::CloneTree;
pub(crate) use tree::Tree;

/// What the operations work on, besides what they own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child<'a> {
    /// The root file system: attached by [`AttachRoot`]. None where the root is joined, not made.
    pub(crate) root: Option<BorrowedFd<'a>>,
    /// Where failures are reported; closed by a successful execve.
    pub(crate) report: BorrowedFd<'a>,
    /// What [`Gate`] waits at.
    pub(crate) gate: BorrowedFd<'a>,
    /// A file that [`Announce`] empties, after which little can go wrong but the execve itself.
    pub(crate) mark: Option<BorrowedFd<'a>>,
}

impl<'a> Child<'a> {
    fn root(&self) -> Result<BorrowedFd<'a>, Errno> {
        self.root.ok_or(Errno::BADF)
    }
}

/// One operation.
pub(crate) trait Step: fmt::Display {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure>;
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// One thing the child does, in the order of the list.
        #[derive(Debug)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "each variant is described at its struct")]
        pub enum Op {
            $($name($name),)*
        }

        impl Op {
            pub(crate) fn step(&self) -> &dyn Step {
                match self {
                    $(Self::$name(step) => step,)*
                }
            }
        }

        $(impl From<$name> for Op {
            fn from(step: $name) -> Self {
                Self::$name(step)
            }
        })*
    };
}

operations!(
    Conceal,
    AppArmor,
    JoinCgroup,
    JoinNamespace,
    JoinProcess,
    Unshare,
    Keyring,
    Hostname,
    Domainname,
    Sysctl,
    OomScoreAdj,
    ResourceLimit,
    CloneTree,
    IsolateMounts,
    AttachRoot,
    Mount,
    MountConsole,
    MountAttributes,
    Directory,
    Device,
    Symlink,
    Mask,
    ReadOnlyPath,
    ReadOnlyRoot,
    PivotRoot,
    LeadSession,
    TakeTerminal,
    ChangeDirectory,
    ConnectStdio,
    CloseDescriptors,
    ResetSignals,
    Bounding,
    Become,
    Capabilities,
    Ambient,
    NoNewPrivileges,
    Seccomp,
    Umask,
    Gate,
    StayAsInit,
    Announce,
    Execute,
);

pub use credentials::NoNewPrivileges;

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.step().fmt(f)
    }
}
