//! The disk that all state of the root lies on, as far as it may be full.

use async_trait::async_trait;
use hoist_wire::ApiError;

/// Says whether there is room, and has some in reserve for what must be possible without: to stop, to take down, to
/// prune.
#[async_trait]
pub trait Disk: Send + Sync {
    /// A write found no room: gives a piece of the reserve back to the disk. False: nothing is left of it.
    fn give(&self) -> bool;

    /// Why nothing that needs room may begin, when the disk is full.
    fn full(&self) -> Option<ApiError>;

    /// Resolves once writes wait for room and the reserve is used up.
    async fn exhausted(&self) -> ApiError;
}
