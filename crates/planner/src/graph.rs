//! The dependency graph of services.
