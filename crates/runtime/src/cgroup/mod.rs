//! Control groups by plain cgroupfs files: where a container's processes are counted, limited,
//! frozen and killed.
//!
//! Owns: finding the host's hierarchies ([`Hierarchy`]), turning [`Limits`] into a printable list of
//! file operations ([`plan()`]), applying it, and the life of one group ([`Cgroup`]). Version 1, version 2
//! and the hybrid of both are equal citizens; each controller is spoken to in the dialect of the
//! hierarchy it is mounted in, so "hybrid" needs no code of its own.
//!
//! A container's group is two, one in the other ([`Cgroup::create_contained`]). The outer one has the limits. The
//! inner one has the processes and is the root of the container's cgroup namespace, and whoever is root in a user
//! namespace may write to what such a namespace contains: so it only shows the limits, to programs that size
//! themselves by them.
//!
//! Does not own: choosing paths or limits, waiting for processes, or anything through systemd's D-Bus
//! interface.
//!
//! Files and formats: `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/*.rst` of the kernel,
//! cgroups(7), and the "Control groups" chapter of the OCI runtime specification.

mod apply;
mod bpf;
mod convert;
mod devices;
mod error;
mod group;
mod hierarchy;
mod limits;
mod mountinfo;
mod oci;
mod op;
mod path;
mod plan;
mod remove;
mod stats;
mod walk;

pub use apply::apply;
pub use devices::{Access, DeviceKind, DeviceRule};
pub use error::{CgroupError, Unenforced};
pub use group::Cgroup;
pub use hierarchy::{Controller, Hierarchy, Home, Layout, UnifiedMount, V1Mount};
pub use limits::{
    Ceiling, CpuLimits, DeviceNumber, DeviceRate, DeviceWeight, HugepageLimit, IoLimits, Limits, MemoryLimits,
};
pub(crate) use mountinfo::{GroupMounts, Version};
pub use op::{Need, Op, Plan};
pub use path::{Anchor, CgroupPath};
pub use plan::{plan, plan_contained, plan_update};
pub use stats::{Stats, oom_kills_below};

/// What a container's own group is called, below the one that bounds it.
const INNER: &str = "container";
