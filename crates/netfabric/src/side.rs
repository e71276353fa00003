//! The two namespaces of a fabric.

use std::fmt;

/// Name of the fabric's end of the pair that joins it to the host.
pub(crate) const UPLINK: &str = "uplink";

/// Which of the two namespaces something is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The namespace of the process that opened the fabric.
    Host,
    /// The fabric's own.
    Fabric,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Fabric => "fabric",
        })
    }
}
