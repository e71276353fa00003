//! A service as the planner sees it: lowered, validated, without spans.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Attachment, Digest, EndpointMode, EnvValue, Healthcheck, Hooks, ImageSource, Listener, Liveness, Mount,
    MountKind, NetworkMode, NetworkName, Port, PullPolicy, Resources, Rollout, Seccomp, ServiceName, Update,
};

/// A service of a stack. Defaults are applied; names of networks are keys of [`crate::Stack::networks`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// The base of its file system.
    pub image: ImageSource,
    /// `pull_policy`.
    pub pull_policy: PullPolicy,
    /// `entrypoint`; when given, the image's command is not used.
    pub entrypoint: Command,
    /// `command`.
    pub command: Command,
    /// `environment` over `env_file`, before the image's own.
    pub environment: BTreeMap<String, EnvValue>,
    /// `working_dir`.
    pub working_dir: Option<String>,
    /// `user`, as written: `name`, `uid`, `user:group`.
    pub user: Option<String>,
    /// `group_add`.
    pub group_add: Vec<String>,
    /// `hostname`; the instance's short id when none.
    pub hostname: Option<String>,
    /// `domainname`.
    pub domainname: Option<String>,
    /// `container_name`.
    pub container_name: Option<String>,
    /// `labels`.
    pub labels: BTreeMap<String, String>,
    /// `annotations`.
    pub annotations: BTreeMap<String, String>,
    /// Published ports.
    pub ports: Vec<Port>,
    /// `expose`: ports that other services may expect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<Listener>,
    /// `network_mode`.
    pub network_mode: NetworkMode,
    /// `networks`; empty unless `network_mode` is [`NetworkMode::Own`].
    pub networks: BTreeMap<NetworkName, Attachment>,
    /// `deploy.endpoint_mode`.
    pub endpoint_mode: EndpointMode,
    /// `extra_hosts`: name and address, or `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    /// `dns`.
    pub dns: Vec<String>,
    /// `dns_search`.
    pub dns_search: Vec<String>,
    /// `dns_opt`.
    pub dns_opt: Vec<String>,
    /// `volumes`, `tmpfs`, `configs`, `secrets`.
    pub mounts: Vec<Mount>,
    /// `depends_on`, and what `links`, `volumes_from`, `network_mode: service:` imply.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// `healthcheck`, laid over the image's; none: the image's.
    pub healthcheck: Option<Healthcheck>,
    /// `restart`, or `deploy.restart_policy`.
    pub restart: RestartPolicy,
    /// `deploy.replicas` or `scale`.
    pub replicas: u32,
    /// Limits.
    pub resources: Resources,
    /// `cap_add`, without `CAP_`, upper case; `ALL` allowed.
    pub cap_add: Vec<String>,
    /// `cap_drop`, likewise.
    pub cap_drop: Vec<String>,
    /// `security_opt: no-new-privileges`.
    pub no_new_privileges: bool,
    /// `security_opt: seccomp`.
    #[serde(skip_serializing_if = "Seccomp::is_usual")]
    pub seccomp: Seccomp,
    /// `security_opt: apparmor`, a profile of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<String>,
    /// `security_opt: systempaths=unconfined`: no part of `/proc` and `/sys` is hidden or read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub open_system_paths: bool,
    /// `privileged`.
    pub privileged: bool,
    /// `read_only`.
    pub read_only: bool,
    /// `init`.
    pub init: bool,
    /// `tty`.
    pub tty: bool,
    /// `stdin_open`.
    pub stdin_open: bool,
    /// `sysctls`.
    pub sysctls: BTreeMap<String, String>,
    /// `devices`: host path, path inside, permissions.
    pub devices: Vec<(String, String, String)>,
    /// `stop_signal`; the image's or SIGTERM when none.
    pub stop_signal: Option<String>,
    /// `stop_grace_period`.
    pub stop_grace_period: Duration,
    /// `attach: false` keeps its logs out of `up`.
    pub attach: bool,
    /// `logging` limits.
    pub logs: LogPolicy,
    /// `deploy.update_config.order`.
    pub update_order: UpdateOrder,
    /// `x-hoist.on-change`: what other content of configs, secrets and files means.
    #[serde(skip_serializing_if = "OnChange::is_usual")]
    pub on_change: OnChange,
    /// The rest of `deploy.update_config`.
    #[serde(skip_serializing_if = "Update::is_usual")]
    pub update: Update,
    /// What `x-hoist` says about rollouts.
    #[serde(skip_serializing_if = "Rollout::is_usual")]
    pub rollout: Rollout,
    /// `post_start` and `pre_stop`.
    #[serde(skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// What makes its instances start anew beside their end.
    #[serde(skip_serializing_if = "Liveness::is_usual")]
    pub liveness: Liveness,
    /// `x-hoist.on-dependency-unhealthy`.
    #[serde(skip_serializing_if = "OnUnhealthy::is_usual")]
    pub on_dependency_unhealthy: OnUnhealthy,
    /// The rest of `deploy.restart_policy`.
    #[serde(skip_serializing_if = "RestartPacing::is_usual")]
    pub restart_pacing: RestartPacing,
    /// It is a `pre_start` step of this service: it runs to its end before that starts, and again only when it is
    /// another or has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_of: Option<ServiceName>,
    /// Stands for what a later release adds and what decides recreation.
    #[cfg(test)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deciding: Option<String>,
    /// Stands for what a later release adds and what can be changed around a running instance.
    #[cfg(test)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) aside: bool,
}

impl Service {
    /// What the files that are given to it have in them, as a digest: configs, secrets, and single files of the host.
    ///
    /// # Panics
    /// Never: mounts hold nothing that JSON can't hold.
    #[must_use]
    pub fn contents(&self) -> Digest {
        let given = self.mounts.iter().filter(|mount| match &mount.kind {
            MountKind::Content { .. } => true,
            MountKind::Bind { content, .. } => content.is_some(),
            MountKind::Volume { .. } | MountKind::Anonymous | MountKind::Tmpfs(_) => false,
        });
        let text =
            serde_json::to_vec(&given.collect::<Vec<_>>()).expect("mounts hold only what JSON can hold");
        Digest::of(&text)
    }
}

impl Default for Service {
    /// A service of which the file says nothing, and that has no image yet.
    fn default() -> Self {
        Self {
            image: ImageSource::default(),
            pull_policy: PullPolicy::default(),
            entrypoint: Command::default(),
            command: Command::default(),
            environment: BTreeMap::new(),
            working_dir: None,
            user: None,
            group_add: Vec::new(),
            hostname: None,
            domainname: None,
            container_name: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            ports: Vec::new(),
            network_mode: NetworkMode::default(),
            networks: BTreeMap::new(),
            endpoint_mode: EndpointMode::default(),
            expose: Vec::new(),
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_opt: Vec::new(),
            mounts: Vec::new(),
            depends_on: BTreeMap::new(),
            healthcheck: None,
            restart: RestartPolicy::default(),
            replicas: 1,
            resources: Resources::default(),
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            no_new_privileges: false,
            seccomp: Seccomp::default(),
            apparmor: None,
            open_system_paths: false,
            privileged: false,
            read_only: false,
            init: false,
            tty: false,
            stdin_open: false,
            sysctls: BTreeMap::new(),
            devices: Vec::new(),
            stop_signal: None,
            stop_grace_period: Duration::from_secs(10),
            attach: true,
            logs: LogPolicy::default(),
            update_order: UpdateOrder::default(),
            on_change: OnChange::default(),
            update: Update::default(),
            rollout: Rollout::default(),
            hooks: Hooks::default(),
            liveness: Liveness::default(),
            restart_pacing: RestartPacing::default(),
            on_dependency_unhealthy: OnUnhealthy::default(),
            step_of: None,
            #[cfg(test)]
            deciding: None,
            #[cfg(test)]
            aside: false,
        }
    }
}

/// `x-hoist.on-change`: what `up` does when nothing of a service but the content of its configs, secrets and single files
/// has changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    /// Another content is another definition.
    #[default]
    Recreate,
    /// What runs goes on; the next start has the new content.
    None,
    /// What runs gets the new content in place, and then this signal.
    Signal(String),
}

impl OnChange {
    /// Nothing is declared.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::Recreate
    }
}

/// `command` or `entrypoint`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Not given: the image's.
    #[default]
    Image,
    /// Given, perhaps empty, which clears the image's.
    Given(Vec<String>),
}

/// What must be true of another service first. Compose specification, `depends_on`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Dependency {
    /// The condition to wait for.
    pub condition: crate::Condition,
    /// Restart this service when a person restarts or updates the dependency.
    pub restart: bool,
    /// A missing dependency is an error, not a warning.
    pub required: bool,
}

impl Default for Dependency {
    /// The short form of `depends_on`.
    fn default() -> Self {
        Self { condition: crate::Condition::default(), restart: false, required: true }
    }
}

/// `restart`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// When it fails, so many times at most.
    OnFailure {
        /// The most restarts in a row; unlimited when none.
        max: Option<u32>,
    },
    /// Unless a person stopped it.
    UnlessStopped,
    /// Always; after a person's stop from the next start of the daemon on.
    Always,
}

/// What becomes of a running instance when a service is unhealthy that it depends on with `service_healthy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnhealthy {
    /// Nothing.
    #[default]
    Ignore,
    /// It is not ready meanwhile.
    Hold,
    /// It starts anew once the other is healthy again.
    Restart,
}

impl OnUnhealthy {
    /// Nothing is declared.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What `deploy.restart_policy` says of restarts beside `condition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartPacing {
    /// The pause before each restart; when none, it grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// A run that lasts so long has succeeded: restarts are counted anew after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// The most restarts that are counted, for conditions other than `on-failure` too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

impl RestartPacing {
    /// Nothing is declared.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// How much of an instance's output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct LogPolicy {
    /// Keep nothing at all (`driver: none`).
    pub disabled: bool,
    /// Bytes of one segment.
    pub max_size: Option<u64>,
    /// Segments kept.
    pub max_files: Option<u32>,
}

impl Default for LogPolicy {
    fn default() -> Self {
        Self { disabled: false, max_size: Some(16 << 20), max_files: Some(5) }
    }
}

/// `deploy.update_config.order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// Not declared: what is safe for the service's claims.
    #[default]
    Safe,
    /// The new instance starts before the old one stops.
    StartFirst,
    /// The old instance stops before the new one starts.
    StopFirst,
}
