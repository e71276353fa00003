//! Digests of what a preview was computed from, by name: two previews are about the same only where all are equal.

use std::collections::BTreeMap;

use hoist_model::StackId;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::PreviewInput;
use crate::cluster::Request;

/// The digests.
pub(super) fn digests(input: &PreviewInput<'_>, stack: &StackId) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    match &input.request {
        Request::Up(up) => {
            for (name, service) in &up.stack.services {
                found.insert(format!("service {name}"), digest(service));
            }
            found.insert("networks".to_owned(), digest(&up.stack.networks));
            found.insert("volumes".to_owned(), digest(&up.stack.volumes));
            found.insert("options".to_owned(), digest(&up.options));
        }
        Request::Down { services, volumes, .. } => {
            found.insert("options".to_owned(), digest(&(services, volumes)));
        }
        Request::Stop { .. } | Request::Start { .. } | Request::Restart { .. } | Request::Rollback { .. } => {
        }
    }
    for (name, image) in input.images {
        let digest = image.image.digest.as_ref().or(image.remote.as_ref());
        let text = digest.map_or_else(|| "not known".to_owned(), ToString::to_string);
        found.insert(format!("image of {name}"), text);
    }
    let wanted = input.known.stacks.get(stack);
    let newest = wanted.and_then(|wanted| wanted.revisions.last_key_value()).map(|(number, _)| *number);
    let intents = wanted.map(|wanted| &wanted.intents);
    found.insert("what is wanted".to_owned(), digest(&(newest, intents)));
    for (uid, seen) in input.view.values().flat_map(|report| &report.instances) {
        if seen.slot.stack == *stack {
            let stands = (seen.template, seen.phase.docker_state(), seen.restart_nonce, seen.start_nonce);
            found.insert(format!("instance {} ({})", seen.slot.short(), uid.short()), digest(&stands));
        }
    }
    found
}

/// A digest of any value.
pub(super) fn digest<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_vec(value).expect("ids, numbers and texts are what JSON can hold");
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
