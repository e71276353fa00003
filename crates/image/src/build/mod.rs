//! Builds from Dockerfiles. So far: which files of a context count.

mod ignore;

pub use ignore::{Ignore, IgnoreError};
