//! Claims that can't be had: by several replicas of one service, or because another service has them.

use std::net::IpAddr;

use hoist_model::{Failure, HostSpec, Subject};

use super::classify::Desired;
use crate::claims::{self, Claim};

/// What keeps a service from being as its file says, given the services accepted before it.
pub(super) fn find(service: &Desired<'_>, accepted: &[Desired<'_>]) -> Vec<Failure> {
    let mut failures = alone(service);
    let own = claims_of(service);
    for other in accepted.iter().filter(|other| !same(service, other)) {
        for held in claims_of(other) {
            if own.iter().any(|claim| claim.conflicts(&held)) {
                failures.push(taken(service, &held, other));
            }
        }
    }
    failures
}

fn same(a: &Desired<'_>, b: &Desired<'_>) -> bool {
    a.stack == b.stack && a.name == b.name
}

/// Claims that only one replica can have.
fn alone(service: &Desired<'_>) -> Vec<Failure> {
    if service.replicas() <= 1 {
        return Vec::new();
    }
    let name = service.service().container_name.iter().cloned().map(Claim::Name);
    let claims = name.chain(static_addresses(service));
    claims
        .map(|claim| Failure {
            subject: subject(service),
            what: format!(
                "service {} should have {} replicas, but only one can have {claim}",
                service.name,
                service.replicas()
            ),
            hint: Some(format!("remove it from service {}, or scale the service to 1", service.name)),
            permanent: true,
        })
        .collect()
}

/// What a service has alone. A stopped one has let go of its ports, as in Docker.
fn claims_of(service: &Desired<'_>) -> Vec<Claim> {
    if service.replicas() == 0 {
        return Vec::new();
    }
    let claims = claims::of_service(service.service()).into_iter();
    let held = claims.filter(|claim| service.running() || !matches!(claim, Claim::Port { .. }));
    held.chain(static_addresses(service)).collect()
}

pub(super) fn static_addresses(service: &Desired<'_>) -> Vec<Claim> {
    let template = &service.defined.template;
    let mut claims = Vec::new();
    for (key, at) in &template.service.networks {
        let Some(id) = template.networks.get(key) else { continue };
        let given = at.ipv4.map(IpAddr::V4).into_iter().chain(at.ipv6.map(IpAddr::V6));
        claims.extend(given.map(|address| Claim::Address(id.clone(), address)));
    }
    claims
}

fn taken(service: &Desired<'_>, claim: &Claim, by: &Desired<'_>) -> Failure {
    let whose = if by.stack == service.stack {
        format!("service {}", by.name)
    } else {
        format!("service {} of stack {}", by.name, by.stack)
    };
    Failure {
        subject: subject(service),
        what: format!("service {} wants {claim}, which {whose} has", service.name),
        hint: Some(format!("choose another in one of the two files, or stop {whose}")),
        permanent: true,
    }
}

fn subject(service: &Desired<'_>) -> Subject {
    Subject::Service(service.stack.clone(), service.name.clone())
}

/// Whether the previous spec has this service at this definition: it was there first.
pub(super) fn incumbent(service: &Desired<'_>, previous: &HostSpec) -> bool {
    previous.instances.values().any(|instance| {
        instance.template == service.defined.hash
            && instance.slot.service == *service.name
            && instance.slot.stack == *service.stack
    })
}

/// A claim that a stack has which keeps what it had.
pub(super) fn held(service: &Desired<'_>, claim: &Claim, stack: &hoist_model::StackId) -> Failure {
    Failure {
        subject: subject(service),
        what: format!("service {} wants {claim}, which stack {stack} has", service.name),
        hint: Some(format!("choose another in one of the two files, or take stack {stack} down")),
        permanent: true,
    }
}
