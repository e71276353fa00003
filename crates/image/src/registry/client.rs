//! Requests to registries: where they go, who asks, and when to ask again.

use std::collections::HashMap;
use std::io::{Read, Seek};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use ureq::http::request::Builder;
use ureq::http::{Method, Request, Response};
use ureq::{Body, SendBody};

use super::answer::checked;
use super::auth::{Challenge, TokenRequest, token};
use super::http::{Ways, is_loopback};
use super::{RegistryConfig, RegistryError};
use crate::digest::Digest;
use crate::manifest::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::progress::Progress;
use crate::reference::Reference;

/// How often a request is tried when the failure may pass, waiting twice as long each time.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest answer that is read into memory.
pub(super) const LONGEST_ANSWER: u64 = 8 << 20;

/// Registries, as one configuration reaches them. Keeps connections and tokens; share it.
#[derive(Debug)]
pub struct Registries {
    ways: Ways,
    config: RegistryConfig,
    /// `Authorization` values by host and scope.
    authorizations: Mutex<HashMap<(String, String), String>>,
    /// Loopback registries found to speak plain HTTP, or not.
    plain: Mutex<HashMap<String, bool>>,
}

/// One place that is asked: a registry or a mirror of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Scheme and host, without a slash at the end.
    pub(super) base: String,
    /// As credentials know it.
    pub(super) host: String,
}

/// What is asked for.
pub(super) struct Ask<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) method: Method,
    /// A path below the endpoint, or a whole address that the registry gave.
    pub(super) url: &'a str,
    pub(super) scope: &'a str,
    /// For messages: what is wanted.
    pub(super) what: &'a str,
    pub(super) headers: &'a [(&'a str, String)],
}

/// What is sent: read from its beginning for each try.
pub(super) trait Content: Read + Seek {}

impl<T: Read + Seek> Content for T {}

/// A manifest or index as a registry gave it, checked against the digest asked for.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
}

impl Registries {
    pub fn new(config: RegistryConfig) -> Result<Self, RegistryError> {
        let ways = Ways::new(&config)?;
        Ok(Self { ways, config, authorizations: Mutex::default(), plain: Mutex::default() })
    }

    /// Asks the registry who we are; an error if the credentials aren't accepted.
    pub fn check_login(&self, registry: &str) -> Result<(), RegistryError> {
        let endpoint = self.endpoint(registry);
        let ask = Ask {
            endpoint: &endpoint,
            method: Method::GET,
            url: "/v2/",
            scope: "",
            what: "a login",
            headers: &[],
        };
        self.ask(&ask).map(drop)
    }

    /// The registry's own endpoint.
    pub(super) fn endpoint(&self, registry: &str) -> Endpoint {
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let scheme = if self.is_plain(registry) { "http" } else { "https" };
        Endpoint { base: format!("{scheme}://{host}"), host: registry.to_owned() }
    }

    /// All endpoints to read from: mirrors first.
    pub(super) fn endpoints(&self, registry: &str) -> Vec<Endpoint> {
        let mirrors = self.config.mirrors.get(registry).into_iter().flatten();
        let mirror = |text: &String| match text.split_once("://") {
            Some((_, host)) => Endpoint {
                base: text.trim_end_matches('/').to_owned(),
                host: host.trim_end_matches('/').to_owned(),
            },
            None => self.endpoint(text),
        };
        mirrors.map(mirror).chain([self.endpoint(registry)]).collect()
    }

    fn is_plain(&self, registry: &str) -> bool {
        if self.config.plain_http.iter().any(|declared| declared == registry) {
            return true;
        }
        if !is_loopback(registry) {
            return false;
        }
        let known = self.plain.lock().ok().and_then(|plain| plain.get(registry).copied());
        known.unwrap_or_else(|| {
            let request = |scheme: &str| {
                let url = format!("{scheme}://{registry}/v2/");
                self.ways.to(&url).get(&url).call()
            };
            // A TLS server answers 400 to plain HTTP: then it is the certificate that is wrong.
            let plain =
                request("https").is_err() && request("http").is_ok_and(|answer| answer.status() != 400);
            self.plain.lock().ok().map(|mut known| known.insert(registry.to_owned(), plain));
            plain
        })
    }

    /// Fetches the manifest or index of `reference`.
    pub(super) fn manifest(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
    ) -> Result<Fetched, RegistryError> {
        let wanted = reference.digest();
        let name = name_of(reference);
        let url = format!("/v2/{}/manifests/{name}", reference.repository());
        let (what, scope) = (reference.familiar(), pull_scope(reference.repository()));
        let accept = [("accept", [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", "))];
        let ask =
            Ask { endpoint, method: Method::GET, url: &url, scope: &scope, what: &what, headers: &accept };
        let mut response = self.ask(&ask)?;
        let body = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec();
        let bytes = body.map_err(|source| match source {
            ureq::Error::BodyExceedsLimit(_) => nonsense(&ask, "what it has as a manifest is far too long"),
            source => unreachable(endpoint, source),
        })?;
        let digest = Digest::of(&bytes);
        match wanted {
            Some(wanted) if wanted != digest => {
                Err(RegistryError::Digest { registry: endpoint.host.clone(), wanted, found: digest })
            }
            _ => Ok(Fetched { bytes, digest }),
        }
    }

    /// What `reference` stands for at the registry, without fetching it; `None` if it doesn't say.
    pub(super) fn manifest_digest(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
    ) -> Result<Option<Digest>, RegistryError> {
        let url = format!("/v2/{}/manifests/{}", reference.repository(), name_of(reference));
        let (what, scope) = (reference.familiar(), pull_scope(reference.repository()));
        let accept = [("accept", [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", "))];
        let ask =
            Ask { endpoint, method: Method::HEAD, url: &url, scope: &scope, what: &what, headers: &accept };
        let response = self.ask(&ask)?;
        let digest = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        Ok(digest.map(str::parse).transpose()?)
    }

    /// Asks, again where that may help, without a body.
    pub(super) fn ask(&self, ask: &Ask<'_>) -> Result<Response<Body>, RegistryError> {
        again(&(), || self.send(ask, None))
    }

    /// Sends one request, after authenticating if that is asked for.
    pub(super) fn send(
        &self,
        ask: &Ask<'_>,
        mut body: Option<&mut dyn Content>,
    ) -> Result<Response<Body>, RegistryError> {
        let key = (ask.endpoint.host.clone(), ask.scope.to_owned());
        let mut authorization = self.authorizations.lock().ok().and_then(|known| known.get(&key).cloned());
        let mut asked_twice = false;
        loop {
            let url = whole(ask);
            let agent = self.ways.to(&url);
            let request = request(ask, &url, authorization.as_deref());
            let malformed = |error| nonsense(ask, &format!("{error}"));
            let response = match body.as_deref_mut() {
                None => agent.run(request.body(()).map_err(malformed)?),
                Some(content) => {
                    content.rewind().map_err(|source| unreachable(ask.endpoint, source.into()))?;
                    agent.run(request.body(SendBody::from_reader(content)).map_err(malformed)?)
                }
            };
            let response = response.map_err(|source| unreachable(ask.endpoint, source))?;
            if response.status() != 401 || asked_twice {
                return checked(ask, response, self.config.credentials.contains_key(&ask.endpoint.host));
            }
            asked_twice = true;
            let new = self.authorize(ask, &response)?;
            if let Ok(mut known) = self.authorizations.lock() {
                known.insert(key.clone(), new.clone());
            }
            authorization = Some(new);
        }
    }

    fn authorize(&self, ask: &Ask<'_>, response: &Response<Body>) -> Result<String, RegistryError> {
        let credentials = self.config.credentials.get(&ask.endpoint.host);
        let needed =
            || RegistryError::LoginNeeded { registry: ask.endpoint.host.clone(), what: ask.what.to_owned() };
        match Challenge::of(response) {
            None => Err(nonsense(ask, "it wants a login and doesn't say how")),
            Some(Challenge::Basic) => credentials.and_then(super::Credentials::basic).ok_or_else(needed),
            Some(Challenge::Bearer { realm, service, scope }) => {
                let scope =
                    if ask.scope.is_empty() { scope.unwrap_or_default() } else { ask.scope.to_owned() };
                token(
                    self.ways.to(&realm),
                    &TokenRequest {
                        registry: &ask.endpoint.host,
                        secure: ask.endpoint.base.starts_with("https://"),
                        realm: &realm,
                        service: service.as_deref(),
                        scope: &scope,
                        credentials,
                    },
                )
            }
        }
    }
}

/// The whole address of what is asked for.
fn whole(ask: &Ask<'_>) -> String {
    let whole = ask.url.starts_with("http://") || ask.url.starts_with("https://");
    if whole { ask.url.to_owned() } else { format!("{}{}", ask.endpoint.base, ask.url) }
}

fn request(ask: &Ask<'_>, url: &str, authorization: Option<&str>) -> Builder {
    // An address that the registry gave may lead elsewhere, where our token is nobody's business.
    let ours = url.strip_prefix(&ask.endpoint.base).is_some_and(|rest| rest.starts_with(['/', '?']));
    let mut request = Request::builder().method(ask.method.clone()).uri(url);
    if let Some(authorization) = authorization.filter(|_| ours) {
        request = request.header("authorization", authorization);
    }
    ask.headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
}

/// Tries until it works, fails for good, or has failed too often.
pub(super) fn again<T>(
    progress: &dyn Progress,
    mut attempt: impl FnMut() -> Result<T, RegistryError>,
) -> Result<T, RegistryError> {
    let mut wait = FIRST_WAIT;
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(error) if error.is_transient() => thread::sleep(error.wait().unwrap_or(wait)),
            other => return other,
        }
        if progress.is_cancelled() {
            return Err(RegistryError::Cancelled);
        }
        wait *= 2;
    }
    attempt()
}

pub(super) fn unreachable(endpoint: &Endpoint, source: ureq::Error) -> RegistryError {
    RegistryError::Unreachable { registry: endpoint.host.clone(), source: Box::new(source) }
}

pub(super) fn nonsense(ask: &Ask<'_>, what: &str) -> RegistryError {
    RegistryError::Nonsense { registry: ask.endpoint.host.clone(), what: what.to_owned() }
}

pub(super) fn pull_scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

/// The digest if there is one, else the tag.
fn name_of(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) => digest.to_string(),
        None => reference.tag().unwrap_or("latest").to_owned(),
    }
}
