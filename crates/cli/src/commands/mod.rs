//! One file per command: what it asks the agent for, and what it prints.

pub(crate) mod agent;
pub(crate) mod build;
mod changes;
pub(crate) mod config;
pub(crate) mod diff;
pub(crate) mod down;
pub(crate) mod exec;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod image;
pub(crate) mod images;
pub(crate) mod load;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod ps;
pub(crate) mod pull;
mod removed;
pub(crate) mod restart;
pub(crate) mod rollback;
pub(crate) mod save;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod system;
pub(crate) mod up;
pub(crate) mod version;
