//! Archives and layouts of images, in and out: `docker save`'s and OCI's.
//!
//! An archive comes from a pipe in any order, so `spool` keeps its files in the session first;
//! `docker` and `layout` then read them as the one format or the other. `save` writes both in one.

mod docker;
mod import;
mod layout;
mod load;
mod loaded;
mod save;
mod spool;

pub use import::Import;
pub use layout::split_layout;
pub use loaded::{ChangeError, LoadError, Loaded};
pub use save::SaveError;
