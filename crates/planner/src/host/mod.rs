//! One host: what it has seen ([`Observed`]), what it should do next ([`plan`]), and the agent's loop ([`HostLoop`]).
//!
//! The agent's shell does three things: it turns what happens into [`Input`]s, performs [`Effect`]s in their order,
//! and calls [`HostLoop::step`] with `Timer` when the last `WakeAt` is due.

mod adopt;
mod begun;
mod carry;
mod contents;
mod control;
mod dependency;
mod fabric;
mod flip;
mod gap;
mod gates;
mod health;
mod holders;
mod hooks;
mod input;
mod instance;
mod life;
mod observed;
mod order;
mod parting;
mod phases;
mod plan;
mod ready;
mod recall;
mod report;
mod resources;
mod restart;
mod shared;
mod step;
mod traffic;
mod transition;
mod unfit;
mod view;
mod zone;

pub use control::HostLoop;
pub use fabric::{FabricWanted, NetworkWanted, PublishKey, PublishWanted, ServiceWanted};
pub use flip::FabricProgress;
pub use health::{Prober, last_words, unhealthy};
pub use hooks::{HookRun, HooksRun};
pub use input::{
    Adopted, Application, Effect, FabricSeen, Input, JournalEntry, Process, Restored, SpecRefusal, StartedBy,
    StepError, StepOk, StepResult,
};
pub use observed::{
    Birth, Draining, EndedBy, Fault, Instance, Joined, Life, Observed, PublishSeen, Stopping,
};
pub use plan::{HostInput, HostPlan, Probing, plan};
pub use ready::{Look, Watching, pause as watch_pause};
pub use step::{Planned, Step};
pub use zone::{Zone, ZoneClient, ZoneNetwork, ZoneRecord, ZoneUpstream};
