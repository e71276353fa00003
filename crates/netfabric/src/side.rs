//! The two namespaces of a fabric.

use std::fmt;

/// Name of the fabric's end of the pair that joins it to the host.
pub(crate) const UPLINK: &str = "uplink";

/// Name of the fabric's link behind which connections wait: who is there is asked in vain, and the kernel keeps the
/// packets meanwhile.
pub(crate) const HELD: &str = "held";
/// Name of its other end, by which they come back.
pub(crate) const RELEASED: &str = "released";
/// Its hardware address, to which what waited is sent in the end.
pub(crate) const RELEASED_MAC: [u8; 6] = [0x02, 0x68, 0xff, 0xff, 0xff, 0xff];

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
