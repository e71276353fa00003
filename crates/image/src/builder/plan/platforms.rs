//! Platforms as FROM writes them, and the arguments that name them.

use crate::platform::Platform;

/// `linux/arm64`, `arm64`, `linux`, with the other names of architectures; what is left out is as in `like`.
pub(super) fn parse(text: &str, like: &Platform) -> Option<Platform> {
    let lower = text.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split('/').collect();
    if parts
        .iter()
        .any(|part| part.is_empty() || !part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))
    {
        return None;
    }
    let (os, architecture, variant) = match parts[..] {
        [os @ ("linux" | "windows" | "darwin" | "freebsd")] => {
            (os, &like.architecture[..], like.variant.as_deref())
        }
        [architecture] => (&like.os[..], architecture, None),
        [os, architecture] => (os, architecture, None),
        [os, architecture, variant] => (os, architecture, Some(variant)),
        _ => return None,
    };
    Some(normal(os, architecture, variant))
}

fn normal(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("i386" | "i686", _) => ("386", None),
        ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
        ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        other => other,
    };
    Platform { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.map(str::to_owned) }
}

/// `BUILDPLATFORM`, `TARGETARCH` and the others, which every build has.
pub(super) fn arguments(build: &Platform, target: &Platform, stage: &str) -> Vec<(String, String)> {
    let of = |prefix: &str, platform: &Platform| {
        let variant = platform.variant.clone().unwrap_or_default();
        let values = [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("OSVERSION", String::new()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", variant),
        ];
        values.map(|(name, value)| (format!("{prefix}{name}"), value))
    };
    let stage = ("TARGETSTAGE".to_owned(), stage.to_owned());
    of("BUILD", build).into_iter().chain(of("TARGET", target)).chain([stage]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_other_names() {
        let host = "linux/amd64".parse().unwrap();
        let parsed = |text| parse(text, &host).map(|platform| platform.to_string());
        for (text, platform) in [
            ("linux/amd64", "linux/amd64"),
            ("linux", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("armel", "linux/arm/v6"),
            ("Linux/X86_64", "linux/amd64"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(platform));
        }
        for text in ["", "linux/", "a/b/c/d", "li nux"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
