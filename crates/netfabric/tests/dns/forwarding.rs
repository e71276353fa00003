//! Names the fabric does not have.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use hoist_netfabric::dns::Upstream;

use crate::bed::{Bed, can_run, ip};
use crate::stub::Stub;
use crate::zones::zone;

#[test]
fn other_names_are_asked_of_the_hosts_resolvers() {
    if !can_run("other_names_are_asked_of_the_hosts_resolvers") {
        return;
    }
    let bed = Bed::new(&zone());
    let _stub = Stub::start(&bed.host, "127.0.0.53");
    bed.write_resolv_conf(&["127.0.0.53"]);
    let _server = bed.serve();
    assert_eq!(bed.web.dig("@10.1.0.1 eXample.com +short"), "192.0.2.10");
    assert_eq!(bed.web.dig("@10.1.0.1 example.com +short +tcp"), "192.0.2.10");
    assert!(bed.web.dig("@10.1.0.1 eXample.com").contains(";eXample.com."), "the question as asked");
    assert!(bed.web.dig("@10.1.0.1 example.com +norecurse").contains("status: REFUSED"));
    // Longer than UDP takes: cut by the resolver, told to the asker, asked again over TCP.
    let long = bed.web.dig("@10.1.0.1 long.example.com TXT");
    assert!(long.contains("ANSWER: 1") && long.contains("(TCP)"), "{long}");
}

#[test]
fn bare_names_and_names_of_the_fabric_are_not() {
    if !can_run("bare_names_and_names_of_the_fabric_are_not") {
        return;
    }
    let bed = Bed::new(&zone());
    let stub = Stub::start(&bed.host, "127.0.0.53");
    bed.write_resolv_conf(&["127.0.0.53"]);
    let _server = bed.serve();
    assert!(bed.web.dig("@10.1.0.1 nosuch").contains("status: NXDOMAIN"));
    assert!(bed.web.dig("@10.1.0.1 nosuch.front").contains("status: NXDOMAIN"));
    assert!(bed.web.dig("@10.1.0.1 -x 10.2.0.77").contains("status: NXDOMAIN"));
    assert!(bed.web.dig("@10.1.0.1 com NS").contains("status: NOERROR"));
    let asked = ["nosuch.", "nosuch.front.", "77.0.2.10.in-addr.arpa.", "com."].map(|n| stub.times_asked(n));
    assert_eq!(asked, [0, 0, 0, 1]);
}

#[test]
fn a_resolver_that_is_silent_or_gone_costs_one_time_out_in_all() {
    if !can_run("a_resolver_that_is_silent_or_gone_costs_one_time_out_in_all") {
        return;
    }
    let bed = Bed::new(&zone());
    let _stub = Stub::start(&bed.host, "127.0.0.53");
    let _silent = bed.host.inside(|| UdpSocket::bind("127.0.0.54:53").unwrap());
    // Nobody is on .55, which the kernel says at once.
    bed.write_resolv_conf(&["127.0.0.55", "127.0.0.54", "127.0.0.53"]);
    let _server = bed.serve();
    let started = Instant::now();
    assert_eq!(bed.web.dig("@10.1.0.1 one.example.com +short +tries=1 +time=9"), "192.0.2.10");
    let first = started.elapsed();
    assert!(first >= Duration::from_secs(2), "{first:?}: the silent one was asked");
    assert_eq!(bed.web.dig("@10.1.0.1 two.example.com +short +tries=1 +time=1"), "192.0.2.10");
}

#[test]
fn when_no_resolver_knows_it_is_a_failure() {
    if !can_run("when_no_resolver_knows_it_is_a_failure") {
        return;
    }
    let bed = Bed::new(&zone());
    let stub = Stub::start(&bed.host, "127.0.0.53");
    let other = Stub::start(&bed.host, "127.0.0.52");
    bed.write_resolv_conf(&["127.0.0.53", "127.0.0.52"]);
    let _server = bed.serve();
    assert!(bed.web.dig("@10.1.0.1 fail.example.com +tries=1").contains("status: SERVFAIL"));
    assert_eq!((stub.times_asked("fail.example.com."), other.times_asked("fail.example.com.")), (1, 1));
    assert!(bed.web.dig("@10.1.0.1 mute.example.com +tries=1 +time=9").contains("status: SERVFAIL"));
}

#[test]
fn an_instance_may_have_resolvers_of_its_own_or_none() {
    if !can_run("an_instance_may_have_resolvers_of_its_own_or_none") {
        return;
    }
    let mut zone = zone();
    zone.instances[0].upstream = Upstream::Servers(vec![ip("127.0.0.52")]);
    zone.instances[1].upstream = Upstream::Nobody;
    let bed = Bed::new(&zone);
    let hosts = Stub::start(&bed.host, "127.0.0.53");
    let own = Stub::start(&bed.host, "127.0.0.52");
    bed.write_resolv_conf(&["127.0.0.53"]);
    let _server = bed.serve();
    assert_eq!(bed.web.dig("@10.1.0.1 example.com +short"), "192.0.2.10");
    assert!(bed.db.dig("@10.2.0.1 example.com").contains("status: REFUSED"));
    assert_eq!((hosts.times_asked("example.com."), own.times_asked("example.com.")), (0, 1));
}

#[test]
fn a_question_that_comes_back_ends() {
    if !can_run("a_question_that_comes_back_ends") {
        return;
    }
    let bed = Bed::new(&zone());
    let stub = Stub::start(&bed.host, "127.0.0.53");
    bed.write_resolv_conf(&["127.0.0.53"]);
    let _server = bed.serve();
    let answer = bed.web.dig("@10.1.0.1 loop.example.com +tries=1 +time=9");
    assert!(answer.contains("status: SERVFAIL"), "{answer}");
    assert_eq!(stub.times_asked("loop.example.com."), 1);
}

#[test]
fn a_server_on_a_network_of_the_askers_is_asked_from_inside_and_no_other() {
    if !can_run("a_server_on_a_network_of_the_askers_is_asked_from_inside_and_no_other") {
        return;
    }
    let mut zone = zone();
    for instance in &mut zone.instances {
        instance.upstream = Upstream::Servers(vec![ip("10.2.0.3")]);
    }
    let bed = Bed::new(&zone);
    // The host has no way to this network, as to an internal one.
    let stub = Stub::start(&bed.db, "10.2.0.3");
    let server = bed.serve();
    assert_eq!(bed.web.dig("@10.1.0.1 one.example.com +short"), "192.0.2.10");
    assert_eq!(bed.web.dig("@10.1.0.1 two.example.com +short +tcp"), "192.0.2.10");
    zone.instances[0].networks.retain(|network| network == "front");
    zone.generation += 1;
    bed.write_zone(&zone);
    server.wait_for_notice("ZoneLoaded");
    let elsewhere = bed.web.dig("@10.1.0.1 three.example.com +tries=1 +time=9");
    assert!(elsewhere.contains("status: SERVFAIL"), "{elsewhere}");
    assert_eq!(stub.times_asked("three.example.com."), 0);
}
