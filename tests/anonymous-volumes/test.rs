//! Anonymous volumes: kept from one instance of a place to the next, unless a person says otherwise; gone with the stack.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoist_tests::Host;

#[test]
fn what_is_in_them_goes_to_the_next_instance() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("anonymous-volumes");
    stack.up(&[]).ok();
    stack.with("WHO", "two").up(&[]).ok();
    let log = || stack.hoist(&["exec", "-T", "db", "cat", "/data/log"]).success().stdout;
    assert_eq!(log(), "one\ntwo\n");
    assert_eq!(stack.ps().len(), 1);
    stack.with("WHO", "three").up(&["-V", "-y"]).ok();
    assert_eq!(log(), "three\n");
    stack.with("WHO", "four").up(&["--force-recreate"]).ok();
    assert_eq!(log(), "three\nfour\n");
    stack.down().ok();
    stack.up(&[]).ok();
    assert_eq!(log(), "one\n");
    stack.down().ok();
}
