//! The table of everything a stack file may say: attribute, the ways to write it, the form it becomes, how two
//! files merge, what makes list items equal.
//!
//! One table drives the type resolution, unknown-key errors, merge, uniqueness, the canonical output and its
//! order, and the JSON schema for editors. Rules that need more than a row live in the stages.

mod build;
mod deploy;
mod hoist;
mod json;
mod mounts;
mod service;
mod shapes;
mod top;

pub use hoist::{HOIST_PROJECT, HOIST_SERVICE, hoist_shape};
pub use json::json_schema;
pub use service::SERVICE;
pub use shapes::{BOOL, INT, NULL, NUM, STR};
pub use top::{INCLUDE, PROJECT};

/// How a value may be written.
#[derive(Debug)]
pub enum Shape {
    /// Anything.
    Any,
    /// A scalar of the kinds in the set, perhaps limited further.
    Scalar(u8, Limit),
    /// A list.
    List {
        /// Its items.
        item: &'static Shape,
        /// Whether two equal items are an error.
        unique: bool,
    },
    /// A mapping with free keys.
    Map(&'static MapShape),
    /// A mapping with known keys.
    Record(&'static Record),
    /// One of several, told apart by the kind of value.
    Either(&'static [Shape]),
}

/// A further limit on a scalar.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// None.
    None,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// An integer in this range (text is not looked at).
    Range(i64, i64),
    /// A text that contains a part which these words begin (the policy of `pull_policy`).
    PullPolicy,
    /// A text that contains a container name.
    ContainerName,
}

/// A mapping with free keys.
#[derive(Debug)]
pub struct MapShape {
    /// Which keys are allowed.
    pub keys: Keys,
    /// Whether other keys are an error; if not, their values are not looked at.
    pub closed: bool,
    /// The values.
    pub value: Shape,
    /// What to make of text values before validation.
    pub cast: Option<Cast>,
    /// How two values under one key merge.
    pub merge: Merge,
}

/// Keys of a free mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// Anything not empty.
    Any,
    /// Letters, digits, `.`, `_`, `-`.
    Name,
    /// Small letters only.
    Lower,
}

/// A mapping with known keys.
#[derive(Debug)]
pub struct Record {
    /// What people call it.
    pub what: &'static str,
    /// The attributes, in canonical order.
    pub fields: &'static [Field],
    /// Keys that must be there.
    pub required: &'static [&'static str],
    /// Whether `x-` keys are allowed.
    pub extensible: bool,
    /// Whether other keys are an error.
    pub closed: bool,
}

/// One attribute.
#[derive(Debug)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// The ways to write it.
    pub shape: Shape,
    /// The form it becomes.
    pub form: Form,
    /// How two files merge.
    pub merge: Merge,
    /// What makes two list items the same.
    pub unique: Option<Unique>,
    /// What to make of text before validation.
    pub cast: Option<Cast>,
    /// The key in canonical JSON, where the reference writes it differently.
    pub json: Option<&'static str>,
    /// Whether the canonical form shows it where it says nothing.
    pub shown: bool,
}

/// The canonical form of a value.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// Not part of the canonical form.
    Hidden,
    /// Text; empty counts as not there.
    Text,
    /// A boolean; false counts as not there.
    Flag,
    /// A boolean that is kept when false.
    OptFlag,
    /// A boolean that is not there when true.
    OptOut,
    /// A boolean that is always shown.
    ShownFlag,
    /// An integer; 0 counts as not there.
    Int,
    /// An integer of at least 0; 0 counts as not there.
    Uint,
    /// An integer that is kept when 0.
    OptInt,
    /// A number in single precision; 0 counts as not there.
    Number,
    /// A size in bytes, shown as text.
    Bytes,
    /// A duration; 0 counts as not there.
    Duration,
    /// A duration that is kept when 0.
    OptDuration,
    /// An octal file mode, shown as text.
    Mode,
    /// One text or a list of texts.
    Texts,
    /// A list of texts or numbers.
    TextsOrNumbers,
    /// `KEY=VALUE` pairs, no value means empty.
    Pairs,
    /// `KEY=VALUE` pairs, no value is kept as null.
    Environment,
    /// A mapping to texts.
    Options,
    /// A mapping to lists of texts.
    MultiOptions,
    /// Names with addresses, shown as `name=address`.
    Hosts,
    /// A command: a line that is split, or words. Null and empty differ.
    Command,
    /// The command of a health check.
    HealthTest,
    /// SSH agents and keys.
    Ssh,
    /// A number of devices, `all` is -1.
    DeviceCount,
    /// Limits by name: a number, or soft and hard.
    Ulimits,
    /// A record.
    Record(&'static Record),
    /// A record that is shown when empty.
    ShownRecord(&'static Record),
    /// A list of records.
    Records(&'static Record),
    /// Records by name.
    Named(&'static Record),
    /// Records by name, shown when there are none.
    ShownNamed(&'static Record),
    /// Records by name; null stays null.
    NamedOrNull(&'static Record),
}

/// How a later file's value joins an earlier one's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merge {
    /// Mappings merge, lists append, scalars replace.
    Deep,
    /// Both become lists, and append.
    Sequence,
    /// The later one counts.
    Replace,
    /// Short and long form of `build`.
    Build,
    /// A list of services or a mapping with conditions.
    DependsOn,
    /// A list of names or a mapping.
    Names,
    /// Lists of hosts without repetition.
    Hosts,
    /// Options merge only for the same driver.
    Logging,
    /// Address pools, by subnet.
    Pools,
}

/// What makes two items of a list the same; the later one takes the earlier one's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unique {
    /// The text before `=`.
    Key,
    /// The mount point.
    Volume,
    /// The path in the container.
    Device,
    /// The path of the file.
    EnvFile,
    /// The number or range.
    Expose,
    /// Address, host port, container port, protocol.
    Port,
    /// The target, by default below this folder.
    Mount(&'static str),
}

/// What to make of text before validation: variables give text, fields want more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cast {
    /// `true`, `yes`, `on` and their opposites.
    Flag,
    /// A decimal integer.
    Int,
    /// A number.
    Float,
}

impl Field {
    const fn new(name: &'static str, shape: Shape, form: Form) -> Self {
        Self { name, shape, form, merge: Merge::Deep, unique: None, cast: None, json: None, shown: false }
    }

    const fn merge(self, merge: Merge) -> Self {
        Self { merge, ..self }
    }

    const fn unique(self, unique: Unique) -> Self {
        Self { unique: Some(unique), ..self }
    }

    const fn cast(self, cast: Cast) -> Self {
        Self { cast: Some(cast), ..self }
    }

    const fn shown(self) -> Self {
        Self { shown: true, ..self }
    }

    const fn json(self, name: &'static str) -> Self {
        Self { json: Some(name), ..self }
    }
}

impl Record {
    /// The attribute of this name. Canonical JSON names are understood too, so that output can be read again.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.index(name).map(|index| &self.fields[index])
    }

    /// The place of the attribute among the fields.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<usize> {
        // The first byte settles nearly all: services have close to a hundred attributes.
        let same = |own: &str| own.as_bytes().first() == name.as_bytes().first() && own == name;
        self.fields.iter().position(|field| same(field.name) || field.json.is_some_and(same))
    }
}

impl Keys {
    /// Whether a key is allowed.
    #[must_use]
    pub fn allows(self, key: &str) -> bool {
        let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        !key.is_empty()
            && match self {
                Self::Any => true,
                Self::Name => key.bytes().all(name),
                Self::Lower => key.bytes().all(|b| b.is_ascii_lowercase()),
            }
    }
}

/// Where a walk stands in the table.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The shape here, if the table knows it.
    pub shape: Option<&'static Shape>,
    /// The rules of the attribute or mapping value.
    pub merge: Merge,
    /// See [`Field::unique`].
    pub unique: Option<Unique>,
    /// See [`Field::cast`].
    pub cast: Option<Cast>,
}

impl Site {
    /// Outside the table.
    pub const UNKNOWN: Self = Self { shape: None, merge: Merge::Deep, unique: None, cast: None };

    /// The top of a stack file.
    pub const TOP: Self = Self { shape: Some(&Shape::Record(&PROJECT)), ..Self::UNKNOWN };

    /// A service.
    pub const SERVICE: Self = Self { shape: Some(&Shape::Record(&SERVICE)), ..Self::UNKNOWN };

    /// One step down a mapping.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        match self.shape.map(Shape::mapping) {
            Some(Some(Shape::Record(record))) => record.field(key).map_or(Self::UNKNOWN, |field| Self {
                shape: Some(&field.shape),
                merge: field.merge,
                unique: field.unique,
                cast: field.cast,
            }),
            Some(Some(Shape::Map(map))) => {
                Self { shape: Some(&map.value), merge: map.merge, unique: None, cast: map.cast }
            }
            _ => Self::UNKNOWN,
        }
    }

    /// One step into a list.
    #[must_use]
    pub fn item(self) -> Self {
        match self.shape.map(Shape::list) {
            Some(Some(Shape::List { item, .. })) => Self { shape: Some(item), ..Self::UNKNOWN },
            _ => Self::UNKNOWN,
        }
    }
}

impl Shape {
    /// The alternative that is a mapping.
    #[must_use]
    pub fn mapping(&'static self) -> Option<&'static Self> {
        self.alternatives().iter().find(|shape| matches!(shape, Self::Record(_) | Self::Map(_)))
    }

    /// The alternative that is a list.
    #[must_use]
    pub fn list(&'static self) -> Option<&'static Self> {
        self.alternatives().iter().find(|shape| matches!(shape, Self::List { .. }))
    }

    /// The ways to write it.
    #[must_use]
    pub fn alternatives(&'static self) -> &'static [Self] {
        match self {
            Self::Either(shapes) => shapes,
            other => std::slice::from_ref(other),
        }
    }
}
