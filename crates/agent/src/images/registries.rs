//! How registries are reached: what this host declares, with what the user brings along.
//!
//! A host declares registries in `registries.yaml` of the root or else of `/etc/hoist`; it is read for each transfer.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hoist_image::registry::{Credentials, Registries, RegistryConfig};
use hoist_wire::{ApiError, ErrorKind, RegistryAccess, Secret};
use serde::Deserialize;

const SYSTEM: &str = "/etc/hoist/registries.yaml";
/// Where Docker looks for a registry's authorities: `<registry>/*.crt`.
const DOCKER_CERTIFICATES: &str = "/etc/docker/certs.d";
/// A registry on this host is never behind a proxy.
const NEVER_BY_PROXY: &str = "localhost,127.0.0.1,::1";

/// Where a host declares registries.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    files: [PathBuf; 2],
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Declarations {
    registries: BTreeMap<String, Registry>,
    proxy: Option<String>,
    no_proxy: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Registry {
    /// It speaks HTTP without TLS.
    plain_http: bool,
    /// Asked before it, in this order: hosts, or URLs.
    mirrors: Vec<String>,
    /// Files of certificate authorities to trust for it and its mirrors.
    ca: Vec<PathBuf>,
}

impl Declared {
    pub(super) fn of(root: &Path) -> Self {
        Self { files: [root.join("registries.yaml"), PathBuf::from(SYSTEM)] }
    }

    /// The way to one registry. Another registry's authorities are none for this one.
    pub(super) fn way_to(&self, registry: &str, access: &RegistryAccess) -> Result<Registries, ApiError> {
        let declarations = self.read()?;
        let config = config(registry, declarations, access)?;
        Registries::new(config).map_err(|error| invalid(&crate::chain::chain(&error)))
    }

    fn read(&self) -> Result<Declarations, ApiError> {
        for file in &self.files {
            match fs::read_to_string(file) {
                Ok(text) if text.trim().is_empty() => return Ok(Declarations::default()),
                Ok(text) => {
                    return parse(&text).map_err(|why| invalid(&format!("{}: {why}", file.display())));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(invalid(&format!("{}: {error}", file.display()))),
            }
        }
        Ok(Declarations::default())
    }
}

fn invalid(why: &str) -> ApiError {
    ApiError::new(ErrorKind::Invalid, format!("the declared registries can't be used: {why}"))
        .hint("docs/reference/images.md says what registries.yaml holds")
}

fn parse(text: &str) -> Result<Declarations, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

fn config(
    registry: &str,
    declarations: Declarations,
    access: &RegistryAccess,
) -> Result<RegistryConfig, ApiError> {
    let Declarations { registries, proxy, no_proxy } = declarations;
    let own = registries.get(registry).cloned().unwrap_or_default();
    let hosts: Vec<&str> = std::iter::once(registry).chain(own.mirrors.iter().map(|url| host(url))).collect();
    let mut authorities = Vec::new();
    for name in &hosts {
        for file in authority_files(name, registries.get(*name)) {
            let pem = fs::read(&file).map_err(|error| invalid(&format!("{}: {error}", file.display())))?;
            authorities.push(pem);
        }
    }
    let plain = registries.iter().filter(|(_, declared)| declared.plain_http).map(|(name, _)| name.clone());
    let no_proxy = no_proxy.or_else(|| access.no_proxy.clone()).unwrap_or_default();
    let credentials = access.credentials.iter().filter(|one| hosts.contains(&one.registry.as_str()));
    Ok(RegistryConfig {
        credentials: credentials.map(|one| (one.registry.clone(), secret(&one.secret))).collect(),
        plain_http: plain.collect(),
        mirrors: [(registry.to_owned(), own.mirrors.clone())].into(),
        authorities,
        proxy: proxy.or_else(|| access.proxy.as_ref().map(|proxy| proxy.0.clone())),
        no_proxy: Some(format!("{no_proxy},{NEVER_BY_PROXY}")),
    })
}

fn host(mirror: &str) -> &str {
    mirror.split_once("://").map_or(mirror, |(_, host)| host).trim_end_matches('/')
}

/// What is declared, and what Docker would read.
fn authority_files(registry: &str, declared: Option<&Registry>) -> Vec<PathBuf> {
    let mut files = declared.map(|declared| declared.ca.clone()).unwrap_or_default();
    let folder = fs::read_dir(Path::new(DOCKER_CERTIFICATES).join(registry));
    let found = folder.into_iter().flatten().flatten().map(|entry| entry.path());
    files.extend(found.filter(|path| path.extension().is_some_and(|end| end == "crt")));
    files
}

fn secret(secret: &Secret) -> Credentials {
    match secret {
        Secret::Password { user, password } => {
            Credentials::Password { user: user.clone(), password: password.0.clone() }
        }
        Secret::Identity(token) => Credentials::Identity(token.0.clone()),
    }
}

#[cfg(test)]
mod tests {
    use hoist_wire::{Credential, Sensitive};

    use super::*;

    #[test]
    fn a_registry_gets_what_is_declared_for_it_and_nothing_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        fs::write(&ca, "pem").unwrap();
        let text = format!(
            "registries:\n  a.example:\n    mirrors: [https://m.example/]\n  m.example:\n    ca: [{}]\n  p.example:\n    plain-http: true\nproxy: http://p:1\n",
            ca.display()
        );
        let credential = |registry: &str| Credential {
            registry: registry.into(),
            secret: Secret::Identity(Sensitive("t".into())),
        };
        let access = RegistryAccess {
            credentials: ["a.example", "m.example", "x.example"].map(credential).into(),
            ..RegistryAccess::default()
        };
        let of = |registry| config(registry, parse(&text).unwrap(), &access).unwrap();
        let a = of("a.example");
        assert_eq!(a.mirrors["a.example"], ["https://m.example/"]);
        assert_eq!((a.authorities.len(), a.credentials.len()), (1, 2));
        assert_eq!((a.plain_http, a.proxy.as_deref()), (vec!["p.example".to_owned()], Some("http://p:1")));
        let x = of("x.example");
        assert_eq!((x.authorities.len(), x.credentials.len()), (0, 1));
    }

    #[test]
    fn a_word_that_means_nothing_is_an_error() {
        assert!(
            parse("registries:\n  a.example:\n    plain_http: true\n").unwrap_err().contains("plain_http")
        );
    }
}
