//! What an answer that is no success means.

use std::time::Duration;

use ureq::Body;
use ureq::http::{HeaderValue, Response};

use super::RegistryError;
use super::client::{Ask, LONGEST_ANSWER};
use super::error::messages;

/// The answer, or why it is none. `login`: there are credentials for the registry.
pub(super) fn checked(
    ask: &Ask<'_>,
    mut response: Response<Body>,
    login: bool,
) -> Result<Response<Body>, RegistryError> {
    let status = response.status().as_u16();
    if response.status().is_success() {
        return Ok(response);
    }
    let after = after(&response);
    let body = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec().unwrap_or_default();
    let (registry, what, message) = (ask.endpoint.host.clone(), ask.what.to_owned(), messages(&body));
    Err(match status {
        401 | 403 => RegistryError::Denied { registry, what, message },
        404 => RegistryError::NotFound { registry, what },
        429 => RegistryError::RateLimited { registry, after, login, message },
        _ => RegistryError::Refused { registry, what, status, message },
    })
}

/// How long a registry wants to be left alone: what it says, or else the time that its limit is counted in.
fn after(response: &Response<Body>) -> Option<Duration> {
    let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(retry) = header("retry-after") {
        return retry.trim().parse().ok().map(Duration::from_secs);
    }
    // Docker Hub's: `100;w=21600`, a hundred within six hours.
    let (_, window) = header("ratelimit-limit")?.split_once("w=")?;
    window.trim().parse().ok().map(Duration::from_secs)
}
