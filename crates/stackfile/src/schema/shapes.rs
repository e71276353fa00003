//! The shapes that many attributes share.

use super::{Keys, MapShape, Merge, Shape};

/// Text.
pub const STR: u8 = 1;
/// Any number.
pub const NUM: u8 = 2;
/// An integer.
pub const INT: u8 = 4;
/// A boolean.
pub const BOOL: u8 = 8;
/// Nothing.
pub const NULL: u8 = 16;

// Macros and not functions: the borrowed shapes inside must live forever, and calls are not promoted.
macro_rules! scalar {
    ($kinds:expr) => {
        Shape::Scalar($kinds, crate::schema::Limit::None)
    };
}
macro_rules! one_of {
    ($words:expr) => {
        Shape::Scalar(STR, crate::schema::Limit::OneOf($words))
    };
}
macro_rules! list {
    ($item:expr) => {
        Shape::List { item: $item, unique: false }
    };
}
macro_rules! set {
    ($item:expr) => {
        Shape::List { item: $item, unique: true }
    };
}
pub(super) use {list, one_of, scalar, set};

const fn open_map(keys: Keys, closed: bool, value: Shape) -> MapShape {
    MapShape { keys, closed, value, cast: None, merge: Merge::Deep }
}

pub(super) const fn named(value: Shape) -> MapShape {
    open_map(Keys::Name, true, value)
}

pub(super) const TEXT: Shape = scalar!(STR);
pub(super) const TEXTS: Shape = list!(&TEXT);
pub(super) const TEXT_SET: Shape = set!(&TEXT);
pub(super) const FLAG: Shape = scalar!(BOOL | STR);
pub(super) const STRICT_FLAG: Shape = scalar!(BOOL);
pub(super) const NUMBER: Shape = scalar!(NUM | STR);
pub(super) const INTEGER: Shape = scalar!(INT | STR);

/// A text or a set of texts.
pub(super) const TEXT_OR_SET: Shape = Shape::Either(&[TEXT, TEXT_SET]);
/// A text or a list of texts.
pub(super) const TEXT_OR_LIST: Shape = Shape::Either(&[TEXT, TEXTS]);
/// A command.
pub(super) const COMMAND: Shape = Shape::Either(&[scalar!(NULL), TEXT, TEXTS]);
/// `KEY: VALUE` or `- KEY=VALUE`.
pub(super) const PAIRS: Shape = Shape::Either(&[Shape::Map(&PAIR_MAP), TEXT_SET]);
static PAIR_MAP: MapShape = open_map(Keys::Any, true, scalar!(STR | NUM | BOOL | NULL));

/// Driver options.
pub(super) const OPTIONS: Shape = Shape::Map(&OPTION_MAP);
static OPTION_MAP: MapShape = open_map(Keys::Any, false, scalar!(STR | NUM));
/// Log options may be null.
pub(super) const LOG_OPTIONS: Shape = Shape::Map(&LOG_OPTION_MAP);
static LOG_OPTION_MAP: MapShape = open_map(Keys::Any, false, scalar!(STR | NUM | NULL));
/// Texts by any key.
pub(super) const TEXT_MAP: Shape = Shape::Map(&TEXT_MAPPING);
static TEXT_MAPPING: MapShape = open_map(Keys::Any, true, TEXT);
/// A mapping nobody looks into.
pub(super) const ANY_MAP: Shape = Shape::Map(&ANY_MAPPING);
static ANY_MAPPING: MapShape = open_map(Keys::Any, false, Shape::Any);

/// Names with one or several addresses.
pub(super) const HOSTS: Shape = Shape::Either(&[Shape::Map(&HOST_MAP), TEXT_SET]);
static HOST_MAP: MapShape = open_map(Keys::Any, true, TEXT_OR_LIST);

/// Options of a provider.
pub(super) const PROVIDER_OPTIONS: Shape = Shape::Map(&PROVIDER_OPTION_MAP);
const ATOM: Shape = scalar!(STR | NUM | BOOL);
static PROVIDER_OPTION_MAP: MapShape =
    open_map(Keys::Any, false, Shape::Either(&[scalar!(STR | NUM | BOOL), list!(&ATOM)]));
