//! Real software end to end: a request from outside goes through nginx and the service to postgres and redis and comes
//! back; the database's rows outlive the stack.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoist_tests::command::wait_for_outcome;
use hoist_tests::{Host, LATER, SOON, images};
use serde_json::{Value, json};

const URL: &str = "http://192.0.2.1:8097/orders";

/// Orders something from outside; what the shop then has.
fn order(host: &Host, what: &str) -> Value {
    let ask = || host.outside(&["curl", "-sS", "--fail", "--max-time", "10", "-d", what, URL]);
    let answer = wait_for_outcome("the shop takes an order", SOON, ask, |answer| answer.code == 0);
    serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[test]
fn a_request_goes_through_all_of_it_and_rows_stay() {
    let Some(host) = Host::with(&["mmdebstrap", "gzip"]) else { return };
    let shop = host.stack("real-stack");
    let mut load = shop.command(&["load", "-i"]);
    load.arg(images::shop());
    let loaded = host.run_for(load, LATER).success();
    assert!(loaded.stdout.contains("hoist-test/shop:1"), "{loaded}");

    let up = shop.up(&["--wait"]);
    let told = |what: &str| up.stderr.lines().position(|line| line.starts_with(what));
    let (database, service) = (told("database-1 healthy"), told("service-"));
    assert!(database.is_some() && database < service, "the service waits for the database: {up}");
    let first = order(&host, "tea");
    assert_eq!(first["orders"], json!(["tea"]));
    assert_eq!(first["counted"], 1);
    assert_eq!(first["asker"], "192.0.2.2", "the asker's own address gets as far as the service");
    let mut by = std::collections::BTreeSet::new();
    hoist_tests::eventually("both replicas answer", SOON, || {
        let answer = host.outside(&["curl", "-sS", "--fail", URL]).success();
        let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
        by.insert(answer["by"].as_str().unwrap().to_owned());
        by.len() == 2
    });
    let ping = shop.hoist(&["exec", "-T", "cache", "redis-cli", "get", "orders"]).success();
    assert_eq!(ping.text(), "1");

    shop.hoist(&["down"]).ok();
    let gone = host.get_from_outside(8097, "/orders");
    assert_ne!(gone.code, 0, "{gone}");
    shop.up(&["--wait"]).ok();
    let second = order(&host, "milk");
    assert_eq!(second["orders"], json!(["tea", "milk"]), "postgres has kept its rows");
    assert_eq!(second["counted"], 1, "redis, which has no volume, has not");
    shop.down().ok();
}
