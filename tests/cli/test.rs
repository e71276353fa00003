//! Every command as a person uses it: what it prints, what it does, how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent_logs;
mod attached;
mod exec;
mod gates;
mod lifecycle;
mod logs;
mod names;
mod output;
mod ranges;
mod reach;
mod sources;
mod streams;
mod terminal;
