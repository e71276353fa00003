//! Control groups on the real kernel: what the limits do, and that nothing is left.
//!
//! Every test runs as root in groups of its own below the root of each hierarchy. Those of the life of a
//! group run three times on a hybrid host: with all hierarchies, with version 1's only, and with version
//! 2's only.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod contained;
mod groups;
mod world;
