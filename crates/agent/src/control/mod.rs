//! The host loop's shell: its clock, its journal, and what performs the effects that the planner asks for.
//!
//! Decides nothing, and does nothing to an instance itself: steps are in `instances`.

pub(crate) mod clock;
pub(crate) mod effects;
mod events;
pub(crate) mod inbox;
pub(crate) mod journal;
pub(crate) mod records;
pub(crate) mod run;
pub(crate) mod shell;

pub use effects::Effects;
pub use inbox::{Message, Rest};
pub use records::Record;
pub use shell::Shell;
