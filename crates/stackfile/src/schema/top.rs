//! The top level and its resources.

use super::service::SERVICE;
use super::shapes::*;
use super::{Cast, Field, Form, Keys, MapShape, Merge, Record, Shape, Unique};

const fn field(name: &'static str, shape: Shape, form: Form) -> Field {
    Field::new(name, shape, form)
}

const fn record(what: &'static str, fields: &'static [Field]) -> Record {
    Record { what, fields, required: &[], extensible: true, closed: true }
}

/// A stack file.
pub static PROJECT: Record = record(
    "a stack file",
    &[
        field("version", TEXT, Form::Hidden),
        field("name", TEXT, Form::Text),
        field("include", list!(&INCLUDE_ITEM), Form::Hidden),
        field("services", Shape::Map(&SERVICES), Form::ShownNamed(&SERVICE)),
        field("networks", Shape::Map(&NETWORKS), Form::Named(&NETWORK)),
        field("volumes", Shape::Map(&VOLUMES), Form::Named(&VOLUME)),
        field("secrets", Shape::Map(&SECRETS), Form::Named(&SECRET)),
        field("configs", Shape::Map(&CONFIGS), Form::Named(&CONFIG)),
        field("models", Shape::Map(&MODELS), Form::Named(&MODEL)),
    ],
);

static SERVICES: MapShape = named(Shape::Record(&SERVICE));
static NETWORKS: MapShape =
    MapShape { closed: false, ..named(Shape::Either(&[scalar!(NULL), Shape::Record(&NETWORK)])) };
static VOLUMES: MapShape = named(Shape::Either(&[scalar!(NULL), Shape::Record(&VOLUME)]));
static SECRETS: MapShape = named(Shape::Record(&SECRET));
static CONFIGS: MapShape = named(Shape::Record(&CONFIG));
static MODELS: MapShape = MapShape {
    keys: Keys::Name,
    closed: false,
    value: Shape::Record(&MODEL),
    cast: None,
    merge: Merge::Deep,
};

const INCLUDE_ITEM: Shape = Shape::Either(&[TEXT, Shape::Record(&INCLUDE)]);
/// Another project to take in.
pub static INCLUDE: Record = Record {
    extensible: false,
    ..record(
        "an include",
        &[
            field("path", TEXT_OR_SET, Form::Texts),
            field("project_directory", TEXT, Form::Text),
            field("env_file", TEXT_OR_SET, Form::Texts),
        ],
    )
};

const EXTERNAL: Shape = Shape::Either(&[scalar!(BOOL | STR), Shape::Record(&EXTERNAL_NAME)]);
const OPEN_EXTERNAL: Shape = Shape::Either(&[scalar!(BOOL | STR), Shape::Record(&OPEN_EXTERNAL_NAME)]);
static EXTERNAL_NAME: Record = record("external", &[field("name", TEXT, Form::Text)]);
static OPEN_EXTERNAL_NAME: Record =
    Record { closed: false, ..record("external", &[field("name", TEXT, Form::Text)]) };

const fn external(shape: Shape) -> Field {
    field("external", shape, Form::Flag).cast(Cast::Flag)
}

pub(super) static NETWORK: Record = record(
    "a network",
    &[
        field("name", TEXT, Form::Text),
        field("driver", TEXT, Form::Text),
        field("driver_opts", OPTIONS, Form::Options),
        field("ipam", Shape::Record(&IPAM), Form::ShownRecord(&IPAM)),
        external(EXTERNAL),
        field("internal", FLAG, Form::Flag).cast(Cast::Flag),
        field("attachable", FLAG, Form::Flag).cast(Cast::Flag),
        field("labels", PAIRS, Form::Pairs).merge(Merge::Sequence).unique(Unique::Key),
        field("enable_ipv4", FLAG, Form::OptFlag).cast(Cast::Flag),
        field("enable_ipv6", FLAG, Form::OptFlag).cast(Cast::Flag),
    ],
);
static IPAM: Record = record(
    "ipam",
    &[
        field("driver", TEXT, Form::Text),
        field("config", list!(&Shape::Record(&POOL)), Form::Records(&POOL)).merge(Merge::Pools),
        field("options", TEXT_MAP, Form::Options),
    ],
);
static POOL: Record = record(
    "an address pool",
    &[
        field("subnet", TEXT, Form::Text),
        field("gateway", TEXT, Form::Text),
        field("ip_range", TEXT, Form::Text),
        field("aux_addresses", TEXT_MAP, Form::Options),
    ],
);

static VOLUME: Record = record(
    "a volume",
    &[
        field("name", TEXT, Form::Text),
        field("driver", TEXT, Form::Text),
        field("driver_opts", OPTIONS, Form::Options),
        external(EXTERNAL),
        field("labels", PAIRS, Form::Pairs).merge(Merge::Sequence),
    ],
);

static SECRET: Record = record(
    "a secret",
    &[
        field("name", TEXT, Form::Text),
        field("file", TEXT, Form::Text),
        field("environment", TEXT, Form::Text),
        external(OPEN_EXTERNAL),
        field("labels", PAIRS, Form::Pairs),
        field("driver", TEXT, Form::Text),
        field("driver_opts", OPTIONS, Form::Options),
        field("template_driver", TEXT, Form::Text),
    ],
);

static CONFIG: Record = record(
    "a config",
    &[
        field("name", TEXT, Form::Text),
        field("file", TEXT, Form::Text),
        field("environment", TEXT, Form::Text),
        field("content", TEXT, Form::Text),
        external(OPEN_EXTERNAL),
        field("labels", PAIRS, Form::Pairs),
        field("template_driver", TEXT, Form::Text),
    ],
);

static MODEL: Record = Record {
    required: &["model"],
    ..record(
        "a model",
        &[
            field("name", TEXT, Form::Text),
            field("model", TEXT, Form::Text),
            field("context_size", scalar!(INT), Form::Int),
            field("runtime_flags", TEXTS, Form::Texts),
        ],
    )
};
