//! Claims: what an instance needs alone.
