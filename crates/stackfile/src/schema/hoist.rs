//! What Hoist adds, under `x-hoist`, so that other tools still read the file.

use super::shapes::*;
use super::{Field, Form, Record, Shape};

const fn field(name: &'static str, shape: Shape) -> Field {
    Field::new(name, shape, Form::Hidden)
}

const fn record(what: &'static str, fields: &'static [Field]) -> Record {
    Record { what, fields, required: &[], extensible: false, closed: true }
}

/// `x-hoist` at the top.
pub static HOIST_PROJECT: Shape = Shape::Record(&PROJECT);
static PROJECT: Record = record("x-hoist", &[field("lints", Shape::Record(&LINTS))]);
static LINTS: Record =
    record("x-hoist.lints", &[field("allow", TEXTS), field("warn", TEXTS), field("deny", TEXTS)]);

/// `x-hoist` of a service.
pub static HOIST_SERVICE: Shape = Shape::Record(&SERVICE);
static SERVICE: Record = record(
    "x-hoist of a service",
    &[
        field("rootfs", TEXT),
        field("oci", Shape::Either(&[TEXT, Shape::Record(&LAYOUT)])),
        field("expose", Shape::Either(&[one_of!(&["public", "local"]), TEXTS])),
        field("drain", Shape::Either(&[TEXT, Shape::Record(&DRAIN)])),
        field("drain-signal", TEXT),
        field("on-dependency-unhealthy", one_of!(&["hold", "restart", "ignore"])),
        field("probe", Shape::Record(&PROBES)),
        field("ready", TEXT),
        field("shared-writes", FLAG),
        field("hold", TEXT),
        field("on-change", TEXT),
    ],
);

const PORT: Shape = Shape::Either(&[INTEGER, Shape::Record(&PORT_ONLY)]);
static PORT_ONLY: Record = record("a probe's port", &[field("port", INTEGER)]);
static HTTP: Record = record(
    "an HTTP probe",
    &[
        field("port", INTEGER),
        field("path", TEXT),
        field("headers", TEXT_MAP),
        field("status", Shape::Either(&[INTEGER, list!(&INTEGER)])),
    ],
);
const HTTP_PROBE: Shape = Shape::Either(&[INTEGER, Shape::Record(&HTTP)]);

// A macro, since fields are not copied: both kinds of records have these.
macro_rules! probe {
    ($what:literal $(, $more:expr)*) => {
        record(
            $what,
            &[
                field("http", HTTP_PROBE),
                field("tcp", PORT),
                field("unix", TEXT),
                field("listen", PORT),
                // Known elsewhere; refused with what to do instead.
                field("https", Shape::Any),
                field("grpc", Shape::Any),
                field("notify", Shape::Any),
                field("interval", TEXT),
                field("timeout", TEXT),
                field("retries", INTEGER),
                field("start_period", TEXT),
                $($more),*
            ],
        )
    };
}
static PROBE: Record = probe!("a probe");
static PROBES: Record = probe!(
    "x-hoist.probe",
    field("ready", Shape::Record(&PROBE)),
    field("live", Shape::Record(&PROBE)),
    field("restart", FLAG)
);

static DRAIN: Record =
    Record { required: &["until-idle"], ..record("x-hoist.drain", &[field("until-idle", TEXT)]) };

/// `x-hoist` of a network.
static HOIST_NETWORK: Shape = Shape::Record(&NETWORK_OWN);
static NETWORK_OWN: Record = record("x-hoist of a network", &[field("source_check", FLAG)]);

/// `x-hoist` of a service's network.
static HOIST_ATTACHMENT: Shape = Shape::Record(&ATTACHMENT_OWN);
static ATTACHMENT_OWN: Record = record("x-hoist of a service's network", &[field("sources", TEXTS)]);

/// What `x-hoist` is in a record; none where it is a key like any other that begins with `x-`.
#[must_use]
pub fn hoist_shape(record: &'static Record) -> Option<&'static Shape> {
    let own: [(&'static Record, &'static Shape); 4] = [
        (&super::PROJECT, &HOIST_PROJECT),
        (&super::SERVICE, &HOIST_SERVICE),
        (&super::top::NETWORK, &HOIST_NETWORK),
        (&super::service::ATTACHMENT, &HOIST_ATTACHMENT),
    ];
    own.into_iter().find(|(known, _)| std::ptr::eq(*known, record)).map(|(_, shape)| shape)
}

static LAYOUT: Record =
    Record { required: &["dir"], ..record("an OCI layout", &[field("dir", TEXT), field("tag", TEXT)]) };
