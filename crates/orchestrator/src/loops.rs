//! What goes on for as long as the process.

/// What goes on for as long as the process: one that ends with an error, or panics, must end the process, so that
/// another starts in its place. One that ends otherwise has nothing left to do.
pub type Loops = tokio::task::JoinSet<Result<(), Box<dyn std::error::Error + Send + Sync>>>;
