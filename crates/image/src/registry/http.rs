//! The HTTP agent: TLS roots, proxy, time-outs, and names resolved without the C library.
//!
//! A static binary can't call getaddrinfo(3) safely, so names go through hickory, which reads
//! /etc/hosts and /etc/resolv.conf itself.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use ureq::config::{Config, RedirectAuthHeaders};
use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Proxy};

use super::no_proxy::NoProxy;
use super::{RegistryConfig, RegistryError};

const AGENT: &str = concat!("hoist/", env!("CARGO_PKG_VERSION"));
const CONNECT: Duration = Duration::from_secs(15);
/// A registry may think for long, but one that sends nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Where distributions keep the authorities that the system trusts.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Two agents: through the proxy, where there is one, and past it.
#[derive(Debug)]
pub(super) struct Ways {
    proxied: Agent,
    direct: Option<(NoProxy, Agent)>,
}

impl Ways {
    pub(super) fn new(config: &RegistryConfig) -> Result<Self, RegistryError> {
        let proxied = agent(config)?;
        let direct = match &config.proxy {
            Some(proxy) if !proxy.is_empty() => {
                let list = NoProxy::parse(config.no_proxy.as_deref().unwrap_or_default());
                Some((list, agent(&RegistryConfig { proxy: None, ..config.clone() })?))
            }
            _ => None,
        };
        Ok(Self { proxied, direct })
    }

    /// The agent for an address.
    pub(super) fn to(&self, url: &str) -> &Agent {
        match &self.direct {
            Some((list, direct)) if list.covers(url) => direct,
            _ => &self.proxied,
        }
    }
}

pub(crate) fn agent(config: &RegistryConfig) -> Result<Agent, RegistryError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(authorities(config)?)))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let agent = Config::builder()
        .tls_config(tls)
        .proxy(proxy(config)?)
        .user_agent(AGENT)
        .http_status_as_error(false)
        // Content is named by digest, but a password must not follow a redirect.
        .redirect_auth_headers(RedirectAuthHeaders::Never)
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .input_buffer_size(256 << 10)
        .output_buffer_size(256 << 10)
        .build();
    Ok(Agent::with_parts(agent, DefaultConnector::default(), Dns))
}

fn proxy(config: &RegistryConfig) -> Result<Option<Proxy>, RegistryError> {
    let Some(text) = config.proxy.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
    let bad = |_| RegistryError::Proxy(text.to_owned());
    let parsed = Proxy::new(text).map_err(bad)?;
    let mut proxy = Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let (Some(user), Some(password)) = (parsed.username(), parsed.password()) {
        proxy = proxy.username(user).password(password);
    }
    // Only for where a registry redirects to: the agent itself is chosen by the list.
    for host in
        config.no_proxy.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|host| !host.is_empty())
    {
        proxy = proxy.no_proxy(host);
    }
    proxy.build().map(Some).map_err(bad)
}

fn authorities(config: &RegistryConfig) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let system = SYSTEM_AUTHORITIES.iter().find_map(|path| fs::read(path).ok());
    let mut certificates = Vec::new();
    for pem in config.authorities.iter().chain(&system) {
        for item in parse_pem(pem) {
            if let PemItem::Certificate(certificate) =
                item.map_err(|error| RegistryError::Authorities(Box::new(error)))?
            {
                certificates.push(certificate);
            }
        }
    }
    Ok(certificates)
}

#[derive(Debug)]
struct Dns;

impl Resolver for Dns {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let mut found = self.empty();
        // More addresses than ureq's list holds are of no use.
        for address in addresses(host)?.into_iter().take(16) {
            found.push(SocketAddr::new(address, port));
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}

fn addresses(host: &str) -> Result<Vec<IpAddr>, ureq::Error> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse() {
        return Ok(vec![address]);
    }
    // RFC 6761: these names never leave the host.
    if host == "localhost" || host.ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    // A thread of its own: whoever calls may be inside a runtime, where another can't be started.
    thread::scope(|scope| scope.spawn(|| look_up(host)).join()).unwrap_or(Err(ureq::Error::HostNotFound))
}

fn look_up(host: &str) -> Result<Vec<IpAddr>, ureq::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let failed =
            |error| ureq::Error::Io(io::Error::other(format!("the name {host} can't be resolved: {error}")));
        let resolver = TokioResolver::builder_tokio().map_err(failed)?.build().map_err(failed)?;
        match resolver.lookup_ip(host).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_no_records_found() => Err(ureq::Error::HostNotFound),
            Err(error) => Err(failed(error)),
        }
    })
}

/// Whether the registry is on this host, where TLS is not taken for granted.
pub(super) fn is_loopback(registry: &str) -> bool {
    let host = match registry.rfind(':') {
        Some(colon) if !registry.ends_with(']') => &registry[..colon],
        _ => registry,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
