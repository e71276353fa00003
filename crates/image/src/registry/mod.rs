//! Registries: pulling and pushing images (OCI distribution specification).
//!
//! Blocking HTTP/1.1 on rustls: an image is a few large streams, each unpacked by a thread as it
//! arrives. What a person has (credentials, declared registries, mirrors) is handed in as
//! [`RegistryConfig`]; nothing here reads a home directory or the environment.

mod answer;
mod artifact;
mod auth;
mod blob;
mod cache;
mod client;
mod credentials;
mod error;
mod http;
mod no_proxy;
mod part;
mod pull;
mod push;
mod resolve;
mod upload;

use std::collections::HashMap;

pub use artifact::{Artifact, ArtifactError, ArtifactLayer};
pub use cache::RegistryCache;
pub use client::Registries;
pub use credentials::Credentials;
pub use error::RegistryError;
pub(crate) use http::agent as http_agent;
pub use pull::{PullError, Pulled};
pub use push::{PushError, Pushed};

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct RegistryConfig {
    /// By registry, as [`crate::Reference::registry`] spells it.
    pub credentials: HashMap<String, Credentials>,
    /// Registries that speak plain HTTP. Loopback ones need no mention: HTTPS is tried first there.
    pub plain_http: Vec<String>,
    /// Where to ask before a registry itself: hosts, or URLs with a scheme, in this order.
    pub mirrors: HashMap<String, Vec<String>>,
    /// Certificate authorities in PEM form that are trusted besides the system's.
    pub authorities: Vec<Vec<u8>>,
    /// `http://[user:password@]host:port`.
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy, separated by commas: names, `.suffixes`, addresses, networks, `*`.
    pub no_proxy: Option<String>,
}
