//! Services that together have every field set and every variant.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::{
    Attachment, Command, Condition, Dependency, EndpointMode, EnvValue, HealthTest, Healthcheck, ImageSource,
    LogPolicy, Mount, MountKind, NetworkMode, NetworkName, OnChange, Port, Protocol, PullPolicy, Resources,
    RestartPolicy, Rollout, Seccomp, SeccompAction, SeccompArchitecture, SeccompArgument, SeccompConditions,
    SeccompFlag, SeccompOperator, SeccompProfile, SeccompRule, Service, ServiceName, TmpfsOptions, Ulimit,
    UpdateOrder, VolumeId,
};

pub(crate) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

pub(crate) fn all() -> BTreeMap<ServiceName, Service> {
    let services = [("full", full()), ("host", host()), ("layout", layout()), ("plain", plain())];
    let folder = ("folder", folder());
    services.into_iter().chain([folder]).map(|(key, service)| (name(key), service)).collect()
}

pub(crate) fn plain() -> Service {
    Service { image: ImageSource::Reference("nginx:1.27".into()), ..Service::default() }
}

/// What `deploy.update_config` says beside the order.
pub(crate) fn paced() -> Service {
    let update = hoist_model::Update {
        parallelism: 2,
        delay: Duration::from_millis(1500),
        max_failure_per_mille: 250,
        failure_action: hoist_model::FailureAction::Rollback,
    };
    Service { replicas: 4, update, ..Service::default() }
}

pub(crate) fn full() -> Service {
    Service {
        image: ImageSource::Reference("registry.example/shop/web@sha256:aa".into()),
        pull_policy: PullPolicy::Every(86_400),
        entrypoint: Command::Given(texts(&["/entry", "--x"])),
        command: Command::Given(texts(&["serve"])),
        environment: BTreeMap::from([
            ("MODE".to_owned(), "prod".into()),
            ("TOKEN".to_owned(), EnvValue { value: "s3cret".into(), sensitive: true }),
        ]),
        working_dir: Some("/srv".into()),
        user: Some("1000:1000".into()),
        group_add: texts(&["audio"]),
        hostname: Some("web".into()),
        domainname: Some("example.test".into()),
        container_name: Some("shop-front".into()),
        labels: pairs(&[("team", "a")]),
        annotations: pairs(&[("note", "b")]),
        ports: vec![
            Port {
                host_ip: Some([127, 0, 0, 1].into()),
                published: Some(8080),
                target: 80,
                protocol: Protocol::Tcp,
            },
            Port { host_ip: None, published: None, target: 53, protocol: Protocol::Udp },
        ],
        network_mode: NetworkMode::Own,
        networks: BTreeMap::from([(NetworkName::new("front").unwrap(), attachment())]),
        endpoint_mode: EndpointMode::Dnsrr,
        expose: Vec::new(),
        extra_hosts: vec![("gate".into(), "host-gateway".into())],
        dns: texts(&["192.0.2.53"]),
        dns_search: texts(&["example.test"]),
        dns_opt: texts(&["ndots:2"]),
        mounts: mounts(),
        depends_on: dependencies(),
        healthcheck: Some(checked(HealthTest::Exec(texts(&["/check"])))),
        restart: RestartPolicy::OnFailure { max: Some(5) },
        replicas: 3,
        resources: resources(),
        cap_add: texts(&["NET_ADMIN"]),
        cap_drop: texts(&["ALL"]),
        no_new_privileges: true,
        seccomp: Seccomp::Profile(profile()),
        apparmor: Some("docker-default".into()),
        open_system_paths: true,
        privileged: true,
        read_only: true,
        init: true,
        tty: true,
        stdin_open: true,
        sysctls: pairs(&[("net.core.somaxconn", "1024")]),
        devices: vec![("/dev/fuse".into(), "/dev/fuse".into(), "rwm".into())],
        stop_signal: Some("SIGQUIT".into()),
        stop_grace_period: Duration::new(42, 500_000_000),
        attach: false,
        logs: LogPolicy { disabled: true, max_size: Some(1 << 20), max_files: Some(2) },
        update_order: UpdateOrder::StartFirst,
        on_change: OnChange::default(),
        update: hoist_model::Update::default(),
        rollout: Rollout::default(),
        hooks: hoist_model::Hooks::default(),
        liveness: hoist_model::Liveness::default(),
        on_dependency_unhealthy: hoist_model::OnUnhealthy::default(),
        restart_pacing: hoist_model::RestartPacing::default(),
        step_of: None,
    }
}

fn host() -> Service {
    Service {
        network_mode: NetworkMode::Host,
        pull_policy: PullPolicy::Always,
        healthcheck: Some(checked(HealthTest::Shell("curl -f localhost".into()))),
        restart: RestartPolicy::UnlessStopped,
        seccomp: Seccomp::Unconfined,
        update_order: UpdateOrder::StopFirst,
        ..plain()
    }
}

fn layout() -> Service {
    Service {
        image: ImageSource::OciLayout { dir: "/srv/layout".into(), tag: Some("v1".into()) },
        network_mode: NetworkMode::None,
        pull_policy: PullPolicy::Never,
        healthcheck: Some(Healthcheck { test: HealthTest::Disabled, ..Healthcheck::default() }),
        restart: RestartPolicy::Always,
        seccomp: Seccomp::Builtin,
        ..Service::default()
    }
}

fn folder() -> Service {
    Service {
        image: ImageSource::Rootfs("/srv/root".into()),
        network_mode: NetworkMode::Service(name("full")),
        pull_policy: PullPolicy::Build,
        // Only how it says so differs from what it means anyway.
        healthcheck: Some(Healthcheck {
            start_interval: Some(Healthcheck::START_INTERVAL),
            ..Healthcheck::default()
        }),
        restart: RestartPolicy::OnFailure { max: None },
        ..Service::default()
    }
}

fn attachment() -> Attachment {
    Attachment {
        aliases: texts(&["www"]),
        ipv4: Some([10, 1, 2, 3].into()),
        ipv6: Some("fd00::3".parse().unwrap()),
        mac: Some("02:42:0a:01:02:03".into()),
        interface: Some("front0".into()),
        priority: 10,
        gateway_priority: 1,
        sources: vec!["10.9.0.0/24".parse().unwrap()],
    }
}

fn mounts() -> Vec<Mount> {
    let mount =
        |target: &str, kind| Mount { target: target.into(), kind, read_only: false, options: Vec::new() };
    let bind = MountKind::Bind {
        source: "/srv/data".into(),
        create: true,
        propagation: Some("rshared".into()),
        recursive: true,
        writable_below: true,
        content: None,
    };
    let volume = MountKind::Volume {
        id: VolumeId::new("shop_data").unwrap(),
        subpath: Some("sub".into()),
        no_copy: true,
    };
    let tmpfs = TmpfsOptions {
        size: Some(1 << 20),
        mode: Some(0o1777),
        uid: Some(1),
        gid: Some(2),
        flags: texts(&["noexec"]),
    };
    let content =
        MountKind::Content { content: b"key".to_vec(), uid: 1, gid: 2, mode: 0o400, sensitive: true };
    vec![
        Mount { read_only: true, options: texts(&["nosuid"]), ..mount("/data", bind) },
        mount("/volume", volume),
        mount("/scratch", MountKind::Anonymous),
        mount("/tmp", MountKind::Tmpfs(tmpfs)),
        mount("/run/secrets/key", content),
    ]
}

fn dependencies() -> BTreeMap<ServiceName, Dependency> {
    let dependency = |condition, restart, required| Dependency { condition, restart, required };
    BTreeMap::from([
        (name("cache"), dependency(Condition::ServiceStarted, false, true)),
        (name("db"), dependency(Condition::ServiceHealthy, true, true)),
        (name("setup"), dependency(Condition::ServiceCompletedSuccessfully, false, false)),
    ])
}

fn checked(test: HealthTest) -> Healthcheck {
    Healthcheck {
        test,
        interval: Duration::from_secs(7),
        timeout: Duration::from_secs(3),
        retries: 4,
        start_period: Duration::from_secs(20),
        start_interval: Some(Duration::from_secs(1)),
    }
}

fn resources() -> Resources {
    Resources {
        cpu_millis: Some(1500),
        cpu_shares: Some(512),
        cpu_quota: Some(50_000),
        cpu_period: Some(100_000),
        cpuset: Some("0-1".into()),
        memory: Some(1 << 28),
        memory_reservation: Some(1 << 27),
        memory_swap: Some(-1),
        swappiness: Some(10),
        oom_kill_disable: true,
        oom_score_adj: Some(-500),
        pids: Some(100),
        shm_size: Some(1 << 26),
        ulimits: vec![Ulimit { name: "nofile".into(), soft: 1024, hard: -1 }],
        reserved_cpu_millis: Some(250),
    }
}

fn profile() -> SeccompProfile {
    let conditions = SeccompConditions {
        caps: texts(&["CAP_SYS_ADMIN"]),
        arches: texts(&["amd64"]),
        min_kernel: "4.8".into(),
    };
    let argument = SeccompArgument { index: 0, value: 1, value_two: 2, op: SeccompOperator::MaskedEqual };
    SeccompProfile {
        default_action: SeccompAction::Errno,
        default_errno_ret: Some(1),
        architectures: texts(&["SCMP_ARCH_X86_64"]),
        arch_map: vec![SeccompArchitecture {
            architecture: "SCMP_ARCH_X86_64".into(),
            sub_architectures: texts(&["SCMP_ARCH_X86"]),
        }],
        flags: Some(vec![SeccompFlag::Log]),
        listener_path: "/run/listener".into(),
        syscalls: vec![SeccompRule {
            name: "read".into(),
            names: texts(&["write", "openat"]),
            action: SeccompAction::Allow,
            errno_ret: Some(38),
            args: vec![argument],
            includes: conditions,
            excludes: SeccompConditions::default(),
        }],
    }
}
