//! The zone the tests share, and what happens when it is replaced.

use std::collections::BTreeMap;

use hoist_netfabric::dns::{Instance, Network, Record, Zone};

use crate::bed::{Bed, can_run, ip};

pub(crate) fn record(addresses: &[&str], rotate: bool) -> Record {
    Record { addresses: addresses.iter().map(|a| ip(a)).collect(), rotate }
}

/// `web` is on both networks and leads to itself; `db` is on back only.
pub(crate) fn zone() -> Zone {
    let many: Vec<String> = (1..=60).map(|n| format!("10.9.1.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let names =
        |names: &[(&str, Record)]| names.iter().map(|(name, r)| ((*name).to_owned(), r.clone())).collect();
    let front = Network {
        subnets: vec!["10.1.0.0/24".parse().unwrap()],
        names: names(&[
            ("web", record(&["10.9.0.1"], false)),
            ("web-1", record(&["10.1.0.2", "fd00:1::2"], false)),
            ("api.front", record(&["10.9.0.2"], false)),
            ("many", record(&many, false)),
            ("turns", record(&["10.9.0.4", "10.9.0.5"], true)),
        ]),
        reverse: BTreeMap::from([(ip("10.1.0.2"), "web-1.front".to_owned())]),
    };
    let back = Network {
        subnets: vec!["10.2.0.0/24".parse().unwrap()],
        names: names(&[("db", record(&["10.9.0.3"], false)), ("db-1", record(&["10.2.0.3"], false))]),
        reverse: BTreeMap::new(),
    };
    let web = Instance {
        addresses: vec![ip("10.1.0.2"), ip("fd00:1::2")],
        networks: vec!["front".to_owned(), "back".to_owned()],
        own: BTreeMap::from([("web".to_owned(), vec![ip("10.1.0.2")])]),
        domains: vec!["front".to_owned()],
        ..Instance::default()
    };
    let db = Instance {
        addresses: vec![ip("10.2.0.3")],
        networks: vec!["back".to_owned()],
        ..Instance::default()
    };
    // The host, as what a looping resolver asks from.
    let host = Instance {
        addresses: vec![ip("10.255.0.1")],
        networks: vec!["front".to_owned()],
        ..Instance::default()
    };
    let mut zone = Zone::new(1);
    zone.listen = vec![ip("10.1.0.1"), ip("10.2.0.1")];
    zone.networks = BTreeMap::from([("front".to_owned(), front), ("back".to_owned(), back)]);
    zone.instances = vec![web, db, host];
    zone
}

#[test]
fn a_zone_in_place_before_the_question_answers_it() {
    if !can_run("a_zone_in_place_before_the_question_answers_it") {
        return;
    }
    let mut zone = zone();
    let bed = Bed::new(&zone);
    let _server = bed.serve();
    let asker = bed.web.udp();
    for round in 0..=250_u8 {
        let fresh = format!("10.9.7.{round}");
        zone.networks.get_mut("front").unwrap().names.insert("flip".to_owned(), record(&[&fresh], false));
        zone.generation += 1;
        bed.write_zone(&zone);
        let reply = crate::load::ask(&asker, u16::from(round), "flip.").unwrap();
        assert_eq!(reply.answers[0].data.ip_addr(), Some(ip(&fresh)));
    }
}

#[test]
fn a_broken_zone_is_reported_and_changes_nothing() {
    if !can_run("a_broken_zone_is_reported_and_changes_nothing") {
        return;
    }
    let bed = Bed::new(&zone());
    let server = bed.serve();
    std::fs::write(bed.zone_path(), "{ \"format\": 1,").unwrap();
    server.wait_for_notice("ZoneRejected");
    assert_eq!(bed.web.dig("@10.1.0.1 db +short"), "10.9.0.3");
}

#[test]
fn questions_wait_until_there_is_a_zone() {
    if !can_run("questions_wait_until_there_is_a_zone") {
        return;
    }
    let bed = Bed::new(&zone());
    std::fs::remove_file(bed.zone_path()).unwrap();
    let server = bed.spawn();
    server.wait_for_notice("ZoneRejected");
    let asker = bed.web.udp();
    crate::load::send(&asker, 7, "db.");
    bed.write_zone(&zone());
    assert_eq!(crate::load::receive(&asker).unwrap().answers[0].data.ip_addr(), Some(ip("10.9.0.3")));
}
