//! Published ports.
use crate::harness::ready;
#[test]
fn x() {
    if !ready("x", &["ip"]) {}
}
