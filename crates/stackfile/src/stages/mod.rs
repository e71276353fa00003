//! The stages a stack file passes, in order: parse (`yaml`), reset tags, interpolate, include, extends, merge,
//! check against the table, expand short forms, defaults, rules between values, resolve paths and environment,
//! normalise, decode, consistency.

pub mod check;
pub mod consistency;
pub mod cycle;
pub mod decode;
pub mod defaults;
pub mod environment;
pub mod expand;
pub mod extends;
pub mod include;
pub mod interpolate;
pub mod merge;
pub mod normalize;
pub mod paths;
pub mod prune;
pub mod reset;
mod take_in;
pub mod unique;
pub mod values;
