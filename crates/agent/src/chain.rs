//! An error with its sources, in one line.

pub(crate) use hoist_model::chain;
