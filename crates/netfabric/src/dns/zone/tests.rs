use expect_test::expect;
use hoist_goldens::Golden;

use super::*;

fn refusal(text: &str) -> String {
    Table::parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn what_was_written_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zone.json");
    let mut zone = Zone::new(3);
    zone.listen.push("10.1.0.1".parse().unwrap());
    let record = Record { addresses: vec!["10.9.0.1".parse().unwrap()], rotate: true };
    let network = Network {
        subnets: vec!["10.1.0.0/24".parse().unwrap(), "fd00:1::/64".parse().unwrap()],
        names: BTreeMap::from([("web".to_owned(), record)]),
        reverse: BTreeMap::from([("10.1.0.2".parse().unwrap(), "web-1".to_owned())]),
    };
    zone.networks.insert("front".to_owned(), network);
    zone.instances.push(Instance {
        addresses: vec!["10.1.0.2".parse().unwrap(), "fd00:1::2".parse().unwrap()],
        networks: vec!["front".to_owned()],
        own: BTreeMap::from([("web".to_owned(), vec!["10.1.0.2".parse().unwrap()])]),
        domains: vec!["shop.internal".to_owned()],
        upstream: Upstream::Servers(vec!["192.0.2.53".parse().unwrap()]),
    });
    zone.write(&path).unwrap();
    assert_eq!(Table::read(&path).unwrap().zone(), &zone);
    let golden = Golden::new(env!("CARGO_MANIFEST_DIR"), "v1/zone.json");
    golden.is_written_for(&zone);
    golden.reads_as(&zone);
    golden.bends_as_ever::<Zone>();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn names_that_differ_in_case_only_are_one() {
    let table = Table::parse(
        br#"{"format": 1, "generation": 1, "networks": {"n": {"names": {
            "Web": {"addresses": ["10.0.0.1"]}, "web.": {"addresses": ["10.0.0.2"], "rotate": true}}}}}"#,
    )
    .unwrap();
    let names = &table.zone().networks["n"].names;
    assert_eq!(names.keys().collect::<Vec<_>>(), ["web"]);
    assert_eq!((names["web"].addresses.len(), names["web"].rotate), (2, true));
}

#[test]
fn a_zone_that_contradicts_itself_is_refused() {
    expect!["the zone file is not valid"].assert_eq(&refusal("{"));
    expect!["the zone file has format 2, this build reads 1"]
        .assert_eq(&refusal(r#"{"format": 2, "generation": 1, "unheard": []}"#));
    expect!["the zone file has format 0, this build reads 1"]
        .assert_eq(&refusal(r#"{"format": 0, "generation": 1}"#));
    expect![[r#"instance 10.0.0.2 is attached to network "front", which the zone does not have"#]]
        .assert_eq(&refusal(r#"{"format": 1, "generation": 1, "instances": [{"addresses": ["10.0.0.2"], "networks": ["front"]}]}"#));
    let twice = r#"{"addresses": ["10.0.0.2"], "networks": []}"#;
    expect!["address 10.0.0.2 belongs to two instances"].assert_eq(&refusal(&format!(
        r#"{{"format": 1, "generation": 1, "instances": [{twice}, {twice}]}}"#
    )));
}
