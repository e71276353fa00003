use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::dns::{Network, Zone};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn record(addresses: &[&str]) -> Record {
    Record { addresses: addresses.iter().map(|a| ip(a)).collect(), rotate: false }
}

fn network(subnet: &str, names: &[(&str, &[&str])], reverse: &[(&str, &str)]) -> Network {
    Network {
        subnets: vec![subnet.parse().unwrap()],
        names: names.iter().map(|(name, addresses)| ((*name).to_owned(), record(addresses))).collect(),
        reverse: reverse.iter().map(|(address, name)| (ip(address), (*name).to_owned())).collect(),
    }
}

/// Two networks; `web` is on both, `db` on the back one only, `lone` on an internal one.
fn table() -> Table {
    let front = network(
        "10.1.0.0/24",
        &[("web", &["10.9.0.1"]), ("Web-1.", &["10.1.0.2"]), ("cache", &["10.9.0.7", "fd00:9::7"])],
        &[("10.1.0.2", "web-1.front")],
    );
    let back = network(
        "10.2.0.0/24",
        &[("web", &["10.9.0.2"]), ("db", &["10.9.0.3"]), ("v6only", &["fd00:2::5"])],
        &[("10.2.0.3", "db-1.back")],
    );
    let instance = |addresses: &[&str], networks: &[&str]| Instance {
        addresses: addresses.iter().map(|a| ip(a)).collect(),
        networks: networks.iter().map(|id| (*id).to_owned()).collect(),
        domains: vec!["shop.internal".to_owned()],
        ..Instance::default()
    };
    let mut web = instance(&["10.1.0.2", "10.2.0.2"], &["back", "front"]);
    web.own = BTreeMap::from([("web".to_owned(), vec![ip("10.1.0.2")])]);
    let mut lone = instance(&["10.3.0.2"], &["dark"]);
    lone.upstream = Upstream::Nobody;
    let mut zone = Zone::new(1);
    zone.networks = BTreeMap::from([
        ("front".to_owned(), front),
        ("back".to_owned(), back),
        ("dark".to_owned(), Network::default()),
    ]);
    zone.instances = vec![web, instance(&["10.1.0.9"], &["front"]), lone];
    zone.instances.push(instance(&["10.1.0.8"], &["front", "back"]));
    Table::new(zone).unwrap()
}

const WEB: &str = "10.1.0.2";
const FRONT: &str = "10.1.0.9";
const BOTH: &str = "10.1.0.8";
const LONE: &str = "10.3.0.2";

fn answer_of(source: &str, name: &str, kind: Kind) -> String {
    let table = table();
    match resolve(&table, ip(source), &Question::new(name, kind)) {
        Answer::Addresses { addresses, .. } => {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
        Answer::Pointer(name) => name.to_owned(),
        Answer::NoSuchName(_) => "no such name".to_owned(),
        Answer::Refused(_) => "refused".to_owned(),
        Answer::Forward(_) => "forward".to_owned(),
    }
}

#[test]
fn an_instance_sees_the_names_of_its_networks_only() {
    assert_eq!(answer_of(FRONT, "web", Kind::A), "10.9.0.1");
    assert_eq!(answer_of(FRONT, "db", Kind::A), "no such name");
    assert_eq!(answer_of(WEB, "db", Kind::A), "10.9.0.3");
}

#[test]
fn a_name_in_several_networks_gets_all_answers_in_the_order_of_attachment() {
    assert_eq!(answer_of(BOTH, "web", Kind::A), "10.9.0.1 10.9.0.2");
}

#[test]
fn its_own_name_leads_to_itself() {
    assert_eq!(answer_of(WEB, "web", Kind::A), "10.1.0.2");
    assert_eq!(answer_of(WEB, "web", Kind::Aaaa), "", "its own list is the whole answer");
}

#[test]
fn case_and_the_dot_at_the_end_do_not_matter() {
    assert_eq!(answer_of(FRONT, "WEB-1", Kind::A), "10.1.0.2");
    assert_eq!(answer_of(FRONT, "web-1.", Kind::A), "10.1.0.2");
}

#[test]
fn a_known_name_is_known_for_every_type() {
    assert_eq!(answer_of(FRONT, "web", Kind::Aaaa), "");
    assert_eq!(answer_of(WEB, "v6only", Kind::A), "");
    assert_eq!(answer_of(FRONT, "web", Kind::Other), "");
    assert_eq!(answer_of(FRONT, "web", Kind::Delegation), "");
    assert_eq!(answer_of(FRONT, "cache", Kind::Any), "10.9.0.7 fd00:9::7");
}

#[test]
fn unknown_names_of_one_label_stay_here() {
    assert_eq!(answer_of(FRONT, "nosuch", Kind::A), "no such name");
    assert_eq!(answer_of(FRONT, "nosuch", Kind::Other), "no such name");
    assert_eq!(answer_of(FRONT, "com", Kind::Delegation), "forward");
    assert_eq!(answer_of(FRONT, "", Kind::Delegation), "forward");
    assert_eq!(answer_of(FRONT, "example.com", Kind::A), "forward");
}

#[test]
fn unknown_names_below_a_domain_of_the_fabric_stay_here() {
    assert_eq!(answer_of(FRONT, "nosuch.shop.internal", Kind::A), "no such name");
    assert_eq!(answer_of(FRONT, "shop.internal", Kind::Delegation), "no such name");
    assert_eq!(answer_of(FRONT, "workshop.internal", Kind::A), "forward");
}

#[test]
fn addresses_have_names_for_those_who_see_them() {
    assert_eq!(answer_of(FRONT, "2.0.1.10.in-addr.arpa", Kind::Ptr), "web-1.front");
    assert_eq!(answer_of(FRONT, "2.0.1.10.in-addr.arpa", Kind::Other), "");
    assert_eq!(answer_of(FRONT, "3.0.2.10.in-addr.arpa", Kind::Ptr), "no such name");
    assert_eq!(answer_of(FRONT, "77.0.1.10.in-addr.arpa", Kind::Ptr), "no such name");
    assert_eq!(answer_of(FRONT, "8.8.8.8.in-addr.arpa", Kind::Ptr), "forward");
    assert_eq!(answer_of(FRONT, "0.1.10.in-addr.arpa", Kind::Ptr), "forward");
}

#[test]
fn localhost_is_the_asker() {
    assert_eq!(answer_of(FRONT, "localhost", Kind::A), "127.0.0.1");
    assert_eq!(answer_of(FRONT, "app.localhost", Kind::Aaaa), "::1");
}

#[test]
fn strangers_and_the_isolated_are_refused() {
    assert_eq!(answer_of("192.0.2.1", "web", Kind::A), "refused");
    assert_eq!(answer_of(LONE, "example.com", Kind::A), "refused");
    assert_eq!(answer_of(LONE, "web", Kind::A), "no such name");
}

#[test]
fn an_ipv4_source_seen_through_an_ipv6_socket_is_the_same_asker() {
    assert_eq!(answer_of("::ffff:10.1.0.9", "web", Kind::A), "10.9.0.1");
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|b| IpAddr::V4(b.into())),
        any::<u128>().prop_map(|b| IpAddr::V6(b.into()))
    ]
}

fn any_network() -> impl Strategy<Value = Network> {
    let record = (proptest::collection::vec(any_address(), 0..4), any::<bool>())
        .prop_map(|(addresses, rotate)| Record { addresses, rotate });
    proptest::collection::btree_map("[a-d]{1,2}(\\.[x-z])?", record, 0..8)
        .prop_map(|names| Network { names, ..Network::default() })
}

proptest! {
    #[test]
    fn what_is_told_is_the_union_of_what_the_askers_networks_say(
        networks in proptest::collection::btree_map("[n-p]", any_network(), 1..4),
        attached in proptest::sample::subsequence(vec!["n", "o", "p"], 0..=3),
        name in "[a-d]{1,2}(\\.[x-z])?",
        source in any_address(),
    ) {
        let attached: Vec<String> =
            attached.into_iter().filter(|id| networks.contains_key(*id)).map(str::to_owned).collect();
        let expected: Vec<IpAddr> = attached
            .iter()
            .filter_map(|id| networks[id].names.get(&name))
            .flat_map(|record| record.addresses.clone())
            .collect();
        let known = attached.iter().any(|id| networks[id].names.contains_key(&name));
        let mut zone = Zone::new(1);
        zone.networks = networks;
        zone.instances =
            vec![Instance { addresses: vec![source.to_canonical()], networks: attached, ..Instance::default() }];
        let table = Table::new(zone).unwrap();
        let told = |kind| match resolve(&table, source, &Question::new(&name, kind)) {
            Answer::Addresses { addresses, .. } => Some(addresses),
            _ => None,
        };
        prop_assert_eq!(told(Kind::Any).is_some(), known);
        if known {
            let (any, v4, v6) = (told(Kind::Any).unwrap(), told(Kind::A).unwrap(), told(Kind::Aaaa).unwrap());
            prop_assert!(v4.iter().all(IpAddr::is_ipv4) && v6.iter().all(IpAddr::is_ipv6));
            prop_assert_eq!(v4.len() + v6.len(), any.len());
            prop_assert!(expected.iter().all(|address| any.contains(address)));
            prop_assert!(any.iter().all(|address| expected.contains(address)));
            prop_assert_eq!(any.first(), expected.first());
        }
    }

    #[test]
    fn a_reverse_name_leads_back_to_its_address(address in any_address()) {
        let name = match address {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(v6) => {
                let digits = format!("{:032x}", u128::from(v6));
                let labels: Vec<String> = digits.chars().rev().map(String::from).collect();
                format!("{}.ip6.arpa", labels.join("."))
            }
        };
        prop_assert_eq!(address_of_reverse_name(&name), Some(address));
    }

    #[test]
    fn any_text_is_a_name_one_can_ask_for(name in "\\PC{0,40}", reverse in "[0-9a-f.+]{0,70}(\\.in-addr|\\.ip6)\\.arpa") {
        for name in [name, reverse] {
            resolve(&table(), ip(FRONT), &Question::new(&name, Kind::Ptr));
        }
    }
}
