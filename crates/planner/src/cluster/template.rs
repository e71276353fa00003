//! From a revision to the template that instances share, and the digest that decides recreation.

use std::collections::BTreeMap;
use std::sync::Arc;

use hoist_model::{
    MountKind, Network, NetworkId, Service, ServiceName, StackRevision, Template, TemplateHash, VolumeId,
    VolumeName, WantedStack,
};
use ipnetwork::IpNetwork;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// A service at one revision, with what its instances share.
#[derive(Debug, Clone)]
pub(super) struct Defined {
    pub(super) hash: TemplateHash,
    pub(super) template: Arc<Template>,
}

/// What decides recreation besides the service itself. Hosts compare digests that an earlier release stored: a member
/// that is added is left out at its default (see [`Service::recreation_hash`]).
#[derive(Serialize)]
struct Essence<'a> {
    stack: String,
    service: &'a str,
    definition: TemplateHash,
    image: Option<&'a hoist_model::Digest>,
    networks: Vec<EssenceOfNetwork<'a>>,
    volumes: &'a BTreeMap<VolumeName, VolumeId>,
}

/// What of a network's declaration decides recreation, as the first release wrote it: all of it.
#[derive(Serialize)]
struct EssenceOfNetwork<'a> {
    id: &'a NetworkId,
    external: bool,
    internal: bool,
    ipv6: bool,
    subnets: &'a [IpNetwork],
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unchecked: bool,
}

impl<'a> From<&'a Network> for EssenceOfNetwork<'a> {
    fn from(network: &'a Network) -> Self {
        // Taken apart in full: whoever adds a field decides here whether it is in the list.
        let Network { id, external, internal, ipv6, subnets, labels, unchecked } = network;
        Self {
            id,
            external: *external,
            internal: *internal,
            ipv6: *ipv6,
            subnets,
            labels,
            unchecked: *unchecked,
        }
    }
}

/// The definition of a service at a revision; none when the revision lacks it, or its image isn't settled.
pub(super) fn define(wanted: &WantedStack, revision: &StackRevision, name: &ServiceName) -> Option<Defined> {
    let service = revision.stack.services.get(name)?;
    let image = revision.images.get(name)?;
    let networks = networks(revision, service);
    let volumes = volumes(revision, service);
    let essence = Essence {
        stack: revision.stack.id.to_string(),
        service: name.as_str(),
        definition: service.recreation_hash(),
        image: image.digest.as_ref(),
        networks: networks.values().map(|network| EssenceOfNetwork::from(*network)).collect(),
        volumes: &volumes,
    };
    let text = serde_json::to_vec(&essence).expect("names, digests and networks are what JSON can hold");
    let template = Template {
        service: service.clone(),
        image: image.clone(),
        networks: networks.into_iter().map(|(key, network)| (key.clone(), network.id.clone())).collect(),
        volumes,
        labels: labels(wanted, revision, name),
    };
    Some(Defined {
        hash: TemplateHash::from_bytes(Sha256::digest(text).into()),
        template: Arc::new(template),
    })
}

fn networks<'a>(
    revision: &'a StackRevision,
    service: &'a Service,
) -> BTreeMap<&'a hoist_model::NetworkName, &'a Network> {
    service.networks.keys().filter_map(|key| Some((key, revision.stack.networks.get(key)?))).collect()
}

fn volumes(revision: &StackRevision, service: &Service) -> BTreeMap<VolumeName, VolumeId> {
    let mounted = |id: &VolumeId| {
        service
            .mounts
            .iter()
            .any(|mount| matches!(&mount.kind, MountKind::Volume { id: other, .. } if other == id))
    };
    let used = revision.stack.volumes.iter().filter(|(_, volume)| mounted(&volume.id));
    used.map(|(key, volume)| (key.clone(), volume.id.clone())).collect()
}

/// The labels by which Compose's tools find containers. They don't decide recreation.
fn labels(wanted: &WantedStack, revision: &StackRevision, name: &ServiceName) -> BTreeMap<String, String> {
    let files: Vec<String> = wanted.files.iter().map(|file| file.display().to_string()).collect();
    let labels = [
        ("project", revision.stack.id.stem()),
        ("service", name.to_string()),
        ("oneoff", "False".to_owned()),
        ("project.working_dir", wanted.project_dir.display().to_string()),
        ("project.config_files", files.join(",")),
    ];
    labels.into_iter().map(|(key, value)| (format!("com.docker.compose.{key}"), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_written_as_the_first_release_wrote_it() {
        let mut network = Network {
            id: NetworkId::new("shop_front").unwrap(),
            external: false,
            internal: true,
            ipv6: false,
            subnets: vec!["10.1.0.0/24".parse().unwrap()],
            labels: BTreeMap::from([("tier".to_owned(), "front".to_owned())]),
            unchecked: false,
        };
        let text = |network: &Network| serde_json::to_string(&EssenceOfNetwork::from(network)).unwrap();
        let plain = r#"{"id":"shop_front","external":false,"internal":true,"ipv6":false,"subnets":["10.1.0.0/24"],"labels":{"tier":"front"}}"#;
        assert_eq!(text(&network), plain);
        network.unchecked = true;
        assert_eq!(
            text(&network),
            format!(r#"{},"unchecked":true}}"#, plain.trim_end_matches('}').to_owned() + "}")
        );
    }
}
