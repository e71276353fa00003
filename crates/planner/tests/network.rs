//! Addresses, the fabric and names: who gets what, who keeps it, and who is found by which name.

mod common;

use std::net::IpAddr;

use common::{Cluster, here};
use hoist_model::{Attachment, Condition, EndpointMode, NetworkId, NetworkName, ServiceKey, Slot};
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::project::{Fate, Oracle};
use hoist_testbed::builder::{id, name, service, stack};

fn network(text: &str) -> NetworkId {
    NetworkId::new(text).expect("a valid name")
}

fn subnets(cluster: &Cluster, id: &str) -> Vec<String> {
    cluster.spec().networks[&network(id)].subnets.iter().map(ToString::to_string).collect()
}

fn addresses(cluster: &Cluster, service: &str, net: &str) -> Vec<String> {
    let spec = cluster.spec();
    let of = spec.instances.values().filter(|instance| instance.slot.service == name(service));
    let found = of.flat_map(|instance| instance.addresses.get(&network(net)).cloned().unwrap_or_default());
    found.map(|address| address.to_string()).collect()
}

fn vip(cluster: &Cluster, service: &str) -> Vec<IpAddr> {
    let key = ServiceKey { stack: id("shop"), service: name(service), network: network("shop_default") };
    cluster.endpoints[&here()].services[&key].addresses.clone()
}

#[test]
fn the_pool_avoids_what_the_host_routes_and_other_networks_have() {
    let mut cluster = Cluster::new();
    let report = cluster.view.get_mut(&here()).unwrap();
    report.routes = vec!["0.0.0.0/0".parse().unwrap(), "10.212.0.0/23".parse().unwrap()];
    let built = stack("shop").service(service("web").network("front").network("back")).build();
    cluster.put(&built, &UpOptions::default());
    cluster.plan();
    assert_eq!(subnets(&cluster, "shop_back"), ["10.212.2.0/24"]);
    assert_eq!(subnets(&cluster, "shop_front"), ["10.212.3.0/24"]);
    assert_eq!(addresses(&cluster, "web", "shop_front"), ["10.212.3.2"]);
}

#[test]
fn a_subnet_once_chosen_stays() {
    let mut cluster = Cluster::new();
    let built = stack("shop").service(service("web")).build();
    cluster.up(&built);
    let before = cluster.spec();
    cluster.view.get_mut(&here()).unwrap().routes = vec!["10.212.0.0/16".parse().unwrap()];
    cluster.up(&built);
    assert_eq!(cluster.spec(), before);
}

#[test]
fn a_network_has_both_families_when_asked() {
    let mut cluster = Cluster::new();
    let built =
        stack("shop").service(service("web")).network("default", |network| network.ipv6 = true).build();
    cluster.up(&built);
    assert_eq!(subnets(&cluster, "shop_default"), ["10.212.0.0/24", "fd48:6f69:7374::/64"]);
    assert_eq!(addresses(&cluster, "web", "shop_default"), ["10.212.0.2", "fd48:6f69:7374::2"]);
    assert_eq!(vip(&cluster, "web").len(), 2);
}

#[test]
fn a_declared_address_is_honoured_and_nobody_else_gets_it() {
    let mut cluster = Cluster::new();
    let fixed = |service: &mut hoist_model::Service| {
        let at = Attachment { ipv4: Some([172, 30, 0, 2].into()), ..Attachment::default() };
        service.networks.insert(NetworkName::new("default").unwrap(), at);
    };
    let built = stack("shop")
        .service(service("app").replicas(2))
        .service(service("db").with(fixed))
        .network("default", |network| network.subnets = vec!["172.30.0.0/24".parse().unwrap()])
        .build();
    cluster.up(&built);
    assert_eq!(addresses(&cluster, "db", "shop_default"), ["172.30.0.2"]);
    assert_eq!(addresses(&cluster, "app", "shop_default"), ["172.30.0.3", "172.30.0.4"]);
}

#[test]
fn what_cannot_be_is_said_and_changes_nothing() {
    let mut cluster = Cluster::new();
    let fixed = |service: &mut hoist_model::Service| {
        let at = Attachment { ipv4: Some([192, 168, 7, 7].into()), ..Attachment::default() };
        service.networks.insert(NetworkName::new("default").unwrap(), at);
    };
    let built = stack("shop").service(service("db").with(fixed)).build();
    cluster.put(&built, &UpOptions::default());
    let plan = cluster.peek();
    let what: Vec<&str> = plan.failures[&id("shop")].iter().map(|failure| failure.what.as_str()).collect();
    assert_eq!(what, ["address 192.168.7.7 of service db is outside network shop_default (10.212.0.0/24)"]);
    assert!(plan.specs[&here()].instances.is_empty());
}

/// Only the first replica of each service is healthy.
struct FirstOnly;

impl Oracle for FirstOnly {
    fn run(&mut self, slot: &Slot, _attempt: u32) -> Fate {
        Fate::Runs { healthy: slot.index == 1 }
    }
}

#[test]
fn a_service_address_leads_to_ready_instances_and_a_port_to_the_service_address() {
    let mut cluster = Cluster::new();
    let built = stack("shop").service(service("web").checked().replicas(2).port(80, 8080)).build();
    let projection = cluster.up_with(&built, &UpOptions::default(), &mut FirstOnly);
    let fabric = &projection.host.plan().fabric;
    let service = fabric.services.values().next().unwrap();
    assert_eq!(service.addresses, vip(&cluster, "web"));
    assert_eq!(service.backends.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.212.0.2"]);
    let published = fabric.published.values().next().unwrap();
    assert_eq!(published.targets, [(vip(&cluster, "web")[0], 8080).into()]);
}

#[test]
fn names_lead_to_services_instances_and_oneself() {
    let mut cluster = Cluster::new();
    let alias = |service: &mut hoist_model::Service| {
        let at = Attachment { aliases: vec!["store".to_owned()], ..Attachment::default() };
        service.networks.insert(NetworkName::new("default").unwrap(), at);
    };
    let built = stack("shop")
        .service(service("db").with(alias))
        .service(service("rr").replicas(2).with(|rr| rr.endpoint_mode = EndpointMode::Dnsrr))
        .service(service("web").needs("db", Condition::ServiceStarted))
        .build();
    let projection = cluster.up(&built);
    let zone = &projection.host.plan().zone;
    let names = &zone.networks[&network("shop_default")].names;
    let of = |name: &str| names[name].addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names["db"].addresses, vip(&cluster, "db"));
    assert_eq!(names["store"].addresses, vip(&cluster, "db"));
    assert_eq!(names["db.shop_default"].addresses, vip(&cluster, "db"));
    assert_eq!(of("shop-db-1"), addresses(&cluster, "db", "shop_default"));
    assert_eq!(of("web-1"), addresses(&cluster, "web", "shop_default"));
    assert_eq!(of("rr"), addresses(&cluster, "rr", "shop_default"));
    assert!(names["rr"].rotate && !names["db"].rotate);
    let web: IpAddr = addresses(&cluster, "web", "shop_default")[0].parse().unwrap();
    let client = zone.clients.iter().find(|client| client.addresses.contains(&web)).unwrap();
    assert_eq!(client.own["web"], [web]);
    assert_eq!(zone.listen, ["10.212.0.1".parse::<IpAddr>().unwrap()]);
}

fn routes(cluster: &mut Cluster, routes: &[&str]) {
    let report = cluster.view.get_mut(&here()).expect("the host reports");
    report.routes = routes.iter().map(|route| route.parse().expect("a range")).collect();
}

fn ends(cluster: &mut Cluster) {
    for instance in cluster.view.get_mut(&here()).expect("the host reports").instances.values_mut() {
        instance.pid = None;
    }
}

#[test]
fn a_route_that_comes_later_moves_a_network_in_which_nothing_runs_and_is_told_of_the_others() {
    let mut cluster = Cluster::new();
    let built = stack("shop").service(service("web")).build();
    cluster.up(&built);
    routes(&mut cluster, &["10.212.0.128/25"]);
    cluster.plan();
    assert_eq!(subnets(&cluster, "shop_default"), ["10.212.0.0/24"]);
    let told = hoist_planner::cluster::overlaps(&cluster.spec(), &cluster.view[&here()]);
    let told = &told[&network("shop_default")];
    assert!(told.contains("10.212.0.0/24") && told.contains("10.212.0.128/25"), "{told}");
    ends(&mut cluster);
    cluster.plan();
    assert_eq!(subnets(&cluster, "shop_default"), ["10.212.1.0/24"]);
    assert_eq!(addresses(&cluster, "web", "shop_default"), ["10.212.1.2"]);
}

#[test]
fn other_ranges_of_the_root_move_a_network_in_which_nothing_runs() {
    let mut cluster = Cluster::new();
    let built = stack("shop").service(service("web")).build();
    cluster.up(&built);
    cluster.pool.networks4 = "10.220.0.0/16".parse().unwrap();
    cluster.pool.services4 = "10.221.0.0/17".parse().unwrap();
    cluster.up(&built);
    assert_eq!(subnets(&cluster, "shop_default"), ["10.212.0.0/24"]);
    ends(&mut cluster);
    cluster.plan();
    assert_eq!(subnets(&cluster, "shop_default"), ["10.220.0.0/24"]);
    assert_eq!(
        cluster.spec().networks[&network("shop_default")].services,
        ["10.221.0.0/24".parse().unwrap()]
    );
}

#[test]
fn a_declared_subnet_is_refused_where_the_host_would_lose_something() {
    let mut cluster = Cluster::new();
    let built = stack("shop")
        .service(service("web"))
        .network("default", |network| network.subnets = vec!["192.168.4.0/22".parse().unwrap()])
        .build();
    routes(&mut cluster, &["192.168.5.0/24"]);
    cluster.put(&built, &UpOptions::default());
    let what = cluster.peek().failures[&id("shop")][0].what.clone();
    assert_eq!(
        what,
        "network shop_default wants subnet 192.168.4.0/22, but this host has 192.168.5.0/24 elsewhere"
    );
    // A wider route loses to what is more exact.
    routes(&mut cluster, &["192.168.0.0/16"]);
    cluster.plan();
    assert_eq!(subnets(&cluster, "shop_default"), ["192.168.4.0/22"]);
}

#[test]
fn under_a_route_to_everything_a_network_is_found_still() {
    let mut cluster = Cluster::new();
    routes(&mut cluster, &["10.0.0.0/8", "10.212.0.7/32"]);
    cluster.put(&stack("shop").service(service("web")).build(), &UpOptions::default());
    cluster.plan();
    assert_eq!(subnets(&cluster, "shop_default"), ["10.212.1.0/24"]);
}

fn many(services: usize, replicas: u32, subnet: Option<&str>) -> hoist_model::Stack {
    let mut built = stack("shop");
    for number in 0..services {
        built = built.service(service(&format!("web{number}")).replicas(replicas));
    }
    let subnet: Option<ipnetwork::IpNetwork> = subnet.map(|subnet| subnet.parse().expect("a range"));
    built.network("default", |network| network.subnets.extend(subnet)).build()
}

#[test]
fn a_network_is_as_large_as_what_is_in_it() {
    for (services, replicas, wanted) in [
        (1, 3, "10.212.0.0/24"),
        (300, 1, "10.212.0.0/22"),
        (1, 600, "10.212.0.0/21"),
        (1100, 1, "10.212.0.0/20"),
    ] {
        let mut cluster = Cluster::new();
        cluster.put(&many(services, replicas, None), &UpOptions::default());
        cluster.plan();
        assert_eq!(subnets(&cluster, "shop_default"), [wanted]);
        let spec = cluster.spec();
        let given: std::collections::BTreeSet<IpAddr> = spec
            .instances
            .values()
            .flat_map(|instance| instance.addresses[&network("shop_default")].clone())
            .collect();
        assert_eq!(given.len(), services * replicas as usize);
        let services_with = cluster.endpoints[&here()].services.values().filter(|s| !s.addresses.is_empty());
        assert_eq!(services_with.count(), services);
    }
}

#[test]
fn a_network_that_is_too_small_is_told_before_anything_starts() {
    let refused = |cluster: &mut Cluster, built: &hoist_model::Stack| {
        cluster.put(built, &UpOptions::default());
        let plan = cluster.peek();
        let failure = plan.failures[&id("shop")][0].clone();
        format!("{}; {}", failure.what, failure.hint.unwrap_or_default())
    };
    let declared = refused(&mut Cluster::new(), &many(1, 300, Some("10.66.0.0/24")));
    assert_eq!(
        declared,
        "network shop_default has room for 253 instances in 10.66.0.0/24, and 300 are wanted; give it a wider subnet: \
         /23 or more"
    );
    // Three that run keep their addresses, and so their network its range; after `down` it is as large as it must be.
    let mut cluster = Cluster::new();
    cluster.up(&many(1, 3, None));
    let grown = refused(&mut cluster, &many(1, 300, None));
    assert!(grown.contains("room for 253 instances in 10.212.0.0/24, and 300 are wanted; "), "{grown}");
    assert!(grown.contains("`hoist down` of shop and `hoist up`"), "{grown}");
    ends(&mut cluster);
    cluster.plan();
    assert_eq!(subnets(&cluster, "shop_default"), ["10.212.0.0/22"]);
}

/// Its labels decide recreation, and no spec says them: the stack keeps what it has until the file is there again.
#[test]
fn what_a_rebuilt_stack_cannot_tell_replaces_nothing() {
    let labelled = |network: &mut hoist_model::Network| {
        network.labels.insert("a".to_owned(), "b".to_owned());
    };
    let built = stack("shop").service(service("web")).network("default", labelled).build();
    let mut cluster = Cluster::new();
    cluster.up(&built);
    let before = cluster.spec();
    cluster.wanted = hoist_planner::cluster::rebuilt(&before);
    let plan = cluster.plan();
    assert_eq!(cluster.spec(), before);
    assert!(plan.failures[&id("shop")][0].what.contains("not settled"), "{:?}", plan.failures);
    cluster.up(&built);
    let uids = |spec: &hoist_model::HostSpec| spec.instances.keys().copied().collect::<Vec<_>>();
    assert_eq!(uids(&cluster.spec()), uids(&before));
}
