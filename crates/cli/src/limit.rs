//! `--wait-timeout`: how long a command waits until what it asked for has come about.

use std::time::Duration;

use hoist_wire::Client;

use crate::error::CommandError;
use crate::last_words;
use crate::project::Target;

/// What the work gives; none when the time is up first.
pub(crate) async fn within<T>(
    seconds: Option<u64>,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<Option<T>, CommandError> {
    let Some(seconds) = seconds else { return work.await.map(Some) };
    tokio::time::timeout(Duration::from_secs(seconds), work).await.ok().transpose()
}

/// The error when the time is up; before it, it is told why checks have not passed.
pub(crate) async fn passed(agent: &Client, target: &Target, seconds: Option<u64>) -> CommandError {
    last_words::tell_of_checks(agent, target).await;
    let seconds = seconds.unwrap_or_default();
    CommandError::failed(format!("not everything was ready within {seconds} s"))
        .hint("`hoist ps` says what is missing; what runs goes on running")
}
