//! Stacks for tests in a few words: `stack("shop").service(service("web").needs("db", Healthy))`.
//!
//! Names are checked by the model's own types; a wrong one panics, which in a test is the right thing.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::{
    Attachment, Command, Condition, Dependency, HealthTest, Healthcheck, ImageConfig, ImageSource, Mount,
    MountKind, Network, NetworkId, NetworkMode, NetworkName, Port, Protocol, ResolvedImage, RestartPolicy,
    Service, ServiceName, Stack, StackId, StackName, Volume, VolumeId, VolumeName,
};

/// A service's name.
#[must_use]
pub fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("tests use valid names")
}

/// A stack's id.
#[must_use]
pub fn id(text: &str) -> StackId {
    StackId::new(StackName::new(text).expect("tests use valid names"))
}

/// A stack in the making. Services without a network of their own join `default`.
#[derive(Debug, Clone)]
pub struct StackBuilder(Stack);

/// An empty stack.
#[must_use]
pub fn stack(text: &str) -> StackBuilder {
    StackBuilder(Stack {
        id: id(text),
        services: BTreeMap::new(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
    })
}

impl StackBuilder {
    /// Adds a service, with the networks and volumes that it names.
    #[must_use]
    pub fn service(mut self, builder: ServiceBuilder) -> Self {
        let ServiceBuilder { name, mut service, volumes } = builder;
        let default = NetworkName::new("default").expect("a valid name");
        if service.networks.is_empty() && service.network_mode == NetworkMode::Own {
            service.networks.insert(default, Attachment::default());
        }
        let stem = self.0.id.stem();
        for key in service.networks.keys() {
            let id = NetworkId::new(format!("{stem}_{key}")).expect("tests use valid names");
            self.0.networks.entry(key.clone()).or_insert_with(|| network(id));
        }
        for (key, target) in volumes {
            let id = VolumeId::new(format!("{stem}_{key}")).expect("tests use valid names");
            let kind = MountKind::Volume { id: id.clone(), subpath: None, no_copy: false };
            service.mounts.push(Mount { target: target.into(), kind, read_only: false, options: Vec::new() });
            let volume = Volume { id, external: false, options: BTreeMap::new(), labels: BTreeMap::new() };
            self.0.volumes.entry(VolumeName::new(key).expect("tests use valid names")).or_insert(volume);
        }
        self.0.services.insert(name, service);
        self
    }

    /// Changes a network: `external`, `subnets`, …
    #[must_use]
    pub fn network(mut self, key: &str, change: impl FnOnce(&mut Network)) -> Self {
        let key = NetworkName::new(key).expect("tests use valid names");
        change(self.0.networks.get_mut(&key).expect("a service names the network first"));
        self
    }

    /// Changes a volume: `external`, `options`, …
    #[must_use]
    pub fn volume(mut self, key: &str, change: impl FnOnce(&mut Volume)) -> Self {
        let key = VolumeName::new(key).expect("tests use valid names");
        change(self.0.volumes.get_mut(&key).expect("a service names the volume first"));
        self
    }

    /// The stack.
    #[must_use]
    pub fn build(self) -> Stack {
        self.0
    }
}

fn network(id: NetworkId) -> Network {
    Network {
        id,
        external: false,
        internal: false,
        ipv6: false,
        subnets: Vec::new(),
        labels: BTreeMap::new(),
        unchecked: false,
    }
}

/// A service in the making.
#[derive(Debug, Clone)]
pub struct ServiceBuilder {
    name: ServiceName,
    service: Service,
    volumes: Vec<(String, String)>,
}

/// A service with everything at its default.
#[must_use]
pub fn service(text: &str) -> ServiceBuilder {
    ServiceBuilder { name: name(text), service: plain(), volumes: Vec::new() }
}

impl ServiceBuilder {
    /// `depends_on` with a condition.
    #[must_use]
    pub fn needs(self, service: &str, condition: Condition) -> Self {
        self.depends(service, Dependency { condition, restart: false, required: true })
    }

    /// `depends_on` in full.
    #[must_use]
    pub fn depends(mut self, service: &str, dependency: Dependency) -> Self {
        self.service.depends_on.insert(name(service), dependency);
        self
    }

    /// `restart`.
    #[must_use]
    pub fn restart(self, policy: RestartPolicy) -> Self {
        self.with(|service| service.restart = policy)
    }

    /// `deploy.replicas`.
    #[must_use]
    pub fn replicas(self, replicas: u32) -> Self {
        self.with(|service| service.replicas = replicas)
    }

    /// A health check, once a second, unhealthy after three failures.
    #[must_use]
    pub fn checked(self) -> Self {
        self.with(|service| {
            service.healthcheck = Some(Healthcheck {
                test: HealthTest::Shell("true".to_owned()),
                interval: Duration::from_secs(1),
                ..Healthcheck::default()
            });
        })
    }

    /// `environment`: the simplest change that recreates.
    #[must_use]
    pub fn env(self, key: &str, value: &str) -> Self {
        self.with(|service| drop(service.environment.insert(key.to_owned(), value.into())))
    }

    /// A published TCP port.
    #[must_use]
    pub fn port(self, published: u16, target: u16) -> Self {
        let port = Port { host_ip: None, published: Some(published), target, protocol: Protocol::Tcp };
        self.with(|service| service.ports.push(port))
    }

    /// A network, in which the service has no fixed address.
    #[must_use]
    pub fn network(self, key: &str) -> Self {
        let key = NetworkName::new(key).expect("tests use valid names");
        self.with(|service| drop(service.networks.insert(key, Attachment::default())))
    }

    /// A named volume, mounted there.
    #[must_use]
    pub fn volume(mut self, key: &str, target: &str) -> Self {
        self.volumes.push((key.to_owned(), target.to_owned()));
        self
    }

    /// Any other change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Service)) -> Self {
        change(&mut self.service);
        self
    }
}

fn plain() -> Service {
    Service {
        image: ImageSource::Reference("test".to_owned()),
        command: Command::Given(vec!["run".to_owned()]),
        ..Service::default()
    }
}

/// The image that a source is settled to in tests: nothing in it but its name.
#[must_use]
pub fn image(source: &ImageSource) -> ResolvedImage {
    ResolvedImage { source: source.clone(), digest: None, config: ImageConfig::default() }
}
