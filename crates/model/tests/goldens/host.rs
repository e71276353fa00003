//! What one host should run, with every field set.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{
    Condition, Endpoints, Gate, Generation, HostSpec, InstanceKind, InstanceSpec, InstanceUid, NetworkId,
    NetworkName, NetworkSpec, RestartPolicy, Revision, ServiceAddress, ServiceKey, Slot, Template,
    TemplateHash, VolumeId, VolumeName, VolumeSpec, WantedRun,
};

use crate::services::{self, name};
use crate::wanted::{id, image};

fn network() -> NetworkId {
    NetworkId::new("shop_front").unwrap()
}

fn volume() -> VolumeId {
    VolumeId::new("shop_data").unwrap()
}

fn address() -> IpAddr {
    [10, 1, 2, 3].into()
}

fn template() -> Template {
    Template {
        service: services::full(),
        image: image(),
        networks: BTreeMap::from([(NetworkName::new("front").unwrap(), network())]),
        volumes: BTreeMap::from([(VolumeName::new("data").unwrap(), volume())]),
        labels: BTreeMap::from([("com.docker.compose.project".to_owned(), "shop".to_owned())]),
    }
}

fn instance(index: u32, kind: InstanceKind, run: WantedRun) -> InstanceSpec {
    let gate = Gate { service: name("db"), condition: Condition::ServiceHealthy, required: true };
    InstanceSpec {
        slot: Slot { stack: id(), service: name("full"), index },
        kind,
        revision: Revision(2),
        template: TemplateHash::from_bytes([7; 32]),
        run,
        restart: RestartPolicy::OnFailure { max: Some(5) },
        restart_nonce: 3,
        renew_volumes: false,
        start_nonce: 4,
        gates: vec![gate],
        addresses: BTreeMap::from([(network(), vec![address()])]),
    }
}

pub(crate) fn spec() -> HostSpec {
    let stopped = WantedRun::Stopped { epoch: 6 };
    let instances = [
        instance(1, InstanceKind::Replica, WantedRun::Running),
        instance(2, InstanceKind::OneOff, stopped),
        instance(3, InstanceKind::Init, WantedRun::Running),
        instance(4, InstanceKind::Job, WantedRun::Running),
    ];
    let network_spec = NetworkSpec {
        users: vec![id()],
        subnets: vec!["10.1.2.0/24".parse().unwrap()],
        services: vec!["10.2.2.0/24".parse().unwrap()],
        internal: true,
        unchecked: true,
    };
    let options = BTreeMap::from([("type".to_owned(), "tmpfs".to_owned())]);
    HostSpec {
        generation: Generation { incarnation: 1, term: 2, n: 3 },
        templates: BTreeMap::from([(TemplateHash::from_bytes([7; 32]), Arc::new(template()))]),
        instances: (1..).zip(instances).map(|(n, spec)| (InstanceUid::from_bytes([n; 16]), spec)).collect(),
        networks: BTreeMap::from([(network(), network_spec)]),
        volumes: BTreeMap::from([(volume(), VolumeSpec { owner: Some(id()), options })]),
        removed_volumes: vec![VolumeId::new("old").unwrap()],
        stop_grace: BTreeMap::from([(id(), Duration::from_secs(1))]),
    }
}

pub(crate) fn endpoints() -> Endpoints {
    let key = ServiceKey { stack: id(), service: name("full"), network: network() };
    let service = ServiceAddress {
        addresses: vec!["10.2.2.7".parse().unwrap()],
        remote: vec!["fd00::9".parse().unwrap()],
        aliases: vec!["www".to_owned()],
    };
    Endpoints {
        generation: Generation { incarnation: 1, term: 2, n: 5 },
        services: BTreeMap::from([(key, service)]),
    }
}
