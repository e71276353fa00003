//! The fabric on the real kernel: each test in a network and mount namespace of its own that stands
//! for a host, with another that stands for the world outside. Needs root.

#![allow(clippy::unwrap_used, reason = "a test says where it failed by panicking there")]

mod flips;
mod foreign;
mod frames;
mod harness;
mod holding;
mod isolation;
mod lifecycle;
mod load;
mod mending;
mod ports;
mod scale;
mod services;
mod sockets;
mod sources;
mod speed;
