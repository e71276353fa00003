//! What releases have stored of the planner's is read for ever, comes to the same values, and decides recreation as
//! it did. Journal: the agent's `journal.json`; pool: its `fabric/ranges.json`; record: the orchestrator's store.
#![allow(clippy::unwrap_used, reason = "a test's own values are valid")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::Cluster;
use hoist_goldens::Golden;
use hoist_model::{
    BootId, Exit, Guards, Health, InstanceKind, InstanceUid, Listener, Moment, NetworkId, NetworkMode, Port,
    ProbeRecord, Protocol, Revision, Slot, TemplateHash, UpdateOrder, VolumeId, WallTime,
};
use hoist_planner::claims::Source;
use hoist_planner::cluster::{Pool, Record};
use hoist_planner::host::{
    Birth, Draining, EndedBy, Fault, HooksRun, Instance, Joined, JournalEntry, Life, Stopping,
};
use hoist_planner::rollout::Handover;
use hoist_testbed::builder::{id, name, service, stack};

fn golden(name: &str) -> Golden {
    Golden::new(env!("CARGO_MANIFEST_DIR"), name)
}

fn uid(byte: u8) -> InstanceUid {
    InstanceUid::from_bytes([byte; 16])
}

fn moment() -> Moment {
    Moment { boot: BootId("b0075".to_owned()), since_boot: Duration::new(1234, 5) }
}

fn birth() -> Birth {
    let network = NetworkId::new("shop_front").unwrap();
    Birth {
        slot: Slot { stack: id("shop"), service: name("web"), index: 1 },
        kind: InstanceKind::Replica,
        revision: Revision(2),
        template: TemplateHash::from_bytes([7; 32]),
        stop_signal: "SIGQUIT".to_owned(),
        stop_grace: Duration::from_secs(10),
        depends_on: BTreeSet::from([name("db")]),
        addresses: BTreeMap::from([(network, vec!["10.1.2.3".parse().unwrap()])]),
        volumes: BTreeSet::from([VolumeId::new("shop_data").unwrap()]),
        handover: handover(),
        host_names: BTreeSet::from(["web.example.test".to_owned()]),
        anonymous: BTreeMap::new(),
        post_start: 0,
        pre_stop: None,
    }
}

fn handover() -> Handover {
    let network = NetworkId::new("shop_front").unwrap();
    Handover {
        order: UpdateOrder::StartFirst,
        shared_writes: true,
        writes: BTreeSet::from([
            Source::Volume(VolumeId::new("shop_data").unwrap()),
            Source::Bind("/srv/data".into()),
        ]),
        devices: BTreeSet::from(["/dev/ttyUSB0".to_owned()]),
        macs: BTreeSet::from([(network, "02:00:00:00:00:01".to_owned())]),
        network: NetworkMode::Own,
        ports: vec![Port { host_ip: None, published: Some(8080), target: 80, protocol: Protocol::Tcp }],
        expose: BTreeSet::from([Listener { port: 80, protocol: Protocol::Tcp }]),
        ready: Duration::from_secs(2),
        drain: Duration::from_secs(20),
        drain_signal: Some("SIGWINCH".to_owned()),
        memory: None,
    }
}

fn instance(life: Life) -> Instance {
    let probe =
        ProbeRecord { start: WallTime(4), end: WallTime(5), exit_code: 1, output: "refused".to_owned() };
    let fault = Fault {
        what: "can't mount /data".to_owned(),
        hint: Some("make it".to_owned()),
        failures: 2,
        retry: Some(moment()),
    };
    Instance {
        birth: birth(),
        life,
        starts: 3,
        restarts: 2,
        pause: Duration::from_millis(400),
        restart_nonce: 5,
        start_nonce: 6,
        health: Health::Unhealthy,
        probe: Some(probe),
        oom_killed: true,
        stopping: Some(Stopping { since: moment(), killed: true }),
        created: WallTime(1),
        started: Some(WallTime(2)),
        finished: Some(WallTime(3)),
        exit: Some(Exit::Signal(9)),
        fault: Some(fault),
        joined: Some(Joined { instance: uid(9), attempt: 4 }),
        guards: Guards(1),
        come_up: true,
        listening: BTreeSet::from([Listener { port: 80, protocol: Protocol::Tcp }]),
        gap: None,
        draining: Some(Draining { since: moment(), signalled: true, idle: true }),
        shaken: false,
        carried: false,
        unfit: false,
        ran: Duration::ZERO,
        hooks: HooksRun::default(),
        contents: None,
    }
}

fn journal() -> Vec<JournalEntry> {
    let ended = |exit, by| Life::Ended { exit, at: Some(moment()), by, epoch: 6 };
    let lives = [
        Life::Making,
        Life::Created,
        Life::Launching,
        Life::Running { since: moment(), pid: 4711 },
        ended(Exit::Code(3), EndedBy::Itself),
        ended(Exit::Signal(15), EndedBy::Hoist),
        ended(Exit::Unknown, EndedBy::Reboot),
    ];
    let entry = |(n, life)| JournalEntry::Instance(uid(n), Box::new(instance(life)));
    let daemon = JournalEntry::Daemon { epoch: 6, boot: moment().boot };
    [daemon].into_iter().chain((1..).zip(lives).map(entry)).chain([JournalEntry::Gone(uid(2))]).collect()
}

#[test]
fn journals() {
    let golden = golden("v1/journal.jsonl");
    let lines: String = journal().iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
    golden.is_text(&lines);
    assert_eq!(golden.lines::<JournalEntry>(), journal());
    golden.bends_as_ever::<Vec<JournalEntry>>();
}

#[test]
fn address_ranges() {
    let golden = golden("v1/ranges.json");
    golden.is_written_for(&Pool::default());
    golden.reads_as(&Pool::default());
    golden.bends_as_ever::<Pool>();
}

#[test]
fn records() {
    let record = Record {
        retired: BTreeSet::from([uid(1)]),
        pruned: BTreeSet::from([VolumeId::new("old").unwrap()]),
        ready: BTreeMap::new(),
    };
    let golden = golden("v1/record.json");
    golden.is_written_for(&record);
    golden.reads_as(&record);
    golden.bends_as_ever::<Record>();
}

#[test]
fn records_of_rollouts_with_a_delay() {
    let record = Record { ready: BTreeMap::from([(uid(1), moment())]), ..Record::default() };
    let golden = golden("v2/record.json");
    golden.is_written_for(&record);
    golden.reads_as(&record);
    golden.bends_as_ever::<Record>();
}

/// Whoever plans for a host anew, after an upgrade, finds the digests that its instances were made with.
#[test]
fn templates_that_decide_recreation() {
    let web =
        service("web").network("front").network("back").volume("data", "/data").env("A", "b").port(80, 80);
    let stack = stack("shop")
        .service(web)
        .service(service("db").network("back"))
        .network("front", |network| {
            network.labels.insert("tier".to_owned(), "front".to_owned());
            network.subnets.push("10.77.0.0/24".parse().unwrap());
            network.unchecked = true;
        })
        .network("back", |network| (network.internal, network.ipv6) = (true, true))
        .volume("data", |volume| volume.external = false)
        .build();
    let mut cluster = Cluster::new();
    cluster.put(&stack, &Default::default());
    cluster.plan();
    let spec = cluster.spec();
    let hashes: BTreeMap<String, String> = spec
        .instances
        .values()
        .map(|instance| (instance.slot.short(), instance.template.to_string()))
        .collect();
    golden("v1/template-hashes.json").is_written_for(&hashes);
}
