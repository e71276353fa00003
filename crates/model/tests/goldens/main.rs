//! What releases have stored is read for ever, comes to the same values, and decides recreation as it did.
//!
//! `goldens/v1/` has the documents as the first release writes them. Specs are the agent's ledger, endpoints its
//! `endpoints.json`, wanted stacks the larger part of the orchestrator's store.
#![allow(clippy::unwrap_used, reason = "a test's own values are valid")]

mod host;
mod services;
mod wanted;

use std::collections::BTreeMap;
use std::fmt::Debug;

use hoist_goldens::Golden;
use hoist_model::{Endpoints, HistoryEntry, HostSpec, Revision, Service, ServiceName, Update, WantedStack};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn golden(name: &str) -> Golden {
    Golden::new(env!("CARGO_MANIFEST_DIR"), name)
}

fn holds<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let golden = golden(name);
    golden.is_written_for(value);
    golden.reads_as(value);
    golden.bends_as_ever::<T>();
}

fn hashes(services: &BTreeMap<ServiceName, Service>) -> BTreeMap<String, String> {
    let hash =
        |(name, service): (&ServiceName, &Service)| (name.to_string(), service.recreation_hash().to_string());
    services.iter().map(hash).collect()
}

#[test]
fn services() {
    holds("v1/services.json", &services::all());
}

#[test]
fn services_replaced_in_batches() {
    let paced = services::paced();
    assert_eq!(
        paced.recreation_hash(),
        Service { update: Update::default(), ..paced.clone() }.recreation_hash()
    );
    holds("v2/update.json", &paced);
}

#[test]
fn hashes_of_services() {
    let read: BTreeMap<ServiceName, Service> = golden("v1/services.json").read();
    golden("v1/service-hashes.json").is_written_for(&hashes(&read));
}

#[test]
fn host_specs() {
    holds::<HostSpec>("v1/host-spec.json", &host::spec());
}

#[test]
fn endpoints() {
    holds::<Endpoints>("v1/endpoints.json", &host::endpoints());
}

#[test]
fn history() {
    holds::<BTreeMap<Revision, HistoryEntry>>("v2/history.json", &wanted::history());
}

#[test]
fn wanted_stacks() {
    holds::<WantedStack>("v1/wanted-stack.json", &wanted::stack());
}
