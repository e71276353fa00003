//! The attributes of `build`.

use super::mounts::{CONFIG_REFS, FILE_REF};
use super::service::BUILD_ULIMITS;
use super::shapes::*;
use super::{Field, Form, Merge, Record, Shape, Unique};

const fn field(name: &'static str, shape: Shape, form: Form) -> Field {
    Field::new(name, shape, form)
}

pub(super) static BUILD: Record = Record {
    what: "build",
    required: &[],
    extensible: true,
    closed: true,
    fields: &[
        field("context", TEXT, Form::Text),
        field("dockerfile", TEXT, Form::Text),
        field("dockerfile_inline", TEXT, Form::Text),
        field("entitlements", TEXTS, Form::Texts),
        field("args", PAIRS, Form::Environment).merge(Merge::Sequence).unique(Unique::Key),
        field("provenance", scalar!(STR | BOOL), Form::Text),
        field("sbom", scalar!(STR | BOOL), Form::Text),
        field("ssh", PAIRS, Form::Ssh),
        field("labels", PAIRS, Form::Pairs).merge(Merge::Sequence).unique(Unique::Key),
        field("cache_from", TEXTS, Form::Texts),
        field("cache_to", TEXTS, Form::Texts),
        field("no_cache", FLAG, Form::Flag),
        field("no_cache_filter", TEXT_OR_SET, Form::Texts),
        field("additional_contexts", PAIRS, Form::Pairs).merge(Merge::Sequence).unique(Unique::Key),
        field("pull", FLAG, Form::Flag),
        field("extra_hosts", HOSTS, Form::Hosts).merge(Merge::Hosts),
        field("isolation", TEXT, Form::Text),
        field("network", TEXT, Form::Text),
        field("target", TEXT, Form::Text),
        field("secrets", CONFIG_REFS, Form::Records(&FILE_REF)),
        field("shm_size", INTEGER, Form::Bytes),
        field("tags", TEXTS, Form::Texts).unique(Unique::Key),
        field("ulimits", Shape::Map(&BUILD_ULIMITS), Form::Ulimits),
        field("platforms", TEXTS, Form::Texts),
        field("privileged", FLAG, Form::Flag),
    ],
};
