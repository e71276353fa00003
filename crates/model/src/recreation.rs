//! What decides that an instance of a service must be made anew: an explicit list, written as text and digested.
//!
//! Hosts compare digests that an earlier release stored, so the text never changes for a service that says nothing of
//! what came later. The first release wrote each member, also at its default: [`Essence`] goes on writing those, in
//! their order, and writes a constant where a member stood that decides nothing. Whatever is added is written only where
//! it differs from its default. The same holds for the parts (mounts, ports, …), which are written as they are stored.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    Attachment, Command, Dependency, EndpointMode, EnvValue, Healthcheck, Hooks, ImageSource, LogPolicy,
    Mount, MountKind, NetworkMode, NetworkName, OnChange, Port, PullPolicy, Resources, RestartPolicy,
    Seccomp, Service, ServiceName, TemplateHash, UpdateOrder,
};

impl Service {
    /// Digest of what decides recreation. Equal digests: what can be changed around a running instance, at most, differs.
    ///
    /// # Panics
    /// Never: the type holds nothing that JSON can't hold.
    #[must_use]
    pub fn recreation_hash(&self) -> TemplateHash {
        let text = serde_json::to_vec(&Essence::of(self)).expect("a service holds only what JSON can hold");
        TemplateHash::from_bytes(Sha256::digest(text).into())
    }
}

/// The list. Order and names are those of the first release.
#[derive(Serialize)]
struct Essence<'a> {
    image: &'a ImageSource,
    pull_policy: PullPolicy,
    entrypoint: &'a Command,
    command: &'a Command,
    environment: &'a BTreeMap<String, EnvValue>,
    working_dir: &'a Option<String>,
    user: &'a Option<String>,
    group_add: &'a [String],
    hostname: &'a Option<String>,
    domainname: &'a Option<String>,
    container_name: &'a Option<String>,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    ports: &'a [Port],
    network_mode: &'a NetworkMode,
    networks: &'a BTreeMap<NetworkName, Attachment>,
    endpoint_mode: EndpointMode,
    extra_hosts: &'a [(String, String)],
    dns: &'a [String],
    dns_search: &'a [String],
    dns_opt: &'a [String],
    mounts: Cow<'a, [Mount]>,
    depends_on: BTreeMap<ServiceName, Dependency>,
    healthcheck: Option<Healthcheck>,
    restart: RestartPolicy,
    replicas: u32,
    resources: &'a Resources,
    cap_add: &'a [String],
    cap_drop: &'a [String],
    no_new_privileges: bool,
    #[serde(skip_serializing_if = "Seccomp::is_usual")]
    seccomp: &'a Seccomp,
    #[serde(skip_serializing_if = "Option::is_none")]
    apparmor: &'a Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    open_system_paths: bool,
    privileged: bool,
    read_only: bool,
    init: bool,
    tty: bool,
    stdin_open: bool,
    sysctls: &'a BTreeMap<String, String>,
    devices: &'a [(String, String, String)],
    stop_signal: &'a Option<String>,
    stop_grace_period: Duration,
    attach: bool,
    logs: &'a LogPolicy,
    update_order: UpdateOrder,
    // What came later follows, each left out at its default.
    #[serde(skip_serializing_if = "Hooks::is_empty")]
    hooks: &'a Hooks,
    #[cfg(test)]
    #[serde(skip_serializing_if = "Option::is_none")]
    deciding: &'a Option<String>,
}

impl<'a> Essence<'a> {
    fn of(service: &'a Service) -> Self {
        // Taken apart in full: whoever adds a field to a service decides here whether it is in the list.
        let Service {
            image,
            pull_policy: _,
            entrypoint,
            command,
            environment,
            working_dir,
            user,
            group_add,
            hostname,
            domainname,
            container_name,
            labels,
            annotations,
            ports,
            network_mode,
            networks,
            endpoint_mode: _,
            expose: _,
            extra_hosts,
            dns,
            dns_search,
            dns_opt,
            mounts,
            depends_on: _,
            healthcheck,
            restart: _,
            replicas: _,
            resources,
            cap_add,
            cap_drop,
            no_new_privileges,
            seccomp,
            apparmor,
            open_system_paths,
            privileged,
            read_only,
            init,
            tty,
            stdin_open,
            sysctls,
            devices,
            stop_signal,
            stop_grace_period: _,
            attach: _,
            logs,
            update_order: _,
            on_change,
            update: _,
            rollout: _,
            hooks,
            liveness: _,
            restart_pacing: _,
            on_dependency_unhealthy: _,
            step_of: _,
            #[cfg(test)]
            deciding,
            #[cfg(test)]
                aside: _,
        } = service;
        Self {
            image,
            pull_policy: PullPolicy::Missing,
            entrypoint,
            command,
            environment,
            working_dir,
            user,
            group_add,
            hostname,
            domainname,
            container_name,
            labels,
            annotations,
            ports,
            network_mode,
            networks,
            endpoint_mode: EndpointMode::Vip,
            extra_hosts,
            dns,
            dns_search,
            dns_opt,
            mounts: deciding_mounts(mounts, on_change),
            depends_on: BTreeMap::new(),
            healthcheck: healthcheck.as_ref().map(probed),
            restart: RestartPolicy::No,
            replicas: 1,
            resources,
            cap_add,
            cap_drop,
            no_new_privileges: *no_new_privileges,
            seccomp,
            apparmor,
            open_system_paths: *open_system_paths,
            privileged: *privileged,
            read_only: *read_only,
            init: *init,
            tty: *tty,
            stdin_open: *stdin_open,
            sysctls,
            devices,
            stop_signal,
            stop_grace_period: Duration::ZERO,
            attach: true,
            logs,
            update_order: UpdateOrder::Safe,
            hooks,
            #[cfg(test)]
            deciding,
        }
    }
}

/// Where other content of files recreates nothing, it isn't in the list either.
fn deciding_mounts<'a>(mounts: &'a [Mount], on_change: &OnChange) -> Cow<'a, [Mount]> {
    if on_change.is_usual() {
        return Cow::Borrowed(mounts);
    }
    let mut mounts = mounts.to_vec();
    for mount in &mut mounts {
        match &mut mount.kind {
            MountKind::Content { content, .. } => content.clear(),
            MountKind::Bind { content, .. } => *content = None,
            MountKind::Volume { .. } | MountKind::Anonymous | MountKind::Tmpfs(_) => {}
        }
    }
    Cow::Owned(mounts)
}

/// Only how soon a check is probed at the start hangs on whether `start_interval` is declared.
fn probed(check: &Healthcheck) -> Healthcheck {
    let start_interval = Some(check.start_interval.unwrap_or(Healthcheck::START_INTERVAL));
    Healthcheck { start_interval, ..check.clone() }
}

#[cfg(test)]
mod tests {
    use hoist_goldens::Golden;

    use super::*;

    type Services = BTreeMap<ServiceName, Service>;

    /// Read with two fields more than the release had that wrote them.
    fn stored() -> Services {
        Golden::new(env!("CARGO_MANIFEST_DIR"), "v1/services.json").read()
    }

    fn hashes(services: &Services) -> BTreeMap<String, String> {
        services.iter().map(|(name, one)| (name.to_string(), one.recreation_hash().to_string())).collect()
    }

    #[test]
    fn a_new_optional_field_replaces_nothing() {
        let golden = Golden::new(env!("CARGO_MANIFEST_DIR"), "v1/service-hashes.json");
        golden.reads_as(&hashes(&stored()));
    }

    #[test]
    fn a_new_field_that_is_set_replaces_when_it_is_in_the_list() {
        for service in stored().into_values() {
            let deciding = Service { deciding: Some("x".to_owned()), ..service.clone() };
            assert_ne!(deciding.recreation_hash(), service.recreation_hash());
            let aside = Service { aside: true, ..service.clone() };
            assert_eq!(aside.recreation_hash(), service.recreation_hash());
        }
    }

    #[test]
    fn other_content_recreates_unless_it_is_declared_otherwise() {
        let with = |content: &str, on_change: OnChange| {
            let config =
                MountKind::Content { content: content.into(), uid: 0, gid: 0, mode: 0o444, sensitive: false };
            let file = MountKind::Bind {
                source: "/srv/conf".into(),
                create: false,
                propagation: None,
                recursive: true,
                writable_below: false,
                content: Some(crate::Digest::of(content.as_bytes())),
            };
            let mount = |kind| Mount { target: "/conf".into(), kind, read_only: true, options: Vec::new() };
            Service { mounts: vec![mount(config), mount(file)], on_change, ..Service::default() }
                .recreation_hash()
        };
        assert_ne!(with("1", OnChange::Recreate), with("2", OnChange::Recreate));
        assert_eq!(with("1", OnChange::None), with("2", OnChange::None));
        assert_eq!(with("1", OnChange::None), with("1", OnChange::Signal("HUP".to_owned())));
    }

    #[test]
    fn what_changes_around_a_running_instance_replaces_nothing() {
        let service = Service::default();
        let around = Service {
            pull_policy: PullPolicy::Always,
            endpoint_mode: EndpointMode::Dnsrr,
            depends_on: BTreeMap::from([(ServiceName::new("db").unwrap(), Dependency::default())]),
            restart: RestartPolicy::Always,
            replicas: 7,
            stop_grace_period: Duration::from_secs(1),
            attach: false,
            update_order: UpdateOrder::StartFirst,
            update: crate::Update { parallelism: 2, ..crate::Update::default() },
            ..service.clone()
        };
        assert_eq!(around.recreation_hash(), service.recreation_hash());
        let other = Service { tty: true, ..service.clone() };
        assert_ne!(other.recreation_hash(), service.recreation_hash());
    }
}
