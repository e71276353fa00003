//! Plans as text, and what holds for every plan.

use std::net::IpAddr;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::plan;
use crate::guard::Guard;
use crate::observed::{ForeignChain, LinkObserved, Observed, RuleObserved};
use crate::op::Op;
use crate::spec::{
    FabricConfig, FabricSpec, LinkName, Network, NetworkId, Protocol, PublishedPort, Range, ServiceAddress,
    Tag,
};

fn config() -> FabricConfig {
    FabricConfig {
        netns_path: "/run/hoist/netns".into(),
        tag: Tag::new("t").unwrap(),
        uplink4: "10.213.0.0/30".parse().unwrap(),
        uplink6: None,
        services4: "10.214.0.0/16".parse().unwrap(),
        services6: None,
        mtu: 1500,
    }
}

fn network(number: u8) -> (NetworkId, Network) {
    let range = Range {
        subnet: format!("10.1.{number}.0/24").parse().unwrap(),
        gateway: format!("10.1.{number}.1").parse().unwrap(),
        services: Some(format!("10.214.{number}.0/24").parse().unwrap()),
    };
    let bridge = LinkName::new(format!("br-{number}")).unwrap();
    let internal = number == 3;
    let network = Network {
        bridge,
        further: Vec::new(),
        ranges: vec![range],
        internal,
        mtu: 1500,
        icc: true,
        source_check: true,
    };
    (NetworkId::new(format!("net-{number}")), network)
}

fn service(network: u8, number: u8, backends: &[u8]) -> ServiceAddress {
    ServiceAddress {
        network: NetworkId::new(format!("net-{network}")),
        addresses: vec![IpAddr::from([10, 214, network, number])],
        backends: backends.iter().map(|last| IpAddr::from([10, 1, network, *last])).collect(),
        held: false,
    }
}

fn port(host_port: u16, protocol: Protocol, target: &str) -> PublishedPort {
    PublishedPort { host_ip: None, host_port, protocol, targets: vec![target.parse().unwrap()] }
}

fn spec() -> FabricSpec {
    FabricSpec {
        networks: [network(1)].into(),
        service_addresses: vec![service(1, 1, &[2, 3])],
        ports: vec![port(8080, Protocol::Tcp, "10.214.1.1:80"), port(53, Protocol::Udp, "10.1.1.2:53")],
    }
}

/// A kernel without anything of ours.
fn bare() -> Observed {
    let mut observed = Observed::default();
    let lo = LinkObserved { bridge: false, up: false, mtu: 65536, master: None, guard: None };
    observed.fabric.links.insert("lo".to_owned(), lo);
    for key in ["net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"] {
        observed.fabric.sysctls.insert(key.to_owned(), "0".to_owned());
    }
    observed.host.sysctls.insert("net/ipv4/ip_forward".to_owned(), "0".to_owned());
    observed.fabric.policy = crate::wanted::policy(&observed);
    observed
}

fn after(ops: &[Op], mut observed: Observed) -> Observed {
    ops.iter().for_each(|op| op.project(&mut observed));
    observed
}

fn check(spec: &FabricSpec, observed: &Observed, expected: &Expect) {
    spec.check(&config()).unwrap();
    let ops = plan(&config(), spec, observed);
    let text: Vec<String> = ops.iter().map(|op| format!("{op}\n")).collect();
    expected.assert_eq(&text.concat());
}

#[test]
fn from_nothing() {
    check(
        &spec(),
        &bare(),
        &expect![[r#"
            fabric: set net/ipv4/ip_forward to 1
            host: join hoist-t to the fabric's uplink, mtu 1500
            host: set net/ipv4/conf/hoist-t/route_localnet to 1
            fabric: set uplink up, mtu 1500
            fabric: set lo up, mtu 65536
            fabric: add bridge br-1, mtu 1500
            fabric: add 10.1.1.1/24 to br-1
            fabric: add 10.213.0.2/30 to uplink
            fabric: route 0.0.0.0/0 by 10.213.0.1 on uplink
            host: add 10.213.0.1/30 to hoist-t
            host: route 10.1.1.0/24 by 10.213.0.2 on hoist-t
            host: route 10.214.0.0/16 by 10.213.0.2 on hoist-t
            fabric: replace the IPv4 table
            fabric: replace the bridge table
            fabric: pass IPv4 from br-1 to br-1
            fabric: pass IPv4 from br-1 to uplink
            fabric: pass IPv4 from uplink to br-1
            fabric: pass 10.1.1.2 to itself
            fabric: pass 10.1.1.3 to itself
            fabric: lead 10.214.1.1 to 10.1.1.2 and 10.1.1.3 instead of nobody
            host: replace the IPv4 table
            host: publish tcp *:8080 (IPv4) to 10.214.1.1:80
            host: publish udp *:53 (IPv4) to 10.1.1.2:53
            host: set net/ipv4/ip_forward to 1
        "#]],
    );
}

#[test]
fn a_flip_touches_the_service_alone() {
    let reached = after(&plan(&config(), &spec(), &bare()), bare());
    let mut wanted = spec();
    wanted.service_addresses[0].backends = vec![IpAddr::from([10, 1, 1, 4])];
    check(
        &wanted,
        &reached,
        &expect![[r#"
            fabric: no longer pass 10.1.1.2 to itself
            fabric: no longer pass 10.1.1.3 to itself
            fabric: pass 10.1.1.4 to itself
            fabric: lead 10.214.1.1 to 10.1.1.4 instead of 10.1.1.2 and 10.1.1.3
        "#]],
    );
}

#[test]
fn what_waits_is_released_once_rules_lead_it_somewhere() {
    let reached = after(&plan(&config(), &spec(), &bare()), bare());
    let mut held = spec();
    held.service_addresses[0].backends.clear();
    held.service_addresses[0].held = true;
    check(
        &held,
        &reached,
        &expect![[r#"
            fabric: join held to released
            fabric: set net/ipv4/neigh/held/mcast_solicit to 1000000
            fabric: set net/ipv4/neigh/held/unres_qlen_bytes to 16777216
            fabric: set released up, mtu 1500
            fabric: route 10.214.1.1/32 on held
            fabric: no longer pass 10.1.1.2 to itself
            fabric: no longer pass 10.1.1.3 to itself
            fabric: pass IPv4 from released to br-1
            fabric: hold connections from br-1 to 10.214.1.1
            fabric: hold connections from uplink to 10.214.1.1
            fabric: lead 10.214.1.1 to nobody instead of 10.1.1.2 and 10.1.1.3
        "#]],
    );
    let waiting = after(&plan(&config(), &held, &reached), reached);
    check(
        &spec(),
        &waiting,
        &expect![[r#"
            fabric: no longer hold connections from br-1 to 10.214.1.1
            fabric: no longer hold connections from uplink to 10.214.1.1
            fabric: pass 10.1.1.2 to itself
            fabric: pass 10.1.1.3 to itself
            fabric: lead 10.214.1.1 to 10.1.1.2 and 10.1.1.3 instead of nobody
            fabric: stop routing 10.214.1.1/32 on held
            fabric: release what waits for 10.214.1.1
        "#]],
    );
}

#[test]
fn a_port_that_leads_elsewhere_goes_before_it_comes() {
    let reached = after(&plan(&config(), &spec(), &bare()), bare());
    let mut wanted = spec();
    wanted.ports = vec![port(53, Protocol::Udp, "10.1.1.3:53")];
    check(
        &wanted,
        &reached,
        &expect![[r#"
            host: no longer publish tcp *:8080 (IPv4) to 10.214.1.1:80
            host: no longer publish udp *:53 (IPv4) to 10.1.1.2:53
            host: publish udp *:53 (IPv4) to 10.1.1.3:53
        "#]],
    );
}

#[test]
fn a_network_that_goes_takes_everything_along() {
    let reached = after(&plan(&config(), &spec(), &bare()), bare());
    check(
        &FabricSpec::default(),
        &reached,
        &expect![[r#"
            fabric: remove link br-1
            host: stop routing 10.1.1.0/24 by 10.213.0.2 on hoist-t
            fabric: no longer pass IPv4 from br-1 to br-1
            fabric: no longer pass IPv4 from br-1 to uplink
            fabric: no longer pass IPv4 from uplink to br-1
            fabric: no longer pass 10.1.1.2 to itself
            fabric: no longer pass 10.1.1.3 to itself
            fabric: lead 10.214.1.1 to nobody instead of 10.1.1.2 and 10.1.1.3
            host: no longer publish tcp *:8080 (IPv4) to 10.214.1.1:80
            host: no longer publish udp *:53 (IPv4) to 10.1.1.2:53
        "#]],
    );
}

#[test]
fn a_stale_pair_and_somebody_elses_bridge_are_replaced() {
    let mut found = after(&plan(&config(), &spec(), &bare()), bare());
    found.joined = false;
    found.fabric.links.get_mut("br-1").unwrap().bridge = false;
    found.host.tables.clear();
    found.host.entries.clear();
    found.foreign.push(ForeignChain {
        family: "ip",
        table: "filter".to_owned(),
        chain: "FORWARD".to_owned(),
        drops: true,
        ours: false,
    });
    check(
        &spec(),
        &found,
        &expect![[r#"
            fabric: remove link br-1
            host: remove link hoist-t
            fabric: remove link uplink
            host: join hoist-t to the fabric's uplink, mtu 1500
            host: set net/ipv4/conf/hoist-t/route_localnet to 1
            fabric: set uplink up, mtu 1500
            fabric: add bridge br-1, mtu 1500
            fabric: add 10.1.1.1/24 to br-1
            fabric: add 10.213.0.2/30 to uplink
            fabric: route 0.0.0.0/0 by 10.213.0.1 on uplink
            host: add 10.213.0.1/30 to hoist-t
            host: route 10.1.1.0/24 by 10.213.0.2 on hoist-t
            host: route 10.214.0.0/16 by 10.213.0.2 on hoist-t
            host: replace the IPv4 table
            host: publish tcp *:8080 (IPv4) to 10.214.1.1:80
            host: publish udp *:53 (IPv4) to 10.1.1.2:53
            host: let hoist-t pass ip filter FORWARD
        "#]],
    );
}

fn specs() -> impl Strategy<Value = FabricSpec> {
    let networks = proptest::collection::btree_set(1_u8..5, 0..4);
    let services =
        proptest::collection::btree_map((1_u8..5, 1_u8..4), proptest::collection::vec(2_u8..6, 0..3), 0..5);
    let ports = proptest::collection::btree_map((80_u16..84, any::<bool>()), 1_u8..5, 0..4);
    (networks, services, ports).prop_map(|(networks, services, ports)| FabricSpec {
        service_addresses: services
            .iter()
            .filter(|((network, _), _)| networks.contains(network))
            .map(|((network, number), backends)| service(*network, *number, backends))
            .collect(),
        ports: ports
            .iter()
            .map(|((host_port, tcp), last)| {
                let protocol = if *tcp { Protocol::Tcp } else { Protocol::Udp };
                port(*host_port, protocol, &format!("10.214.1.{last}:80"))
            })
            .collect(),
        networks: networks.iter().map(|number| network(*number)).collect(),
    })
}

proptest! {
    /// Whatever was there before, and wherever the way there ended, what is wanted is reached, and then
    /// nothing is left to do.
    #[test]
    fn every_interrupted_way_ends_where_it_should(
        first in specs(),
        second in specs(),
        stop in any::<prop::sample::Index>(),
    ) {
        let start = after(&plan(&config(), &first, &bare()), bare());
        prop_assert_eq!(plan(&config(), &first, &start), []);
        let ops = plan(&config(), &second, &start);
        let interrupted = after(&ops[..stop.index(ops.len() + 1)], start.clone());
        let resumed = after(&plan(&config(), &second, &interrupted), interrupted);
        prop_assert_eq!(plan(&config(), &second, &resumed), []);
        prop_assert_eq!(resumed, after(&ops, start));
    }

    /// At no moment is a port open to the fabric without the rules that guard it, and the host forwards
    /// only when they are there.
    #[test]
    fn nothing_is_open_before_it_is_guarded(wanted in specs()) {
        let mut observed = bare();
        for op in plan(&config(), &wanted, &observed) {
            op.project(&mut observed);
            let guarded = !observed.host.tables.is_empty() && !observed.fabric.tables.is_empty();
            let forwards = observed.host.sysctls["net/ipv4/ip_forward"] == "1";
            prop_assert!(guarded || (!forwards && observed.host.entries.is_empty()), "{}", op);
        }
    }
}

/// All as wanted, with one port on the bridge.
fn with_a_port() -> Observed {
    let mut observed = after(&plan(&config(), &spec(), &bare()), bare());
    let guard =
        Guard { mac: [2, 0x68, 10, 1, 1, 2], addresses: vec!["10.1.1.2".parse().unwrap()], prefixes: vec![] };
    let link = LinkObserved {
        bridge: false,
        up: true,
        mtu: 1500,
        master: Some("br-1".to_owned()),
        guard: Some(guard),
    };
    observed.fabric.links.insert("i1.0".to_owned(), link);
    after(&plan(&config(), &spec(), &observed), observed)
}

#[test]
fn ports_are_joined_to_a_bridge_that_was_removed() {
    let mut observed = with_a_port();
    observed.fabric.forget_link("br-1");
    check(
        &spec(),
        &observed,
        &expect![[r#"
            fabric: add bridge br-1, mtu 1500
            fabric: join i1.0 to br-1
            fabric: add 10.1.1.1/24 to br-1
            fabric: note where 10.1.1.2 is on br-1
        "#]],
    );
}

#[test]
fn a_port_of_nobody_knows_which_network_goes() {
    let mut observed = with_a_port();
    let port = observed.fabric.links.get_mut("i1.0").unwrap();
    (port.master, port.guard) = (None, None);
    let ops = plan(&config(), &spec(), &observed);
    assert!(
        ops.contains(&Op::RemoveLink { side: crate::side::Side::Fabric, name: "i1.0".to_owned() }),
        "{ops:?}"
    );
}

#[test]
fn rules_and_the_routes_of_an_address_come_back() {
    let mut observed = with_a_port();
    let main = *observed.fabric.policy.iter().find(|rule| rule.table == 254).unwrap();
    observed.fabric.policy.remove(&main);
    observed.fabric.policy.insert(RuleObserved { priority: 5, table: 7, ..main });
    observed.fabric.unrouted.insert(("br-1".to_owned(), "10.1.1.1/24".parse().unwrap()));
    observed.unpinned = true;
    check(
        &spec(),
        &observed,
        &expect![[r#"
            fabric: mount the namespace on its file
            fabric: add rule 32766: IPv4 lookup 254
            fabric: remove rule 5: IPv4 lookup 7
            fabric: renew 10.1.1.1/24 on br-1 with its routes
            fabric: note where 10.1.1.2 is on br-1
        "#]],
    );
}
