//! What people asked for, with every field set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{
    Author, Digest, HistoryEntry, ImageConfig, ImageSource, Intent, Network, NetworkId, NetworkName, Removal,
    ResolvedImage, Revision, RevisionVerdict, RunIntent, Stack, StackId, StackRevision, Volume, VolumeId,
    VolumeName, WallTime, WantedStack,
};

use crate::services::{self, name};

pub(crate) fn id() -> StackId {
    "shop@pr-12".parse().unwrap()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn pair(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

pub(crate) fn image() -> ResolvedImage {
    let config = ImageConfig {
        entrypoint: texts(&["/entry"]),
        command: texts(&["run"]),
        environment: pair("PATH", "/bin"),
        working_dir: Some("/".into()),
        user: Some("nobody".into()),
        volumes: texts(&["/data"]),
        exposed_ports: texts(&["80/tcp"]),
        stop_signal: Some("SIGQUIT".into()),
        healthcheck: Some(hoist_model::Healthcheck::default()),
        labels: pair("maintainer", "a"),
    };
    ResolvedImage {
        source: ImageSource::Reference("nginx:1.27".into()),
        digest: Some(Digest(format!("sha256:{}", "5".repeat(64)))),
        config,
    }
}

fn lowered() -> Stack {
    let network = Network {
        id: NetworkId::new("shop_front").unwrap(),
        external: false,
        internal: true,
        ipv6: true,
        subnets: vec!["10.1.2.0/24".parse().unwrap()],
        labels: pair("tier", "front"),
        unchecked: true,
    };
    let volume = Volume {
        id: VolumeId::new("shop_data").unwrap(),
        external: true,
        options: pair("type", "tmpfs"),
        labels: pair("keep", "yes"),
    };
    Stack {
        id: id(),
        services: services::all(),
        networks: BTreeMap::from([(NetworkName::new("front").unwrap(), network)]),
        volumes: BTreeMap::from([(VolumeName::new("data").unwrap(), volume)]),
    }
}

pub(crate) fn stack() -> WantedStack {
    let intent = |run| Intent {
        revision: Revision(2),
        run,
        replicas: Some(2),
        restart_nonce: 3,
        start_nonce: 4,
        renew_volumes: false,
    };
    let revision = StackRevision {
        number: Revision(2),
        stack: lowered(),
        images: lowered().services.into_keys().map(|name| (name, image())).collect(),
        created: WallTime(1_700_000_000_000_000_000),
    };
    let past = BTreeSet::from([Digest(format!("sha256:{}", "6".repeat(64)))]);
    WantedStack {
        revisions: BTreeMap::from([(Revision(2), Arc::new(revision))]),
        history: BTreeMap::new(),
        past_images: vec![past],
        intents: BTreeMap::from([
            (name("full"), intent(RunIntent::Running)),
            (name("host"), intent(RunIntent::Stopped { epoch: 6 })),
            (name("plain"), intent(RunIntent::Absent)),
        ]),
        project_dir: "/srv/shop".into(),
        files: vec!["/srv/shop/stack.yaml".into()],
        removal: Some(Removal { volumes: true }),
        stop_grace: Some(Duration::from_secs(3)),
    }
}

/// An entry for each verdict.
pub(crate) fn history() -> BTreeMap<Revision, HistoryEntry> {
    let why = || "web-1: it exited with 1".to_owned();
    let verdicts = [
        RevisionVerdict::UnderWay,
        RevisionVerdict::Succeeded,
        RevisionVerdict::Failed { why: why() },
        RevisionVerdict::RolledBack { to: Revision(1), why: Some(why()) },
        RevisionVerdict::Superseded { by: Some(Revision(6)) },
    ];
    let entry = |verdict| HistoryEntry {
        created: WallTime(1_700_000_000_000_000_000),
        by: Author { user: "anna".into(), host: "desk".into() },
        command: "up full --scale full=2".into(),
        of: Some(Revision(1)),
        changes: texts(&["full: image", "+plain"]),
        elsewhere: BTreeMap::from([(name("host"), Revision(1))]),
        without: BTreeSet::from([name("plain")]),
        scale: BTreeMap::from([(name("full"), 2)]),
        verdict,
    };
    (2..).map(Revision).zip(verdicts.map(entry)).collect()
}
