//! The attributes of a service.

use super::build::BUILD;
use super::deploy::{DEPLOY, GPU, GPUS};
use super::mounts::{CONFIG_REFS, ENV_FILE, ENV_FILES, FILE_REF, PORT, PORTS, VOLUME, VOLUMES};
use super::shapes::*;
use super::{Cast, Field, Form, Keys, Limit, MapShape, Merge, Record, Shape, Unique};

const fn field(name: &'static str, shape: Shape, form: Form) -> Field {
    Field::new(name, shape, form)
}

/// A service, in the order of the canonical form.
pub static SERVICE: Record = Record {
    what: "a service",
    required: &[],
    extensible: true,
    closed: true,
    fields: &[
        field("profiles", TEXT_SET, Form::Texts).unique(Unique::Key),
        field("annotations", PAIRS, Form::Pairs).merge(Merge::Sequence).unique(Unique::Key),
        field("attach", FLAG, Form::OptFlag),
        field("build", Shape::Either(&[TEXT, Shape::Record(&BUILD)]), Form::Record(&BUILD))
            .merge(Merge::Build),
        field("develop", Shape::Either(&[scalar!(NULL), Shape::Record(&DEVELOP)]), Form::Record(&DEVELOP)),
        field("blkio_config", Shape::Record(&BLKIO), Form::Record(&BLKIO)),
        field("cap_add", TEXT_SET, Form::Texts).unique(Unique::Key),
        field("cap_drop", TEXT_SET, Form::Texts).unique(Unique::Key),
        field("cgroup_parent", TEXT, Form::Text),
        field("cgroup", one_of!(&["host", "private"]), Form::Text),
        field("cpu_count", Shape::Scalar(STR | INT, Limit::Range(0, i64::MAX)), Form::Int).cast(Cast::Int),
        field("cpu_percent", Shape::Scalar(STR | INT, Limit::Range(0, 100)), Form::Number).cast(Cast::Float),
        field("cpu_period", NUMBER, Form::Int).cast(Cast::Int),
        field("cpu_quota", NUMBER, Form::Int).cast(Cast::Int),
        field("cpu_rt_period", NUMBER, Form::Int).cast(Cast::Int),
        field("cpu_rt_runtime", NUMBER, Form::Int).cast(Cast::Int),
        field("cpus", NUMBER, Form::Number).cast(Cast::Float),
        field("cpuset", TEXT, Form::Text),
        field("cpu_shares", NUMBER, Form::Int).cast(Cast::Int),
        field("command", COMMAND, Form::Command).merge(Merge::Replace),
        field("configs", CONFIG_REFS, Form::Records(&FILE_REF)).unique(Unique::Mount("")),
        field("container_name", Shape::Scalar(STR, Limit::ContainerName), Form::Text),
        field("credential_spec", Shape::Record(&CREDENTIAL_SPEC), Form::Record(&CREDENTIAL_SPEC)),
        field("depends_on", Shape::Either(&[TEXT_SET, Shape::Map(&DEPENDENCIES)]), Form::Named(&DEPENDENCY))
            .merge(Merge::DependsOn),
        field("deploy", Shape::Either(&[scalar!(NULL), Shape::Record(&DEPLOY)]), Form::Record(&DEPLOY)),
        field("device_cgroup_rules", TEXT_SET, Form::Texts),
        field("devices", list!(&Shape::Either(&[TEXT, Shape::Record(&DEVICE)])), Form::Records(&DEVICE))
            .unique(Unique::Device),
        field("dns", TEXT_OR_SET, Form::Texts).merge(Merge::Sequence).unique(Unique::Key),
        field("dns_opt", TEXT_SET, Form::Texts).merge(Merge::Sequence).unique(Unique::Key),
        field("dns_search", TEXT_OR_SET, Form::Texts).merge(Merge::Sequence).unique(Unique::Key),
        field("domainname", TEXT, Form::Text),
        field("entrypoint", COMMAND, Form::Command).merge(Merge::Replace),
        field("provider", Shape::Record(&PROVIDER), Form::Record(&PROVIDER)),
        field("environment", PAIRS, Form::Environment).merge(Merge::Sequence).unique(Unique::Key),
        field("env_file", ENV_FILES, Form::Records(&ENV_FILE)).merge(Merge::Sequence).unique(Unique::EnvFile),
        field("expose", set!(&scalar!(STR | NUM)), Form::TextsOrNumbers).unique(Unique::Expose),
        field("extends", Shape::Either(&[TEXT, Shape::Record(&EXTENDS)]), Form::Record(&EXTENDS)),
        field("external_links", TEXT_SET, Form::Texts),
        field("extra_hosts", HOSTS, Form::Hosts).merge(Merge::Hosts),
        field("group_add", set!(&scalar!(STR | NUM)), Form::TextsOrNumbers),
        field("gpus", Shape::Either(&[one_of!(&["all"]), GPUS]), Form::Records(&GPU)),
        field("hostname", TEXT, Form::Text),
        field("healthcheck", Shape::Record(&HEALTHCHECK), Form::Record(&HEALTHCHECK)),
        field("image", TEXT, Form::Text),
        field("init", FLAG, Form::OptFlag).cast(Cast::Flag),
        field("ipc", TEXT, Form::Text),
        field("isolation", TEXT, Form::Text),
        field("labels", PAIRS, Form::Pairs).merge(Merge::Sequence).unique(Unique::Key),
        field("label_file", TEXT_OR_LIST, Form::Texts).merge(Merge::Sequence),
        field("links", TEXT_SET, Form::Texts).unique(Unique::Key),
        field("logging", Shape::Record(&LOGGING), Form::Record(&LOGGING)).merge(Merge::Logging),
        field("mem_limit", NUMBER, Form::Bytes),
        field("mem_reservation", INTEGER, Form::Bytes),
        field("memswap_limit", NUMBER, Form::Bytes),
        field("mem_swappiness", INTEGER, Form::Bytes),
        field("mac_address", TEXT, Form::Text),
        field("models", Shape::Either(&[TEXT_SET, Shape::Map(&MODEL_REFS)]), Form::NamedOrNull(&MODEL_REF))
            .merge(Merge::Names),
        field("network_mode", TEXT, Form::Text),
        field(
            "networks",
            Shape::Either(&[TEXT_SET, Shape::Map(&ATTACHMENTS)]),
            Form::NamedOrNull(&ATTACHMENT),
        )
        .merge(Merge::Names),
        field("oom_kill_disable", FLAG, Form::Flag).cast(Cast::Flag),
        field("oom_score_adj", Shape::Scalar(STR | INT, Limit::Range(-1000, 1000)), Form::Int)
            .cast(Cast::Int),
        field("pid", scalar!(STR | NULL), Form::Text),
        field("pids_limit", NUMBER, Form::Int).cast(Cast::Int),
        field("platform", TEXT, Form::Text),
        field("ports", PORTS, Form::Records(&PORT)).unique(Unique::Port),
        field("privileged", FLAG, Form::Flag).cast(Cast::Flag),
        field("pull_policy", Shape::Scalar(STR, Limit::PullPolicy), Form::Text),
        field("pull_refresh_after", TEXT, Form::Hidden),
        field("read_only", FLAG, Form::Flag).cast(Cast::Flag),
        field("restart", TEXT, Form::Text),
        field("runtime", TEXT, Form::Text),
        field("scale", INTEGER, Form::OptInt).cast(Cast::Int),
        field("secrets", CONFIG_REFS, Form::Records(&FILE_REF)).unique(Unique::Mount("/run/secrets")),
        field("security_opt", TEXT_SET, Form::Texts),
        field("shm_size", NUMBER, Form::Bytes),
        field("stdin_open", FLAG, Form::Flag).cast(Cast::Flag),
        field("stop_grace_period", TEXT, Form::OptDuration),
        field("stop_signal", TEXT, Form::Text),
        field("storage_opt", ANY_MAP, Form::Options),
        field("sysctls", PAIRS, Form::Pairs).merge(Merge::Sequence).unique(Unique::Key),
        field("tmpfs", TEXT_OR_SET, Form::Texts).merge(Merge::Sequence).unique(Unique::Key),
        field("tty", FLAG, Form::Flag).cast(Cast::Flag),
        field("ulimits", Shape::Map(&ULIMITS), Form::Ulimits),
        field("use_api_socket", STRICT_FLAG, Form::Flag),
        field("user", TEXT, Form::Text),
        field("userns_mode", TEXT, Form::Text),
        field("uts", TEXT, Form::Text),
        field("volumes", VOLUMES, Form::Records(&VOLUME)).unique(Unique::Volume),
        field("volumes_from", TEXT_SET, Form::Texts),
        field("working_dir", TEXT, Form::Text),
        field("pre_start", list!(&Shape::Record(&PRE_START)), Form::Records(&PRE_START)),
        field("post_start", list!(&Shape::Record(&HOOK)), Form::Records(&HOOK)),
        field("pre_stop", list!(&Shape::Record(&HOOK)), Form::Records(&HOOK)),
    ],
};

const fn record(what: &'static str, fields: &'static [Field]) -> Record {
    Record { what, fields, required: &[], extensible: true, closed: true }
}

pub(super) static HEALTHCHECK: Record = record(
    "a health check",
    &[
        field("test", TEXT_OR_LIST, Form::HealthTest).merge(Merge::Replace),
        field("timeout", TEXT, Form::OptDuration),
        field("interval", TEXT, Form::OptDuration),
        field("retries", NUMBER, Form::OptInt).cast(Cast::Int),
        field("start_period", TEXT, Form::OptDuration),
        field("start_interval", TEXT, Form::OptDuration),
        field("disable", FLAG, Form::Flag).cast(Cast::Flag),
    ],
);

/// A command at a moment of the service's life.
pub(super) static HOOK: Record = Record { required: &["command"], ..record("a hook", HOOK_FIELDS) };
pub(super) static PRE_START: Record = record("a pre_start hook", PRE_START_FIELDS);

const HOOK_FIELDS: &[Field] = &[
    field("command", COMMAND, Form::Command),
    field("user", TEXT, Form::Text),
    field("privileged", FLAG, Form::Flag),
    field("working_dir", TEXT, Form::Text),
    field("environment", PAIRS, Form::Environment),
];

const PRE_START_FIELDS: &[Field] = &[
    field("command", COMMAND, Form::Command),
    field("image", TEXT, Form::Text),
    field("user", TEXT, Form::Text),
    field("privileged", FLAG, Form::Flag),
    field("working_dir", TEXT, Form::Text),
    field("environment", PAIRS, Form::Environment),
    field("per_replica", FLAG, Form::Flag),
];

pub(super) static DEPENDENCIES: MapShape = named(Shape::Record(&DEPENDENCY));
pub(super) static DEPENDENCY: Record = Record {
    required: &["condition"],
    ..record(
        "a dependency",
        &[
            field(
                "condition",
                one_of!(&["service_started", "service_healthy", "service_completed_successfully"]),
                Form::Text,
            ),
            field("restart", FLAG, Form::Flag).cast(Cast::Flag),
            field("required", STRICT_FLAG, Form::ShownFlag).cast(Cast::Flag),
        ],
    )
};

static DEVELOP: Record =
    record("develop", &[field("watch", list!(&Shape::Record(&WATCH)), Form::Records(&WATCH))]);
static WATCH: Record = Record {
    required: &["path", "action"],
    ..record(
        "a watch rule",
        &[
            field("path", TEXT, Form::Text),
            field(
                "action",
                one_of!(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]),
                Form::Text,
            ),
            field("target", TEXT, Form::Text),
            field("exec", Shape::Record(&HOOK), Form::ShownRecord(&HOOK)),
            field("include", TEXT_OR_SET, Form::Texts),
            field("ignore", TEXT_OR_SET, Form::Texts),
            field("initial_sync", STRICT_FLAG, Form::Flag),
        ],
    )
};

static BLKIO: Record = Record {
    extensible: false,
    ..record(
        "blkio_config",
        &[
            field("weight", INTEGER, Form::Uint),
            field("weight_device", list!(&Shape::Record(&BLKIO_WEIGHT)), Form::Records(&BLKIO_WEIGHT)),
            field("device_read_bps", list!(&Shape::Record(&BLKIO_RATE)), Form::Records(&BLKIO_RATE)),
            field("device_read_iops", list!(&Shape::Record(&BLKIO_RATE)), Form::Records(&BLKIO_RATE)),
            field("device_write_bps", list!(&Shape::Record(&BLKIO_RATE)), Form::Records(&BLKIO_RATE)),
            field("device_write_iops", list!(&Shape::Record(&BLKIO_RATE)), Form::Records(&BLKIO_RATE)),
        ],
    )
};
static BLKIO_WEIGHT: Record = Record {
    extensible: false,
    ..record(
        "a device weight",
        &[
            field("path", TEXT, Form::Text).json("Path").shown(),
            field("weight", INTEGER, Form::Uint).json("Weight").shown(),
        ],
    )
};
static BLKIO_RATE: Record = Record {
    extensible: false,
    ..record(
        "a device rate",
        &[
            field("path", TEXT, Form::Text).json("Path").shown(),
            field("rate", INTEGER, Form::Bytes).json("Rate").shown(),
        ],
    )
};

static CREDENTIAL_SPEC: Record = record(
    "credential_spec",
    &[
        field("config", TEXT, Form::Text),
        field("file", TEXT, Form::Text),
        field("registry", TEXT, Form::Text),
    ],
);

static DEVICE: Record = Record {
    required: &["source"],
    ..record(
        "a device",
        &[
            field("source", TEXT, Form::Text),
            field("target", TEXT, Form::Text),
            field("permissions", TEXT, Form::Text),
        ],
    )
};

static PROVIDER: Record = Record {
    required: &["type"],
    ..record(
        "a provider",
        &[field("type", TEXT, Form::Text), field("options", PROVIDER_OPTIONS, Form::MultiOptions)],
    )
};

static EXTENDS: Record = Record {
    required: &["service"],
    extensible: false,
    ..record("extends", &[field("file", TEXT, Form::Text), field("service", TEXT, Form::Text)])
};

static LOGGING: Record =
    record("logging", &[field("driver", TEXT, Form::Text), field("options", LOG_OPTIONS, Form::Options)]);

static MODEL_REFS: MapShape =
    MapShape { closed: false, ..named(Shape::Either(&[scalar!(NULL), Shape::Record(&MODEL_REF)])) };
static MODEL_REF: Record = record(
    "a model of a service",
    &[field("endpoint_var", TEXT, Form::Text), field("model_var", TEXT, Form::Text)],
);

static ATTACHMENTS: MapShape = named(Shape::Either(&[scalar!(NULL), Shape::Record(&ATTACHMENT)]));
pub(super) static ATTACHMENT: Record = record(
    "a network of a service",
    &[
        field("aliases", TEXT_SET, Form::Texts).unique(Unique::Key),
        field("driver_opts", OPTIONS, Form::Options),
        field("gw_priority", scalar!(NUM), Form::Int),
        field("interface_name", TEXT, Form::Text),
        field("ipv4_address", TEXT, Form::Text),
        field("ipv6_address", TEXT, Form::Text),
        field("link_local_ips", TEXT_SET, Form::Texts).unique(Unique::Key),
        field("mac_address", TEXT, Form::Text),
        field("priority", scalar!(NUM), Form::Int),
    ],
);

/// Limits of a service. Text becomes a number; those of a build stay as they are written.
pub(super) static ULIMITS: MapShape = MapShape {
    keys: Keys::Lower,
    closed: false,
    value: Shape::Either(&[scalar!(INT | STR), Shape::Record(&ULIMIT)]),
    cast: Some(Cast::Int),
    merge: Merge::Replace,
};
pub(super) static BUILD_ULIMITS: MapShape = MapShape {
    keys: Keys::Lower,
    closed: false,
    value: Shape::Either(&[scalar!(INT | STR), Shape::Record(&ULIMIT)]),
    cast: None,
    merge: Merge::Deep,
};
/// Both sides are needed; canonical JSON writes a limit of 0 as an empty mapping, so that is understood too.
static ULIMIT: Record = record(
    "a limit",
    &[field("soft", INTEGER, Form::Int).cast(Cast::Int), field("hard", INTEGER, Form::Int).cast(Cast::Int)],
);
