//! What a person is told while a change is under way.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{NetworkId, ServiceName, Slot, StackId, VolumeId};

/// One item of an event stream; `seq` rises by one, so that a client can resume after the last it saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the stream, from 1.
    pub seq: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A subject is now in this state.
    Progress {
        /// What.
        subject: Subject,
        /// The state, as a word that people know: `creating`, `started`, `healthy`, `removed`.
        state: String,
        /// Why, or what it waits for.
        detail: Option<String>,
        /// It won't change any more in this operation.
        done: bool,
    },
    /// Something to know.
    Notice {
        /// How bad.
        severity: Severity,
        /// The sentence.
        text: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// The operation ended; the last event of its stream.
    Verdict(Verdict),
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How.
    pub outcome: Outcome,
    /// How many objects were changed; 0 means that everything was so already.
    pub changed: u32,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything is as asked.
    Converged,
    /// It can't become so; each failure says why and what to do.
    Failed(Vec<crate::Failure>),
    /// Another change of the same stack took over.
    Superseded,
}

/// How bad a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// To know.
    Info,
    /// Something has no effect, or not the expected one.
    Warning,
    /// Something failed.
    Error,
}

/// What an event or failure is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A whole stack.
    Stack(StackId),
    /// A service.
    Service(StackId, ServiceName),
    /// An instance's slot.
    Slot(Slot),
    /// A network.
    Network(NetworkId),
    /// A volume.
    Volume(VolumeId),
    /// An image.
    Image(String),
    /// A layer of an image: the image, and the beginning of the layer's digest.
    Layer(String, String),
    /// The host itself.
    Host,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Stack(id) => write!(f, "stack {id}"),
            Subject::Service(_, service) => write!(f, "service {service}"),
            Subject::Slot(slot) => write!(f, "{}", slot.short()),
            Subject::Network(id) => write!(f, "network {id}"),
            Subject::Volume(id) => write!(f, "volume {id}"),
            Subject::Image(image) => write!(f, "image {image}"),
            Subject::Layer(image, layer) => write!(f, "image {image} layer {layer}"),
            Subject::Host => f.write_str("host"),
        }
    }
}
