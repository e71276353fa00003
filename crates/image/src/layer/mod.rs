//! Layers: from a compressed tar stream to a directory that overlayfs takes as a lower one.
//!
//! `tar` reads entries, `extract` places them below one directory and nowhere else, `compression`
//! recognises formats, `unpack` joins them and checks digests; `pack` goes the other way. Where layers live is the store's matter.

mod attributes;
mod compression;
mod extract;
mod fault;
mod format;
mod pack;
mod pax;
mod place;
mod sparse;
mod tar;
mod unpack;

pub(crate) use attributes::{check_xattrs, write_content};
pub use compression::Compression;
pub(crate) use compression::decoder;
pub use fault::ExtractError;
pub use format::TarError;
pub use pack::{PackError, Packed, pack};
pub(crate) use tar::{Entry, Kind, TarReader};
pub use unpack::{UnpackError, Unpacked, unpack};
