//! What the fuzz targets run: each takes any bytes and must neither panic nor be slow.

use crate::dns;

/// A question of an instance and, behind the length in the first byte, another resolver's answer to it: what is passed on
/// can be read, and is about what was asked.
pub fn dns_messages(data: &[u8]) {
    dns::fuzz(data);
}
