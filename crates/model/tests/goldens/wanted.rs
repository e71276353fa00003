//! What people asked for, with every field set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{
    Digest, ImageConfig, ImageSource, Intent, Network, NetworkId, NetworkName, Removal, ResolvedImage,
    Revision, RunIntent, Stack, StackId, StackRevision, Volume, VolumeId, VolumeName, WallTime, WantedStack,
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
    let intent =
        |run| Intent { revision: Revision(2), run, replicas: Some(2), restart_nonce: 3, start_nonce: 4 };
    let revision = StackRevision {
        number: Revision(2),
        stack: lowered(),
        images: lowered().services.into_keys().map(|name| (name, image())).collect(),
        created: WallTime(1_700_000_000_000_000_000),
    };
    let past = BTreeSet::from([Digest(format!("sha256:{}", "6".repeat(64)))]);
    WantedStack {
        revisions: BTreeMap::from([(Revision(2), Arc::new(revision))]),
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
