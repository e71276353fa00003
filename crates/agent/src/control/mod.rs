//! The host loop's shell: its clock, its journal, and what performs the effects that the planner asks for.
//!
//! Decides nothing, and does nothing to an instance itself: steps are in `instances`.

pub(crate) mod clock;
mod events;
pub(crate) mod inbox;
pub(crate) mod journal;
pub(crate) mod records;
pub(crate) mod shell;
