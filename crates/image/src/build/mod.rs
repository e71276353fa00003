//! Builds from Dockerfiles: which files of a context count, and what a build is.

pub mod graph;
mod ignore;

pub use ignore::{Ignore, IgnoreError};
