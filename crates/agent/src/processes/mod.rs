//! Hoist's other processes, keeper and dns: started, watched, spoken to, and the descriptors that are held beside them.
//!
//! What containers do is `instances`' affair; here they are only what the keeper tells of.

pub mod dns_process;
pub(crate) mod dns_watch;
pub(crate) mod exit;
pub mod handover;
pub(crate) mod held;
pub(crate) mod ids;
pub(crate) mod keeper_watch;
pub(crate) mod link;
pub(crate) mod readable;
pub(crate) mod spawn;
pub(crate) mod take_up;
