//! What a host can be told to do: one value per step, each idempotent.

use std::fmt;

use hoist_model::{Digest, HookMoment, InstanceUid, NetworkId, VolumeId};
use serde::{Deserialize, Serialize};

/// One thing to do. Each may be asked for again after a crash and must then find its work half or wholly done.
///
/// What a step needs beyond its id (spec and template of an instance, a network's subnets) is in
/// [`super::HostLoop::spec`] at the moment the effect is returned: take it before the next call of `step`. Signal,
/// kill and remove need nothing but what is in them, since their instance may have left the spec.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Make a network as the spec has it.
    EnsureNetwork(NetworkId),
    /// Remove a network; nothing is attached to it.
    RemoveNetwork(NetworkId),
    /// Make a volume as the spec has it.
    EnsureVolume(VolumeId),
    /// Remove a volume and its data; nothing mounts it.
    RemoveVolume(VolumeId),
    /// Lay out an instance: folders, files, root file system; no process.
    CreateInstance(InstanceUid),
    /// Move anonymous volumes of one instance to another of its slot, which has not started yet.
    CarryVolumes {
        /// Who has them.
        from: InstanceUid,
        /// Who gets them.
        to: InstanceUid,
    },
    /// Launch its process. Done once the process runs, or it can't.
    StartInstance {
        /// The instance.
        uid: InstanceUid,
        /// Which start this is, from 1; exits name it, so that a late one can't be taken for the current run's.
        attempt: u32,
    },
    /// Give it the interfaces that it should have, in the namespace that it runs in.
    AttachInstance(InstanceUid),
    /// Send its stop signal, by name (`SIGTERM`) or number. Done once sent.
    SignalInstance {
        /// The instance.
        uid: InstanceUid,
        /// The signal.
        signal: String,
    },
    /// Tell it by this signal that nothing new will come. Done once sent.
    DrainInstance {
        /// The instance.
        uid: InstanceUid,
        /// The signal.
        signal: String,
    },
    /// Run one of its hooks inside it. Done once the command has ended with 0.
    RunHook {
        /// The instance.
        uid: InstanceUid,
        /// Which start of it.
        attempt: u32,
        /// Which list.
        moment: HookMoment,
        /// Which of the list, from 0.
        index: u32,
    },
    /// Put the content that its definition has now in place of what its files have, and send this signal. Done once sent.
    RenewContents {
        /// The instance.
        uid: InstanceUid,
        /// Which start of it.
        attempt: u32,
        /// The content, as a digest.
        contents: Digest,
        /// The signal.
        signal: String,
    },
    /// Kill every process of it. Done once sent; the end is an input of its own.
    KillInstance(InstanceUid),
    /// End the processes of it that no keeper looks after. Done once there are none.
    ClearInstance(InstanceUid),
    /// Remove what it has: root file system, files, anonymous volumes, links, logs.
    RemoveInstance(InstanceUid),
}

impl Step {
    /// The instance it acts on.
    #[must_use]
    pub fn instance(&self) -> Option<InstanceUid> {
        match self {
            Step::CreateInstance(uid)
            | Step::StartInstance { uid, .. }
            | Step::SignalInstance { uid, .. }
            | Step::DrainInstance { uid, .. }
            | Step::RunHook { uid, .. }
            | Step::CarryVolumes { to: uid, .. }
            | Step::RenewContents { uid, .. }
            | Step::AttachInstance(uid)
            | Step::KillInstance(uid)
            | Step::ClearInstance(uid)
            | Step::RemoveInstance(uid) => Some(*uid),
            Step::EnsureNetwork(_)
            | Step::RemoveNetwork(_)
            | Step::EnsureVolume(_)
            | Step::RemoveVolume(_) => None,
        }
    }

    /// What it does, as one word.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Step::EnsureNetwork(_) | Step::EnsureVolume(_) | Step::CreateInstance(_) => "create",
            Step::RemoveNetwork(_) | Step::RemoveVolume(_) | Step::RemoveInstance(_) => "remove",
            Step::StartInstance { .. } => "start",
            Step::SignalInstance { .. } => "stop",
            Step::DrainInstance { .. } => "drain",
            Step::RunHook { .. } => "run",
            Step::CarryVolumes { .. } => "carry",
            Step::RenewContents { .. } => "renew",
            Step::KillInstance(_) => "kill",
            Step::AttachInstance(_) => "attach",
            Step::ClearInstance(_) => "clear",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = self.verb();
        match self {
            Step::EnsureNetwork(id) | Step::RemoveNetwork(id) => write!(f, "network {id}: {verb}"),
            Step::EnsureVolume(id) | Step::RemoveVolume(id) => write!(f, "volume {id}: {verb}"),
            Step::CreateInstance(uid)
            | Step::AttachInstance(uid)
            | Step::KillInstance(uid)
            | Step::ClearInstance(uid)
            | Step::RemoveInstance(uid) => {
                write!(f, "instance {}: {verb}", uid.short())
            }
            Step::CarryVolumes { from, to } => {
                write!(f, "instance {}: {verb} volumes of {}", to.short(), from.short())
            }
            Step::RunHook { uid, moment, index, .. } => {
                write!(f, "instance {}: {verb} {moment} hook {}", uid.short(), index + 1)
            }
            Step::StartInstance { uid, attempt } => write!(f, "instance {}: {verb} {attempt}", uid.short()),
            Step::SignalInstance { uid, signal }
            | Step::DrainInstance { uid, signal }
            | Step::RenewContents { uid, signal, .. } => {
                write!(f, "instance {}: {verb} with {signal}", uid.short())
            }
        }
    }
}

/// A step, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What to do.
    pub step: Step,
    /// Why, as a sentence part.
    pub cause: String,
}
