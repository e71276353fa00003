//! Ports, volumes, references to configs and secrets, env files.

use super::shapes::*;
use super::{Cast, Field, Form, Limit, Record, Shape};

const fn field(name: &'static str, shape: Shape, form: Form) -> Field {
    Field::new(name, shape, form)
}

const fn record(what: &'static str, fields: &'static [Field]) -> Record {
    Record { what, fields, required: &[], extensible: true, closed: true }
}

pub(super) const PORTS: Shape = set!(&Shape::Either(&[scalar!(STR | NUM), Shape::Record(&PORT)]));
pub(super) static PORT: Record = record(
    "a port",
    &[
        field("name", TEXT, Form::Text),
        field("mode", TEXT, Form::Text),
        field("host_ip", TEXT, Form::Text),
        field("target", INTEGER, Form::Uint).cast(Cast::Int),
        field("published", INTEGER, Form::Text),
        field("protocol", TEXT, Form::Text),
        field("app_protocol", TEXT, Form::Text),
    ],
);

pub(super) const VOLUMES: Shape = set!(&Shape::Either(&[TEXT, Shape::Record(&VOLUME)]));
pub(super) static VOLUME: Record = Record {
    required: &["type"],
    ..record(
        "a volume of a service",
        &[
            field("type", one_of!(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]), Form::Text),
            field("source", TEXT, Form::Text),
            field("target", TEXT, Form::Text),
            field("read_only", FLAG, Form::Flag).cast(Cast::Flag),
            field("consistency", TEXT, Form::Text),
            field("bind", Shape::Record(&BIND), Form::Record(&BIND)),
            field("volume", Shape::Record(&NAMED_VOLUME), Form::Record(&NAMED_VOLUME)),
            field("tmpfs", Shape::Record(&TMPFS), Form::Record(&TMPFS)),
            field("image", Shape::Record(&IMAGE_VOLUME), Form::Record(&IMAGE_VOLUME)),
        ],
    )
};
static BIND: Record = record(
    "bind options",
    &[
        field("selinux", one_of!(&["z", "Z"]), Form::Text),
        field("propagation", TEXT, Form::Text),
        field("create_host_path", FLAG, Form::OptOut),
        field("recursive", one_of!(&["enabled", "disabled", "writable", "readonly"]), Form::Text),
    ],
);
static NAMED_VOLUME: Record = record(
    "volume options",
    &[
        field("labels", PAIRS, Form::Pairs),
        field("nocopy", FLAG, Form::Flag).cast(Cast::Flag),
        field("subpath", TEXT, Form::Text),
    ],
);
static TMPFS: Record = record(
    "tmpfs options",
    &[
        field("size", Shape::Scalar(INT | STR, Limit::Range(0, i64::MAX)), Form::Bytes),
        field("mode", NUMBER, Form::Uint),
    ],
);
static IMAGE_VOLUME: Record = record("image options", &[field("subpath", TEXT, Form::Text)]);

/// Configs and secrets of a service or a build.
pub(super) const CONFIG_REFS: Shape = list!(&Shape::Either(&[TEXT, Shape::Record(&FILE_REF)]));
pub(super) static FILE_REF: Record = record(
    "a config or secret of a service",
    &[
        field("source", TEXT, Form::Text),
        field("target", TEXT, Form::Text),
        field("uid", TEXT, Form::Text),
        field("gid", TEXT, Form::Text),
        field("mode", NUMBER, Form::Mode),
    ],
);

pub(super) const ENV_FILES: Shape =
    Shape::Either(&[TEXT, list!(&Shape::Either(&[TEXT, Shape::Record(&ENV_FILE)]))]);
pub(super) static ENV_FILE: Record = Record {
    required: &["path"],
    extensible: false,
    ..record(
        "an env file",
        &[
            field("path", TEXT, Form::Text),
            field("required", FLAG, Form::OptOut),
            field("format", TEXT, Form::Text),
        ],
    )
};
