//! The attributes of `deploy`.

use super::shapes::*;
use super::{Cast, Field, Form, Merge, Record, Shape, Unique};

const fn field(name: &'static str, shape: Shape, form: Form) -> Field {
    Field::new(name, shape, form)
}

const fn record(what: &'static str, fields: &'static [Field]) -> Record {
    Record { what, fields, required: &[], extensible: true, closed: true }
}

pub(super) static DEPLOY: Record = record(
    "deploy",
    &[
        field("mode", TEXT, Form::Text),
        field("replicas", INTEGER, Form::OptInt).cast(Cast::Int),
        field("labels", PAIRS, Form::Pairs).merge(Merge::Sequence).unique(Unique::Key),
        field("update_config", Shape::Record(&UPDATE), Form::Record(&UPDATE)),
        field("rollback_config", Shape::Record(&UPDATE), Form::Record(&UPDATE)),
        field("resources", Shape::Record(&RESOURCES), Form::ShownRecord(&RESOURCES)),
        field("restart_policy", Shape::Record(&RESTART_POLICY), Form::Record(&RESTART_POLICY)),
        field("placement", Shape::Record(&PLACEMENT), Form::ShownRecord(&PLACEMENT)),
        field("endpoint_mode", TEXT, Form::Text),
    ],
);

static UPDATE: Record = record(
    "an update policy",
    &[
        field("parallelism", INTEGER, Form::OptInt).cast(Cast::Int),
        field("delay", TEXT, Form::Duration),
        field("failure_action", TEXT, Form::Text),
        field("monitor", TEXT, Form::Duration),
        field("max_failure_ratio", NUMBER, Form::Number).cast(Cast::Float),
        field("order", one_of!(&["start-first", "stop-first"]), Form::Text),
    ],
);

static RESOURCES: Record = record(
    "resources",
    &[
        field("limits", Shape::Record(&LIMITS), Form::Record(&LIMITS)),
        field("reservations", Shape::Record(&RESERVATIONS), Form::Record(&RESERVATIONS)),
    ],
);
static LIMITS: Record = record(
    "resource limits",
    &[
        field("cpus", NUMBER, Form::Number),
        field("memory", TEXT, Form::Bytes),
        field("pids", INTEGER, Form::Int),
    ],
);
static RESERVATIONS: Record = record(
    "resource reservations",
    &[
        field("cpus", NUMBER, Form::Number),
        field("memory", TEXT, Form::Bytes),
        field("devices", DEVICE_REQUESTS, Form::Records(&DEVICE_REQUEST)),
        field("generic_resources", list!(&Shape::Record(&GENERIC)), Form::Records(&GENERIC)),
    ],
);
static GENERIC: Record = record(
    "a generic resource",
    &[field("discrete_resource_spec", Shape::Record(&DISCRETE), Form::Record(&DISCRETE))],
);
static DISCRETE: Record = record(
    "a discrete resource",
    &[field("kind", TEXT, Form::Text).shown(), field("value", NUMBER, Form::Int).shown()],
);

/// Devices of a reservation.
pub(super) const DEVICE_REQUESTS: Shape = list!(&Shape::Record(&DEVICE_REQUEST));
pub(super) static DEVICE_REQUEST: Record =
    Record { required: &["capabilities"], ..record("a device request", DEVICE_REQUEST_FIELDS) };
/// `gpus`: other keys pass, and capabilities may be left out.
pub(super) const GPUS: Shape = list!(&Shape::Record(&GPU));
pub(super) static GPU: Record = Record { closed: false, ..record("a gpu request", DEVICE_REQUEST_FIELDS) };
const DEVICE_REQUEST_FIELDS: &[Field] = &[
    field("capabilities", TEXT_SET, Form::Texts),
    field("driver", TEXT, Form::Text),
    field("count", INTEGER, Form::DeviceCount),
    field("device_ids", TEXT_SET, Form::Texts),
    field("options", PAIRS, Form::Pairs),
];

static RESTART_POLICY: Record = record(
    "a restart policy",
    &[
        field("condition", TEXT, Form::Text),
        field("delay", TEXT, Form::OptDuration),
        field("max_attempts", INTEGER, Form::OptInt).cast(Cast::Int),
        field("window", TEXT, Form::OptDuration),
    ],
);

static PLACEMENT: Record = record(
    "placement",
    &[
        field("constraints", TEXTS, Form::Texts),
        field("preferences", list!(&Shape::Record(&PREFERENCE)), Form::Records(&PREFERENCE)),
        field("max_replicas_per_node", INTEGER, Form::Uint).cast(Cast::Int),
    ],
);
static PREFERENCE: Record = record("a placement preference", &[field("spread", TEXT, Form::Text)]);
