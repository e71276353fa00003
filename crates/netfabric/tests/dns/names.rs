//! What askers are told, as their own tools see it.

use hoist_netfabric::dns::ResolvConf;

use crate::bed::{Bed, can_run, ip};
use crate::zones::zone;

#[test]
fn each_instance_sees_its_networks() {
    if !can_run("each_instance_sees_its_networks") {
        return;
    }
    let bed = Bed::new(&zone());
    let _server = bed.serve();
    assert_eq!(bed.web.dig("@10.1.0.1 db +short"), "10.9.0.3");
    assert_eq!(bed.web.dig("@10.1.0.1 WEB. +short"), "10.1.0.2", "its own service is itself");
    assert_eq!(bed.web.dig("@10.1.0.1 api.front +short +tcp"), "10.9.0.2");
    assert_eq!(bed.web.dig("@fd00:1::1 web-1 AAAA +short"), "fd00:1::2");
    assert_eq!(bed.web.dig("@10.1.0.1 -x 10.1.0.2 +short"), "web-1.front.");
    assert_eq!(bed.db.dig("@10.2.0.1 db-1 +short"), "10.2.0.3");
    assert!(bed.db.dig("@10.2.0.1 web-1").contains("status: NXDOMAIN"));
    assert!(bed.stranger.dig("@10.1.0.1 web").contains("status: REFUSED"));
}

#[test]
fn a_name_without_that_family_exists() {
    if !can_run("a_name_without_that_family_exists") {
        return;
    }
    let bed = Bed::new(&zone());
    let _server = bed.serve();
    let answer = bed.web.dig("@10.1.0.1 db AAAA");
    assert!(answer.contains("status: NOERROR") && answer.contains("ANSWER: 0"), "{answer}");
    assert!(answer.contains("flags: qr aa rd ra;"), "{answer}");
    let missing = bed.web.dig("@10.1.0.1 nosuch.front");
    assert!(missing.contains("status: NXDOMAIN"), "{missing}");
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    if !can_run("an_answer_leaves_from_the_address_that_was_asked") {
        return;
    }
    let bed = Bed::new(&zone());
    let _server = bed.serve();
    // The other network's gateway: the route back alone would choose the near one's address, and dig
    // would say "reply from unexpected source".
    assert_eq!(bed.web.dig("@10.2.0.1 db +short +notcp"), "10.9.0.3");
    assert_eq!(bed.web.dig("@10.2.0.1 db +short +tcp"), "10.9.0.3");
}

#[test]
fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    if !can_run("a_long_answer_is_cut_over_udp_and_whole_over_tcp") {
        return;
    }
    let bed = Bed::new(&zone());
    let _server = bed.serve();
    let cut = bed.web.dig("@10.1.0.1 many +noedns +ignore");
    assert!(cut.contains("flags: qr aa tc rd ra; QUERY: 1, ANSWER: 30,"), "{cut}");
    assert_eq!(bed.web.dig("@10.1.0.1 many +noedns +short").lines().count(), 60);
    assert_eq!(bed.web.dig("@10.1.0.1 many +bufsize=4096 +notcp +ignore +short").lines().count(), 60);
}

#[test]
fn a_rotated_name_starts_with_each_address_in_turn() {
    if !can_run("a_rotated_name_starts_with_each_address_in_turn") {
        return;
    }
    let bed = Bed::new(&zone());
    let _server = bed.serve();
    let asker = bed.web.udp();
    let firsts: Vec<_> = (0..6)
        .map(|id| {
            // The other family between them, as resolvers ask: it must not take the turn.
            crate::load::ask_for(&asker, 100 + id, "turns.", hickory_proto::rr::RecordType::AAAA).unwrap();
            crate::load::ask(&asker, id, "turns.").unwrap().answers[0].data.ip_addr().unwrap()
        })
        .collect();
    assert_eq!(firsts.iter().filter(|address| **address == ip("10.9.0.4")).count(), 3);
    assert!(firsts.windows(2).all(|pair| pair[0] != pair[1]), "{firsts:?}");
}

#[test]
fn the_resolvers_of_glibc_and_busybox_are_content() {
    if !can_run("the_resolvers_of_glibc_and_busybox_are_content") {
        return;
    }
    let bed = Bed::new(&zone());
    let _stub = crate::stub::Stub::start(&bed.host, "127.0.0.53");
    bed.write_resolv_conf(&["127.0.0.53"]);
    let _server = bed.serve();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("resolv.conf");
    let search = ["corp.example".to_owned()];
    std::fs::write(&file, ResolvConf::for_instance(&[ip("10.1.0.1")], &search, &[]).to_string()).unwrap();
    let with_file = |command: &str| {
        let script = format!("mount --bind {} /etc/resolv.conf && {command}", file.display());
        bed.web.output("unshare", &["--mount", "sh", "-c", &script])
    };
    let addresses = with_file("getent ahosts web-1");
    assert!(addresses.contains("10.1.0.2") && addresses.contains("fd00:1::2"), "{addresses}");
    assert!(with_file("getent hosts 10.1.0.2").contains("web-1.front"));
    assert_eq!(with_file("getent hosts nosuch"), "");
    // With a dot at the end: where there is a search domain, this nslookup tries nothing else.
    let looked_up = with_file("busybox nslookup db.");
    assert!(looked_up.contains("Address: 10.9.0.3") && !looked_up.contains("can't"), "{looked_up}");
}
