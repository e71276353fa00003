//! Credentials of registries, where docker keeps them: `~/.docker/config.json` and the helpers that it names.
//!
//! Owns reading and changing that file as the user. What it doesn't know of it, it leaves as it is.

mod file;
mod helper;

use std::collections::BTreeSet;

use hoist_wire::{Credential, RegistryAccess, Secret, Sensitive};

use crate::error::CommandError;
use crate::out::errln;
use file::ConfigFile;

/// Docker Hub, as references spell it.
const HUB: &str = "docker.io";
/// Docker Hub, as the file spells it.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// What a request for these images brings along.
///
/// # Errors
/// When the file is there and can't be read.
pub(crate) fn access<'a>(images: impl IntoIterator<Item = &'a str>) -> Result<RegistryAccess, CommandError> {
    let file = ConfigFile::read()?;
    let mut registries: BTreeSet<String> = images.into_iter().map(registry_of).collect();
    // A registry's mirrors are declared on the host, which knows them; theirs may be among these.
    registries.extend(file.registries());
    let mut credentials = Vec::new();
    for registry in registries {
        let secret = match file.helper(&registry) {
            Some(name) => helper::get(name, key(&registry)).unwrap_or_else(|error| {
                errln!("warning: {error}; going on without a login at {registry}");
                None
            }),
            None => file.secret(&registry)?,
        };
        credentials.extend(secret.map(|secret| Credential { registry, secret }));
    }
    Ok(RegistryAccess { credentials, ..of_environment() })
}

/// What a login with a password brings along.
pub(crate) fn login(registry: &str, user: &str, password: &str) -> RegistryAccess {
    let secret = Secret::Password { user: user.to_owned(), password: Sensitive(password.to_owned()) };
    let credential = Credential { registry: registry.to_owned(), secret };
    RegistryAccess { credentials: vec![credential], ..of_environment() }
}

fn of_environment() -> RegistryAccess {
    let variable = |names: [&str; 2]| {
        let values = names.into_iter().filter_map(|name| std::env::var(name).ok());
        values.into_iter().find(|value| !value.is_empty())
    };
    RegistryAccess {
        credentials: Vec::new(),
        proxy: variable(["HTTPS_PROXY", "https_proxy"]).map(Sensitive),
        no_proxy: variable(["NO_PROXY", "no_proxy"]),
    }
}

/// Keeps a login: with the helper that the file names for the registry, else in the file. True: in the file.
///
/// # Errors
/// When it can't be kept.
pub(crate) fn keep(registry: &str, user: &str, password: &str) -> Result<bool, CommandError> {
    let mut file = ConfigFile::read()?;
    if let Some(name) = file.helper(registry) {
        helper::store(name, key(registry), user, password)?;
        return Ok(false);
    }
    file.set(registry, user, password);
    file.write().map(|()| true)
}

/// Forgets a login; false when there was none.
///
/// # Errors
/// When the file can't be changed.
pub(crate) fn forget(registry: &str) -> Result<bool, CommandError> {
    let mut file = ConfigFile::read()?;
    let helped = match file.helper(registry) {
        Some(name) => helper::erase(name, key(registry))?,
        None => false,
    };
    let known = file.remove(registry);
    if known {
        file.write()?;
    }
    Ok(helped || known)
}

/// The registry that a person means: `https://x/`, `x`, or one of Docker Hub's names.
pub(crate) fn registry_name(text: &str) -> String {
    let host = text.split_once("://").map_or(text, |(_, rest)| rest);
    match host.split('/').next().unwrap_or(host) {
        "index.docker.io" | "registry-1.docker.io" | "hub.docker.com" | "" => HUB.to_owned(),
        host => host.to_owned(),
    }
}

/// The registry of an image: what is before the first `/`, if that can be a host.
fn registry_of(image: &str) -> String {
    let is_host = |first: &str| {
        first == "localhost" || first.contains(['.', ':']) || first.chars().any(|c| c.is_ascii_uppercase())
    };
    match image.split_once('/') {
        Some((first, _)) if is_host(first) => registry_name(first),
        _ => HUB.to_owned(),
    }
}

fn key(registry: &str) -> &str {
    if registry == HUB { HUB_KEY } else { registry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_name_their_registry_or_docker_hub() {
        let of = registry_of;
        assert_eq!([of("ubuntu"), of("me/app:1"), of("index.docker.io/a/b")], [HUB, HUB, HUB]);
        assert_eq!([of("localhost:5000/a"), of("localhost/a")], ["localhost:5000", "localhost"]);
        assert_eq!(registry_name("https://r.example/v2/"), "r.example");
    }
}
