//! The generated messages of `proto/hoist/v1`, and documents in their envelope.

#![allow(
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    reason = "generated"
)]

tonic::include_proto!("hoist.v1");
