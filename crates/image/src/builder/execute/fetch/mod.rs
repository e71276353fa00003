//! What is elsewhere: files by HTTP(S), of ADD and of contexts, and git repositories by the host's own `git`.

mod git;
mod http;

use std::time::Duration;

pub(super) use git::git;
pub(super) use http::{Fetched, download, http};

/// How often it is asked whether the build was cancelled.
const PATIENCE: Duration = Duration::from_millis(200);
