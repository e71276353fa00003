//! All stacks on all hosts: what people asked for ([`intent`]), the next spec of each host ([`plan`]), whether an
//! operation has ended (`verdict`), and the orchestrator's loop ([`ClusterLoop`]).

mod control;
mod input;
pub mod intent;
mod plan;
mod pool;

pub use control::ClusterLoop;
pub use input::{
    Effect, ImageWanted, Input, OpId, Refusal, RefusalKind, Request, Restored, StoreChange, UpRequest,
};
pub use plan::{ClusterPlan, IdSource, PlanInput, Record, plan};
pub use pool::Pool;
