//! What is done to and asked of instances: steps, volumes, health checks, looks at their sockets, execs,
//! logs, and what of them runs.
//!
//! Starts no process of Hoist itself (`processes`), and keeps no network (`fabric`).

pub(crate) mod answering;
pub(crate) mod descendants;
pub mod devices;
pub(crate) mod ends;
pub(crate) mod exec;
pub(crate) mod execs;
pub(crate) mod files;
pub(crate) mod groups;
pub(crate) mod health_log;
pub(crate) mod logs;
pub(crate) mod native_probe;
pub mod oci;
pub(crate) mod probe_run;
pub(crate) mod probes;
pub(crate) mod signals;
pub(crate) mod steps;
pub(crate) mod streams;
pub(crate) mod volatile;
pub(crate) mod volume;
pub(crate) mod watches;
