//! The name server on real sockets, in throw-away namespaces, judged by `dig`, glibc and busybox.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod bed;
mod stub;

mod forwarding;
mod load;
mod names;
mod streams;
mod zones;

#[test]
fn serve_when_asked() {
    bed::serve_if_asked();
}
