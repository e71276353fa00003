//! Which of an index's images this host runs (OCI image index, property `platform`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Operating system, architecture and, for some architectures, a variant: `linux/arm64/v8`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A text is no platform.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform, which is written os/architecture or os/architecture/variant")]
pub struct PlatformError(String);

impl Platform {
    /// The platform that this program was built for.
    pub fn host() -> Self {
        let architecture = architecture_name(std::env::consts::ARCH);
        let variant = (architecture == "arm").then(|| "v7".to_owned());
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant }
    }

    /// How well an image of this platform runs where `wanted` is wanted: `None` if not at all, else
    /// the lower the better. An arm host also runs images for earlier variants.
    pub fn fitness(&self, wanted: &Self) -> Option<u8> {
        if self.os != wanted.os || self.architecture != wanted.architecture {
            return None;
        }
        match (self.variant_number(), wanted.variant_number()) {
            (Some(has), Some(wants)) => wants.checked_sub(has),
            _ => Some(0),
        }
    }

    fn variant_number(&self) -> Option<u8> {
        let assumed = match &self.architecture[..] {
            "arm64" => Some(8),
            "amd64" => Some(1),
            "arm" => Some(7),
            _ => None,
        };
        self.variant.as_deref().and_then(|variant| variant.strip_prefix('v')?.parse().ok()).or(assumed)
    }
}

/// Rust's name of an architecture, in the words of Go, which images use.
fn architecture_name(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let mut parts = text.split('/').map(str::to_owned);
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let (Some(os), Some(architecture), variant) = (part(), part(), part()) else {
            return Err(PlatformError(text.to_owned()));
        };
        let spoilt = text.split('/').count() > 3 || text.ends_with('/');
        if spoilt { Err(PlatformError(text.to_owned())) } else { Ok(Self { os, architecture, variant }) }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_variant_fits_best() {
        let fitness =
            |image: &str, host: &str| image.parse::<Platform>().unwrap().fitness(&host.parse().unwrap());
        assert_eq!(fitness("linux/amd64", "linux/amd64"), Some(0));
        assert_eq!(fitness("linux/arm64/v8", "linux/arm64"), Some(0));
        assert_eq!(fitness("linux/arm/v6", "linux/arm/v7"), Some(1));
        assert_eq!(fitness("linux/arm/v7", "linux/arm/v6"), None);
        assert_eq!(fitness("linux/amd64/v3", "linux/amd64"), None);
        assert_eq!(fitness("windows/amd64", "linux/amd64"), None);
        assert_eq!(fitness("unknown/unknown", "linux/amd64"), None);
    }

    #[test]
    fn text_round_trips_or_is_refused() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["", "linux", "linux/", "a/b/c/d", "linux/arm/"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
