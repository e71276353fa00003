//! Who gets a service's traffic, by published ports, service addresses and names alike; and which names resolve when.

mod common;

use std::collections::BTreeSet;
use std::net::IpAddr;

use common::{Cluster, here, now};
use hoist_model::{
    Attachment, EndpointMode, Exit, Health, InstanceUid, NetworkId, NetworkName, Service, ServiceKey,
};
use hoist_planner::check;
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::host::{HostPlan, Input};
use hoist_planner::project::{Fate, Oracle};
use hoist_testbed::builder::{id, name, service, stack};
use proptest::prelude::*;

/// No probe has said anything yet, whatever the service.
struct Unproven;

impl Oracle for Unproven {
    fn run(&mut self, _slot: &hoist_model::Slot, _attempt: u32) -> Fate {
        Fate::Runs { healthy: false }
    }
}

fn network() -> NetworkId {
    NetworkId::new("shop_default").expect("a valid name")
}

/// `web` with a health check and a published port, and every instance in this state of health.
fn web(replicas: u32, mode: EndpointMode, health: Health) -> Cluster {
    let mut cluster = Cluster::new();
    let built = stack("shop")
        .service(
            service("web").checked().replicas(replicas).port(80, 8080).with(|web| web.endpoint_mode = mode),
        )
        .build();
    cluster.up_with(&built, &UpOptions::default(), &mut Unproven);
    for n in 1..=replicas {
        say(&mut cluster, n, health);
    }
    cluster
}

fn uid(cluster: &Cluster, index: u32) -> InstanceUid {
    let instances = &cluster.host.observed().instances;
    let found = instances.iter().find(|(_, instance)| instance.birth.slot.index == index);
    *found.expect("the instance exists").0
}

fn say(cluster: &mut Cluster, index: u32, health: Health) {
    let uid = uid(cluster, index);
    let attempt = cluster.host.observed().instances[&uid].starts;
    cluster.host.step(&now(), Input::Probed { uid, attempt, health, probe: None });
}

fn end(cluster: &mut Cluster, index: u32) {
    let uid = uid(cluster, index);
    let attempt = cluster.host.observed().instances[&uid].starts;
    cluster.host.step(&now(), Input::Exited { uid, attempt, exit: Exit::Code(1), oom_killed: false });
}

fn address(cluster: &Cluster, index: u32) -> IpAddr {
    cluster.spec().instances[&uid(cluster, index)].addresses[&network()][0]
}

fn named(plan: &HostPlan, name: &str) -> BTreeSet<IpAddr> {
    let names = &plan.zone.networks[&network()].names;
    names.get(name).into_iter().flat_map(|record| record.addresses.clone()).collect()
}

fn backends(cluster: &Cluster) -> BTreeSet<IpAddr> {
    let key = ServiceKey { stack: id("shop"), service: name("web"), network: network() };
    cluster.host.plan().fabric.services[&key].backends.clone()
}

fn targets(cluster: &Cluster) -> BTreeSet<IpAddr> {
    let published = cluster.host.plan().fabric.published.values();
    published.flat_map(|port| &port.targets).map(std::net::SocketAddr::ip).collect()
}

#[test]
fn an_instance_that_is_not_healthy_yet_or_no_more_gets_traffic_when_it_is_alone() {
    for health in [Health::Starting, Health::Unhealthy] {
        let cluster = web(1, EndpointMode::Vip, health);
        assert_eq!(backends(&cluster), [address(&cluster, 1)].into(), "{health:?}");
        assert_eq!(named(cluster.host.plan(), "tasks.web"), [address(&cluster, 1)].into(), "{health:?}");
    }
}

#[test]
fn without_service_addresses_names_and_ports_follow_the_same_rule() {
    for health in [Health::Starting, Health::Unhealthy] {
        let mut cluster = web(2, EndpointMode::Dnsrr, health);
        let both: BTreeSet<IpAddr> = [address(&cluster, 1), address(&cluster, 2)].into();
        assert_eq!(named(cluster.host.plan(), "web"), both, "{health:?}");
        assert_eq!(targets(&cluster), [address(&cluster, 1)].into(), "{health:?}");
        say(&mut cluster, 2, Health::Healthy);
        assert_eq!(named(cluster.host.plan(), "web"), [address(&cluster, 2)].into(), "{health:?}");
        assert_eq!(targets(&cluster), [address(&cluster, 2)].into(), "{health:?}");
    }
}

#[test]
fn one_ready_instance_takes_the_traffic_of_those_that_are_not() {
    let mut cluster = web(3, EndpointMode::Vip, Health::Starting);
    assert_eq!(backends(&cluster).len(), 3);
    say(&mut cluster, 2, Health::Healthy);
    assert_eq!(backends(&cluster), [address(&cluster, 2)].into());
    say(&mut cluster, 2, Health::Unhealthy);
    assert_eq!(backends(&cluster).len(), 3, "when all are unhealthy, all answer");
}

#[test]
fn nobody_running_means_nobody_answers() {
    let mut cluster = web(1, EndpointMode::Dnsrr, Health::Starting);
    end(&mut cluster, 1);
    assert!(named(cluster.host.plan(), "web").is_empty() && targets(&cluster).is_empty());
}

#[test]
fn one_that_was_told_to_end_gets_nothing_new() {
    let mut cluster = web(2, EndpointMode::Vip, Health::Unhealthy);
    let options = UpOptions { scale: [(name("web"), 1)].into(), ..UpOptions::default() };
    let built = stack("shop").service(service("web").checked().replicas(2).port(80, 8080)).build();
    let kept = address(&cluster, 1);
    cluster.put(&built, &options);
    cluster.plan();
    let spec = cluster.spec();
    cluster.host.step(&now(), Input::SpecPut(Box::new(spec)));
    assert_eq!(cluster.host.observed().instances.len(), 2, "the other still runs");
    assert_eq!(backends(&cluster), [kept].into());
}

#[test]
fn names_of_instances_resolve_while_they_run_whatever_their_health() {
    let mut cluster = Cluster::new();
    let own = |web: &mut Service| {
        let at = Attachment { aliases: vec!["shopfront".to_owned()], ..Attachment::default() };
        web.networks.insert(NetworkName::new("default").unwrap(), at);
        web.endpoint_mode = EndpointMode::Dnsrr;
        web.container_name = Some("the-web".to_owned());
        web.hostname = Some("web-host".to_owned());
    };
    let built = stack("shop").service(service("web").checked().with(own)).build();
    cluster.up_with(&built, &UpOptions::default(), &mut Unproven);
    let at: BTreeSet<IpAddr> = [address(&cluster, 1)].into();
    for health in [Health::Starting, Health::Unhealthy, Health::Healthy] {
        say(&mut cluster, 1, health);
        for name in ["web-1", "the-web", "web-host", "shopfront", "web"] {
            assert_eq!(named(cluster.host.plan(), name), at, "{name}, {health:?}");
        }
    }
    end(&mut cluster, 1);
    for name in ["web-1", "the-web", "web-host", "shopfront", "web"] {
        assert!(named(cluster.host.plan(), name).is_empty(), "{name}");
    }
}

fn hosted(key: &str, hostname: &str, domain: Option<&str>) -> hoist_testbed::builder::ServiceBuilder {
    service(key).with(|service| {
        service.hostname = Some(hostname.to_owned());
        service.domainname = domain.map(ToOwned::to_owned);
    })
}

#[test]
fn a_host_name_resolves_with_and_without_its_domain() {
    let mut cluster = Cluster::new();
    let built = stack("shop")
        .service(hosted("mq", "Rabbit1", Some("Example.test")))
        .service(hosted("mail", "mx.example.test", None).replicas(2))
        .build();
    let projection = cluster.up(&built);
    let plan = projection.host.plan();
    let mq = named(plan, "mq-1");
    assert_eq!(mq.len(), 1);
    for name in ["rabbit1", "rabbit1.example.test", "rabbit1.shop_default"] {
        assert_eq!(named(plan, name), mq, "{name}");
    }
    let both: BTreeSet<IpAddr> = named(plan, "mail-1").union(&named(plan, "mail-2")).copied().collect();
    assert_eq!(named(plan, "mx.example.test"), both, "instances that share a host name share its answer");
}

#[test]
fn a_host_name_takes_over_no_other_name() {
    let mut cluster = Cluster::new();
    let alias = |db: &mut Service| {
        let at = Attachment { aliases: vec!["store".to_owned()], ..Attachment::default() };
        db.networks.insert(NetworkName::new("default").unwrap(), at);
        db.container_name = Some("the-db".to_owned());
    };
    let taken = ["DB", "Store", "db-1", "the-db", "tasks.db", "db.shop_default"];
    let plain = stack("shop").service(service("db").with(alias)).build();
    let expected = cluster.up(&plain).host.plan().zone.networks[&network()].clone();
    for name in taken {
        let built =
            stack("shop").service(service("db").with(alias)).service(hosted("thief", name, None)).build();
        let projection = cluster.up(&built);
        let key = name.to_lowercase();
        let found = &projection.host.plan().zone.networks[&network()].names;
        assert_eq!(found[&key], expected.names[&key], "{name}");
        assert!(!found.contains_key(name) || name == key, "{name} is there twice");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever probes say and whoever ends, in whatever order: the rule holds at every instant.
    #[test]
    fn the_rule_holds_at_every_instant(
        happenings in proptest::collection::vec((1u32..4, 0u8..4), 1..24),
        rotate in any::<bool>(),
    ) {
        let mode = if rotate { EndpointMode::Dnsrr } else { EndpointMode::Vip };
        let mut cluster = web(3, mode, Health::Starting);
        let endpoints = cluster.endpoints[&here()].clone();
        for (index, what) in happenings {
            match what {
                0 => say(&mut cluster, index, Health::Healthy),
                1 => say(&mut cluster, index, Health::Unhealthy),
                2 => say(&mut cluster, index, Health::Starting),
                _ => end(&mut cluster, index),
            }
            let host = &cluster.host;
            let problems = check::traffic(&endpoints, host.observed(), host.plan());
            prop_assert!(problems.is_empty(), "{problems:?}");
            let runs = host.observed().instances.values().any(hoist_planner::host::Instance::alive);
            prop_assert_eq!(!targets(&cluster).is_empty(), runs || !rotate);
        }
    }
}
