//! One file per command: what it asks the agent for, and what it prints.

pub mod agent;
pub mod config;
pub mod down;
pub mod exec;
pub mod graph;
pub mod load;
pub mod logs;
pub mod ps;
pub mod restart;
pub mod start;
pub mod stop;
pub mod up;
pub mod version;
