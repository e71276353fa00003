//! What went wrong with a registry, and what to do next.

use hoist_image::registry::{ArtifactError, PullError, PushError, RegistryError};
use hoist_wire::{ApiError, ErrorKind};

use crate::chain::chain;

pub(super) fn cancelled(image: &str) -> ApiError {
    ApiError::new(ErrorKind::Conflict, format!("image {image}: the transfer was given up"))
}

pub(super) fn pull(image: &str, error: &PullError) -> ApiError {
    match error {
        PullError::Registry(error) => registry(image, error),
        PullError::Platform { .. } => ApiError::new(ErrorKind::NotFound, chain(error))
            .hint("choose one with `--platform`, if the host can run it"),
        PullError::Manifest { .. } => {
            ApiError::new(ErrorKind::Invalid, format!("image {image}: {}", chain(error)))
        }
        _ => ApiError::new(ErrorKind::Internal, format!("image {image}: {}", chain(error))),
    }
}

pub(super) fn push(image: &str, error: &PushError) -> ApiError {
    match error {
        PushError::Registry(error) => registry(image, error),
        PushError::Pinned(_) => ApiError::new(ErrorKind::Invalid, chain(error)),
        _ => ApiError::new(ErrorKind::Internal, format!("image {image}: {}", chain(error))),
    }
}

pub(super) fn artifact(name: &str, error: &ArtifactError) -> ApiError {
    match error {
        ArtifactError::Registry(error) => {
            let told = registry(name, error);
            ApiError { message: told.message.replacen("image ", "artifact ", 1), ..told }
        }
        _ => ApiError::new(ErrorKind::Invalid, format!("artifact {name}: {}", chain(error))),
    }
}

pub(super) fn registry(image: &str, error: &RegistryError) -> ApiError {
    let kind = match error {
        RegistryError::NotFound { .. } => ErrorKind::NotFound,
        RegistryError::Cancelled => return cancelled(image),
        _ => ErrorKind::Elsewhere,
    };
    let told = ApiError::new(kind, format!("image {image}: {}", chain(error)));
    match hint(error) {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

fn hint(error: &RegistryError) -> Option<String> {
    Some(match error {
        RegistryError::NotFound { registry, .. } => {
            format!(
                "check the name and the tag; some registries answer so to who is not logged in: `hoist login {registry}`"
            )
        }
        RegistryError::LoginNeeded { registry, .. } => format!("log in: `hoist login {registry}`"),
        RegistryError::Denied { registry, .. } => {
            format!("log in as somebody who may do this: `hoist login {registry}`")
        }
        RegistryError::RateLimited { registry, .. } => {
            format!("log in (`hoist login {registry}`), wait, or declare a mirror in registries.yaml")
        }
        error if error.is_no_such_host() => {
            "there is no host of that name: check the image's name, and this host's DNS".to_owned()
        }
        error if error.is_untrusted() => {
            "name its certificate authority as `ca` in registries.yaml, or `plain-http: true` if it has none"
                .to_owned()
        }
        RegistryError::Unreachable { .. } => {
            "check that it is up and this host reaches it; HTTPS_PROXY names a proxy".to_owned()
        }
        _ => return None,
    })
}

pub(super) fn login(error: &RegistryError) -> ApiError {
    let told = ApiError::new(ErrorKind::Elsewhere, chain(error));
    match (error, hint(error)) {
        (RegistryError::Denied { .. } | RegistryError::LoginNeeded { .. }, _) => {
            told.hint("check name and password; many registries want a token in place of the password")
        }
        (_, Some(hint)) => told.hint(hint),
        (_, None) => told,
    }
}
