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
    ],
);
static LAYOUT: Record =
    Record { required: &["dir"], ..record("an OCI layout", &[field("dir", TEXT), field("tag", TEXT)]) };
