//! Containers on the real kernel, looked at from inside and with other tools.
//!
//! Each test works in a mount namespace of its own, on a root made of busybox, and needs root of the host.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends here")]

mod binds;
mod confinement;
mod credentials;
mod execs;
mod failures;
mod golden;
mod inits;
mod mounts;
mod namespaces;
mod roots;
mod seccomp;
mod terminals;
mod world;
