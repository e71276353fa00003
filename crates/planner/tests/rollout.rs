//! One instance takes another's place: when it may start, when it gets the traffic, and when the old one ends.

mod common;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use common::{Cluster, after, after_crash, here, now, steps};
use expect_test::{Expect, expect};
use hoist_model::{
    Attachment, EndpointMode, Health, InstanceUid, Listener, Mount, MountKind, NetworkMode, NetworkName,
    Parting, Protocol, RunIntent, Stack, UpdateOrder,
};
use hoist_planner::Now;
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::host::{Effect, HostLoop, Input, Step};
use hoist_planner::project::{AllWell, Fate, Oracle, applied};
use hoist_testbed::builder::{ServiceBuilder, id, name, service, stack};

/// What starts never gets ready.
struct Unready;

impl Oracle for Unready {
    fn run(&mut self, _slot: &hoist_model::Slot, _attempt: u32) -> Fate {
        Fate::Runs { healthy: false }
    }
}

fn web(version: &str) -> ServiceBuilder {
    service("web").port(80, 8080).env("VERSION", version)
}

fn shop(service: ServiceBuilder) -> Stack {
    stack("shop").service(service).build()
}

fn later(seconds: u64) -> Now {
    after(Duration::from_secs(seconds))
}

/// The steps from the first `up` on to the second, as text.
fn redeploy(change: impl Fn(&str) -> ServiceBuilder) -> String {
    let mut cluster = Cluster::new();
    cluster.up(&shop(change("1")));
    let projection = cluster.up(&shop(change("2")));
    assert!(projection.quiet, "{}", projection.text());
    projection.text()
}

fn backends(host: &HostLoop) -> BTreeSet<IpAddr> {
    host.plan().fabric.services.values().flat_map(|service| service.backends.clone()).collect()
}

fn addresses(host: &HostLoop, uid: InstanceUid) -> BTreeSet<IpAddr> {
    host.observed().instances[&uid].birth.addresses.values().flatten().copied().collect()
}

fn named(host: &HostLoop, name: &str) -> BTreeSet<IpAddr> {
    let networks = host.plan().zone.networks.values();
    networks
        .filter_map(|network| network.names.get(name))
        .flat_map(|record| record.addresses.clone())
        .collect()
}

fn uids(host: &HostLoop) -> Vec<InstanceUid> {
    host.observed().instances.keys().copied().collect()
}

fn parting(host: &HostLoop, uid: InstanceUid) -> Option<Parting> {
    host.report(&now()).instances[&uid].parting
}

/// The first revision runs and serves, the second was started and isn't ready.
fn half_way(change: impl Fn(&str) -> ServiceBuilder) -> (Cluster, InstanceUid, InstanceUid) {
    let mut cluster = Cluster::new();
    cluster.up(&shop(change("1")));
    let old = uids(&cluster.host)[0];
    cluster.up_with(&shop(change("2")), &UpOptions::default(), &mut Unready);
    let new = *uids(&cluster.host).iter().find(|uid| **uid != old).expect("a second one was made");
    (cluster, old, new)
}

fn listens(uid: InstanceUid) -> Input {
    let ports = BTreeSet::from([Listener { port: 8080, protocol: Protocol::Tcp }]);
    Input::Listens { uid, attempt: 1, ports }
}

/// Takes in an input, and has the network follow.
fn act(host: &mut HostLoop, now: &Now, input: Input) -> Vec<Effect> {
    let mut effects = host.step(now, input);
    let mut followed = 0;
    while let Some(seen) = effects[followed..].iter().find_map(follow) {
        followed = effects.len();
        effects.extend(host.step(now, seen));
    }
    effects
}

fn follow(effect: &Effect) -> Option<Input> {
    let Effect::ApplyFabric { number, wanted } = effect else { return None };
    Some(applied(*number, wanted))
}

fn verbs(effects: &[Effect]) -> Vec<String> {
    steps(effects).iter().map(|step| step.verb().to_owned()).collect()
}

#[test]
fn a_new_instance_starts_beside_the_old_one() {
    let text = redeploy(web);
    expect![[r#"
        round 1
        web-1 0002: create, because it doesn't exist
        round 2
        web-1 0002: start 1, because not started yet
        round 3
        web-1 0001: stop with SIGTERM, because it is replaced
        round 4
        web-1 0001: remove, because it is no longer wanted
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_drain_signal_comes_before_the_stop_signal() {
    let text =
        redeploy(|version| web(version).with(|web| web.rollout.drain_signal = Some("SIGUSR1".to_owned())));
    expect![[r#"
        round 1
        web-1 0002: create, because it doesn't exist
        round 2
        web-1 0002: start 1, because not started yet
        round 3
        web-1 0001: drain with SIGUSR1, because it gets nothing new
        round 4
        web-1 0001: stop with SIGTERM, because it is replaced
        round 5
        web-1 0001: remove, because it is no longer wanted
    "#]]
    .assert_eq(&text);
}

#[test]
fn who_writes_to_a_volume_ends_before_the_next_starts() {
    let text = redeploy(|version| web(version).volume("data", "/data"));
    expect![[r#"
        round 1
        web-1 0002: create, because it doesn't exist
        round 2
        web-1 0001: stop with SIGTERM, because it is replaced
        web-1 0002: waiting for the old shop-web-1 to stop
        round 3
        web-1 0001: remove, because it is no longer wanted
        web-1 0002: start 1, because not started yet
    "#]]
    .assert_eq(&text);
}

/// Why the second revision waits for the end of the first.
fn reasons(change: impl Fn(ServiceBuilder) -> ServiceBuilder, expected: &Expect) {
    let mut cluster = Cluster::new();
    cluster.up(&shop(change(web("1"))));
    let old = cluster.host.observed().instances.values().next().expect("it is there").clone();
    cluster.put(&shop(change(web("2"))), &UpOptions::default());
    cluster.plan();
    let spec = cluster.spec();
    let (new, wanted) = spec.instances.iter().next().expect("the next one is planned");
    let birth = hoist_planner::host::Birth::of(&spec, *new).expect("it has a template");
    let nothing = BTreeSet::new();
    let side = |birth: &hoist_planner::host::Birth| birth.handover.clone();
    let (was, is) = (side(&old.birth), side(&birth));
    let reasons = hoist_planner::rollout::stop_first(
        hoist_planner::rollout::Side {
            handover: &was,
            addresses: &old.birth.addresses,
            listening: &old.listening,
            shared_by: None,
        },
        hoist_planner::rollout::Side {
            handover: &is,
            addresses: &wanted.addresses,
            listening: &nothing,
            shared_by: None,
        },
    );
    let text: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    expected.assert_eq(&text.join("; "));
}

fn bind(source: &str, read_only: bool) -> Mount {
    let kind = MountKind::Bind {
        source: source.into(),
        create: false,
        propagation: None,
        recursive: true,
        writable_below: false,
        content: None,
    };
    Mount { target: "/there".into(), kind, read_only, options: Vec::new() }
}

#[test]
fn every_reason_to_stop_first_is_told() {
    let default = || NetworkName::new("default").expect("a valid name");
    let at = |attachment: Attachment| {
        move |web: &mut hoist_model::Service| {
            web.networks.insert(default(), attachment.clone());
        }
    };
    reasons(|web| web, &expect![[""]]);
    reasons(
        |web| web.volume("data", "/data"),
        &expect![["old and new would both have volume shop_data to write to"]],
    );
    reasons(
        |web| web.with(|web| web.mounts.push(bind("/srv/data", false))),
        &expect![["old and new would both have /srv/data to write to"]],
    );
    reasons(|web| web.with(|web| web.mounts.push(bind("/srv/data", true))), &expect![[""]]);
    reasons(|web| web.with(|web| web.mounts.push(bind("/run/docker.sock", false))), &expect![[""]]);
    reasons(
        |web| web.volume("data", "/data").with(|web| web.update_order = UpdateOrder::StartFirst),
        &expect![[""]],
    );
    reasons(|web| web.volume("data", "/data").with(|web| web.rollout.shared_writes = true), &expect![[""]]);
    reasons(
        |web| web.with(|web| web.update_order = UpdateOrder::StopFirst),
        &expect![["`order: stop-first` is declared"]],
    );
    let mac = Attachment { mac: Some("02:00:00:00:00:01".to_owned()), ..Attachment::default() };
    reasons(
        |web| web.with(at(mac.clone())),
        &expect![["old and new would both have MAC address 02:00:00:00:00:01 in network shop_default"]],
    );
    let device = |path: &str| (path.to_owned(), path.to_owned(), "rwm".to_owned());
    reasons(
        |web| web.with(|web| web.devices.push(device("/dev/ttyUSB0"))),
        &expect![["old and new would both have device /dev/ttyUSB0"]],
    );
    reasons(|web| web.with(|web| web.devices.push(device("/dev/dri/card0"))), &expect![[""]]);
    reasons(
        |web| {
            web.with(|web| {
                web.network_mode = NetworkMode::Host;
                web.networks.clear();
                web.expose = vec![Listener { port: 8080, protocol: Protocol::Tcp }];
            })
        },
        &expect![["it uses the host's network"]],
    );
    reasons(|web| web.with(|web| web.ports.clear()), &expect![["nobody connects to it"]]);
    reasons(
        |web| {
            web.with(|web| {
                web.ports.clear();
                web.update_order = UpdateOrder::StartFirst;
            })
        },
        &expect![[""]],
    );
}

#[test]
fn traffic_and_names_stay_with_the_old_one_until_the_new_one_is_ready() {
    for mode in [EndpointMode::Vip, EndpointMode::Dnsrr] {
        let (mut cluster, old, new) = half_way(|version| web(version).with(|web| web.endpoint_mode = mode));
        let host = &mut cluster.host;
        assert_eq!(parting(host, old), Some(Parting::Serves));
        if mode == EndpointMode::Vip {
            assert_eq!(backends(host), addresses(host, old));
        }
        for name in ["web-1", "shop-web-1", "tasks.web"] {
            assert_eq!(named(host, name), addresses(host, old), "{name}");
        }
        act(host, &later(2), listens(new));
        assert_eq!(parting(host, old), Some(Parting::Drains));
        if mode == EndpointMode::Vip {
            assert_eq!(backends(host), addresses(host, new));
        }
        for name in ["web-1", "shop-web-1", "tasks.web"] {
            assert_eq!(named(host, name), addresses(host, new), "{name}");
        }
    }
}

#[test]
fn a_drain_ends_when_nobody_is_connected_but_not_before_names_are_forgotten() {
    let (mut cluster, old, new) = half_way(web);
    let host = &mut cluster.host;
    assert_eq!(verbs(&act(host, &later(100), listens(new))), [] as [&str; 0]);
    assert_eq!(verbs(&act(host, &later(100), Input::Idle { uid: old, attempt: 1 })), [] as [&str; 0]);
    assert_eq!(verbs(&act(host, &later(101), Input::Timer)), ["stop"]);
}

#[test]
fn a_drain_takes_as_long_as_it_may_while_somebody_is_connected() {
    let (mut cluster, _, new) = half_way(web);
    let host = &mut cluster.host;
    act(host, &later(100), listens(new));
    assert_eq!(verbs(&act(host, &later(109), Input::Timer)), [] as [&str; 0]);
    assert_eq!(verbs(&act(host, &later(110), Input::Timer)), ["stop"]);
}

#[test]
fn the_traffic_goes_back_while_the_old_one_drains() {
    let (mut cluster, old, new) = half_way(|version| web(version).checked());
    let host = &mut cluster.host;
    let health = |health| Input::Probed { uid: new, attempt: 1, health, probe: None };
    act(host, &later(100), health(Health::Healthy));
    assert_eq!((parting(host, old), backends(host)), (Some(Parting::Drains), addresses(host, new)));
    act(host, &later(105), health(Health::Unhealthy));
    assert_eq!((parting(host, old), backends(host)), (Some(Parting::Serves), addresses(host, old)));
    assert_eq!(verbs(&act(host, &later(200), Input::Timer)), [] as [&str; 0]);
}

#[test]
fn an_agent_that_starts_anew_goes_on_with_a_drain() {
    let (mut cluster, old, new) = half_way(web);
    act(&mut cluster.host, &later(100), listens(new));
    let host = &cluster.host;
    let restored = after_crash(host);
    let process = hoist_planner::host::Process { attempt: 1, since: now().moment, pid: 1, ended: None };
    let adopted = hoist_planner::host::Adopted {
        processes: [(old, process.clone()), (new, process)].into(),
        networks: host.observed().networks.clone(),
        ..hoist_planner::host::Adopted::default()
    };
    let (mut again, _) = HostLoop::restore(restored, &later(101));
    act(&mut again, &later(101), Input::Adopted(adopted));
    assert_eq!((parting(&again, old), backends(&again)), (Some(Parting::Drains), addresses(&again, new)));
    assert_eq!(verbs(&act(&mut again, &later(110), Input::Timer)), ["stop"]);
}

#[test]
fn a_third_revision_ends_the_drain_of_the_first() {
    let (mut cluster, old, new) = half_way(web);
    act(&mut cluster.host, &later(100), listens(new));
    cluster.view.insert(here(), cluster.host.report(&later(100)));
    cluster.put(&shop(web("3")), &UpOptions::default());
    let plan = cluster.plan();
    let spec = plan.specs[&here()].clone();
    let effects = act(&mut cluster.host, &later(101), Input::SpecPut(Box::new(spec)));
    let told: Vec<&Step> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Perform(step @ Step::SignalInstance { .. }) => Some(step),
            _ => None,
        })
        .collect();
    assert_eq!(told, [&Step::SignalInstance { uid: old, signal: "SIGTERM".to_owned() }]);
    assert_eq!(parting(&cluster.host, new), Some(Parting::Serves));
    assert_eq!(backends(&cluster.host), addresses(&cluster.host, new));
}

#[test]
fn a_person_who_stops_or_removes_waits_for_no_drain() {
    for absent in [false, true] {
        let (mut cluster, _, new) = half_way(web);
        act(&mut cluster.host, &later(100), listens(new));
        let wanted = cluster.wanted.get_mut(&id("shop")).expect("it is wanted");
        let run = if absent { RunIntent::Absent } else { RunIntent::Stopped { epoch: 1 } };
        wanted.intents.values_mut().for_each(|intent| intent.run = run);
        let spec = cluster.plan().specs[&here()].clone();
        let effects = act(&mut cluster.host, &later(101), Input::SpecPut(Box::new(spec)));
        assert_eq!(verbs(&effects).iter().filter(|verb| *verb == "stop").count(), 2);
    }
}

#[test]
fn what_is_scaled_down_drains_where_somebody_may_be_connected() {
    let mut cluster = Cluster::new();
    cluster.up(&shop(web("1").replicas(2)));
    let scale = UpOptions { scale: [(name("web"), 1)].into(), ..UpOptions::default() };
    cluster.put(&shop(web("1").replicas(2)), &scale);
    let spec = cluster.plan().specs[&here()].clone();
    let effects = act(&mut cluster.host, &later(100), Input::SpecPut(Box::new(spec)));
    assert_eq!(verbs(&effects), [] as [&str; 0]);
    let gone = cluster.host.observed().instances.iter().find(|(_, seen)| seen.birth.slot.index == 2);
    let gone = *gone.expect("it is still there").0;
    assert_eq!(parting(&cluster.host, gone), Some(Parting::Drains));
    assert!(backends(&cluster.host).is_disjoint(&addresses(&cluster.host, gone)));
    assert_eq!(verbs(&act(&mut cluster.host, &later(110), Input::Timer)), ["stop"]);
}

#[test]
fn a_port_that_the_host_chooses_stays_with_the_slot() {
    let chosen = |version: &str| web(version).with(|web| web.ports[0].published = None);
    let (mut cluster, old, new) = half_way(chosen);
    let keys = |host: &HostLoop| host.plan().fabric.published.keys().cloned().collect::<Vec<_>>();
    let targets = |host: &HostLoop| -> BTreeSet<IpAddr> {
        host.plan().fabric.published.values().flat_map(|p| &p.targets).map(std::net::SocketAddr::ip).collect()
    };
    let before = keys(&cluster.host);
    assert_eq!((before.len(), targets(&cluster.host)), (1, addresses(&cluster.host, old)));
    act(&mut cluster.host, &later(100), listens(new));
    assert_eq!((keys(&cluster.host), targets(&cluster.host)), (before, addresses(&cluster.host, new)));
}

#[test]
fn a_port_that_the_file_has_no_longer_is_held_while_the_old_one_serves() {
    let mut cluster = Cluster::new();
    cluster.up(&shop(service("web").port(80, 8080)));
    cluster.up_with(&shop(service("web").port(81, 8080)), &UpOptions::default(), &mut Unready);
    let ports = |host: &HostLoop| -> Vec<u16> {
        host.plan().fabric.published.keys().filter_map(|key| key.port.published).collect()
    };
    assert_eq!(ports(&cluster.host), [80, 81]);
    let new = uids(&cluster.host)[1];
    act(&mut cluster.host, &later(100), listens(new));
    assert_eq!(ports(&cluster.host), [81]);
}

#[test]
fn what_has_nothing_to_listen_for_is_ready_after_a_second() {
    let worker = |version: &str| {
        service("web").env("VERSION", version).with(|web| web.update_order = UpdateOrder::StartFirst)
    };
    let mut cluster = Cluster::new();
    cluster.up(&shop(worker("1")));
    cluster.put(&shop(worker("2")), &UpOptions::default());
    let projection = cluster.settle(&mut AllWell);
    assert!(projection.quiet);
    expect![[r#"
        round 1
        web-1 0002: create, because it doesn't exist
        round 2
        web-1 0002: start 1, because not started yet
        round 3
        web-1 0001: stop with SIGTERM, because it is replaced
        round 4
        web-1 0001: remove, because it is no longer wanted
    "#]]
    .assert_eq(&projection.text());
}
