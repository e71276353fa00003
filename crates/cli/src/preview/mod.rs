//! A plan as people read it.

pub(crate) mod places;
pub(crate) mod text;
