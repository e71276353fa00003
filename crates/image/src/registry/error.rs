//! What can go wrong with a registry, in words that say what to do.

use std::io;
use std::time::Duration;

use serde::Deserialize;

use crate::digest::{Digest, DigestError};

/// Why a registry did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("registry {registry} can't be reached")]
    Unreachable { registry: String, source: Box<ureq::Error> },
    #[error("registry {registry} has no {what}")]
    NotFound { registry: String, what: String },
    #[error("registry {registry} wants a login for {what}; there are no credentials for it")]
    LoginNeeded { registry: String, what: String },
    #[error("registry {registry} does not accept the credentials for {what}{}", said(.message))]
    Denied { registry: String, what: String, message: String },
    #[error("registry {registry} limits how often it may be asked; {}{}", retry(*.after, *.login), said(.message))]
    RateLimited {
        registry: String,
        /// When it may be asked again, if that is known.
        after: Option<Duration>,
        /// There are credentials for it.
        login: bool,
        message: String,
    },
    #[error("registry {registry} answered {status} for {what}{}", said(.message))]
    Refused { registry: String, what: String, status: u16, message: String },
    #[error("registry {registry} answered in a way that makes no sense: {what}")]
    Nonsense { registry: String, what: String },
    #[error("registry {registry} sent something else as {wanted}: its digest is {found}")]
    Digest { registry: String, wanted: Digest, found: Digest },
    #[error("registry {registry} sent {wanted} only in part")]
    Cut { registry: String, wanted: Digest, source: io::Error },
    #[error("the certificate authorities can't be read")]
    Authorities(#[source] Box<ureq::Error>),
    #[error("the proxy {0:?} can't be used")]
    Proxy(String),
    #[error("cancelled")]
    Cancelled,
    #[error("the digest in the answer can't be used")]
    BadDigest(#[from] DigestError),
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn retry(after: Option<Duration>, login: bool) -> String {
    let again = after.map(|after| format!("it may be asked again in {}", duration(after.as_secs())));
    match (again, login) {
        (Some(again), true) => again,
        (Some(again), false) => format!("{again}, or sooner after a login"),
        (None, true) => "wait before it is asked again".to_owned(),
        (None, false) => "a login usually raises the limit".to_owned(),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

impl RegistryError {
    /// There is no host of the registry's name.
    pub fn is_no_such_host(&self) -> bool {
        matches!(self, Self::Unreachable { source, .. } if matches!(**source, ureq::Error::HostNotFound))
    }

    /// The registry showed a certificate that nobody here trusts.
    pub fn is_untrusted(&self) -> bool {
        let Self::Unreachable { source, .. } = self else { return false };
        match &**source {
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => true,
            ureq::Error::Io(error) => error.to_string().contains("certificate"),
            _ => false,
        }
    }

    /// Whether the same request may well succeed a little later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => !matches!(
                **source,
                ureq::Error::HostNotFound
                    | ureq::Error::BadUri(_)
                    | ureq::Error::Tls(_)
                    | ureq::Error::Rustls(_)
            ),
            Self::Refused { status, .. } => matches!(status, 408 | 500 | 502..=504),
            Self::RateLimited { after, .. } => after.is_some_and(|after| after <= LONGEST_WAIT),
            Self::Cut { .. } => true,
            _ => false,
        }
    }

    /// How long the registry asks to wait.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { after, .. } => *after,
            _ => None,
        }
    }
}

/// Longest wait that is waited for silently; a longer one is told instead.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The messages in an error answer (OCI distribution specification, "Error Codes").
pub(super) fn messages(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        errors: Vec<Fault>,
        #[serde(default)]
        details: String,
    }
    #[derive(Deserialize)]
    struct Fault {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else { return plain(body) };
    let told = |fault: &Fault| {
        if fault.message.is_empty() { fault.code.to_lowercase() } else { fault.message.clone() }
    };
    let faults: Vec<_> = answer.errors.iter().map(told).collect();
    if faults.is_empty() { answer.details } else { faults.join("; ") }
}

/// Longest line of plain text that is passed on.
const LONGEST_LINE: usize = 300;

/// The first line of an answer that is plain text, as some registries and the proxies before them give it.
fn plain(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.trim().lines().next().unwrap_or_default().trim();
    let readable = line.len() <= LONGEST_LINE && !line.starts_with(['<', '{', '[']);
    if readable && !line.chars().any(char::is_control) { line.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registries_say_is_passed_on() {
        for (body, told) in [
            (r#"{"errors":[{"code":"DENIED","message":"no"},{"code":"UNKNOWN"}]}"#, "no; unknown"),
            (r#"{"details":"incorrect username or password"}"#, "incorrect username or password"),
            (
                "toomanyrequests: You have reached your limit.\n",
                "toomanyrequests: You have reached your limit.",
            ),
            ("<html><body>502</body></html>", ""),
            ("", ""),
        ] {
            assert_eq!(messages(body.as_bytes()), told, "{body}");
        }
    }

    #[test]
    fn limits_are_explained() {
        let told = |after: Option<u64>, login| {
            let (registry, message) = ("docker.io".to_owned(), "slow down".to_owned());
            let after = after.map(Duration::from_secs);
            RegistryError::RateLimited { registry, after, login, message }.to_string()
        };
        let said = "registry docker.io limits how often it may be asked; ";
        assert_eq!(
            told(Some(21600), false),
            format!("{said}it may be asked again in 6 h, or sooner after a login: slow down")
        );
        assert_eq!(told(Some(90), true), format!("{said}it may be asked again in 90 s: slow down"));
        assert_eq!(told(None, false), format!("{said}a login usually raises the limit: slow down"));
        assert_eq!(told(None, true), format!("{said}wait before it is asked again: slow down"));
    }
}
