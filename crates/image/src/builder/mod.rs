//! Builds from Dockerfiles: which files of a context count, what a build is, and how it is performed.

mod cache;
pub mod context;
pub mod dockerfile;
pub mod exchange;
pub mod execute;
pub mod graph;
mod ignore;
pub mod plan;

pub(crate) use cache::StepLocks;
pub use cache::{Content, Kept};
pub use ignore::{Ignore, IgnoreError};
