//! What goes on for as long as the agent's process.

use tokio::task::JoinSet;

/// Why a loop ended.
pub(crate) type LoopError = Box<dyn std::error::Error + Send + Sync>;

/// The loops of a process. One that ends with an error, or panics, must end the process, so that another starts in its
/// place; one that ends otherwise has nothing left to do.
pub type Loops = JoinSet<Result<(), LoopError>>;

/// A loop that has no error of its own.
pub(crate) async fn without_error(work: impl Future<Output = ()>) -> Result<(), LoopError> {
    work.await;
    Ok(())
}
