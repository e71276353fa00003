//! The simulator: one orchestrator, one agent, one host, a virtual clock, and faults chosen by a seed.
//!
//! `disk` is what survives a kill and a reboot, `kernel` and `network` what survives a kill of the agent, `agent` what
//! doesn't. Both
//! loops are the real ones; everything they ask for is performed here, late, wrongly or not at all, as the faults say.

mod agent;
mod disk;
mod done;
mod effects;
mod faults;
mod happen;
mod kernel;
mod network;
mod world;

pub use disk::Store;
pub use done::Done;
pub use faults::{Behaviour, Faults};
pub use kernel::Run;
pub use world::{Ended, World};
