//! The small languages inside a stack file: variables, dotenv, durations, sizes, ports, volumes, commands.
//!
//! Each module reads one of them from text, knows no file and no tree, and reports with an error of its own.

pub mod bytes;
pub mod dotenv;
pub mod duration;
pub mod path;
pub mod port;
pub mod remote;
pub mod seccomp;
pub mod template;
pub mod volume;
pub mod words;
