//! All stacks on all hosts: what people asked for ([`intent`]), the next spec of each host ([`plan`]), whether an
//! operation has ended ([`verdict`]), and the orchestrator's loop ([`ClusterLoop`]).

mod addresses;
mod changes;
mod classify;
mod conflict;
mod control;
pub mod events;
mod guards;
mod history;
mod host;
mod input;
pub mod intent;
mod leadership;
mod networks;
mod operation;
mod overlaps;
mod place;
mod plan;
mod pool;
mod publish;
mod rebuild;
mod removal;
mod requests;
mod retreat;
mod rollback;
mod rollout;
mod template;
mod up;
pub mod verdict;
mod volumes;

pub use control::ClusterLoop;
pub use history::Asked;
pub use input::{
    Effect, ImageWanted, Input, OpId, Refusal, RefusalKind, Request, Restored, StoreChange, UpRequest,
};
pub use overlaps::overlaps;
pub use plan::{ClusterPlan, IdSource, PlanInput, Record, plan};
pub use pool::Pool;
pub(crate) use pool::overlap;
pub use rebuild::{Accepted, rebuilt};
pub use removal::unnamed_volumes;
pub use requests::images_of;
pub use rollback::{content, foresee, last_good, rollback};
pub use rollout::Rolling;
