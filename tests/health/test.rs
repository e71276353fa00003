//! Health checks end to end: who gets traffic, when probes run, what they leave, and what people are told of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probes;
mod traffic;
mod wait;
