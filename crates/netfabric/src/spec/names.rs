//! Names the kernel takes, checked where they enter.

use std::fmt;

use super::SpecError;

/// The kernel's limit for interface names without the final NUL (`IFNAMSIZ - 1`).
const LINK_NAME_MAX: usize = 15;
const TAG_MAX: usize = 9;

/// A valid interface name: 1 to 15 bytes, no `/`, no whitespace, not `.` or `..` (`dev_valid_name`
/// in the kernel), and no `:`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName(String);

impl LinkName {
    /// Checks a name.
    pub fn new(name: impl Into<String>) -> Result<Self, SpecError> {
        let name = name.into();
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
        if name.is_empty()
            || name.len() > LINK_NAME_MAX
            || matches!(name.as_str(), "." | "..")
            || !name.bytes().all(allowed)
        {
            return Err(SpecError::LinkName { name });
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The short name of one fabric: 1 to 9 lower-case letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// Checks a tag.
    pub fn new(tag: impl Into<String>) -> Result<Self, SpecError> {
        let tag = tag.into();
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if tag.is_empty() || tag.len() > TAG_MAX || !tag.bytes().all(allowed) {
            return Err(SpecError::Tag { tag });
        }
        Ok(Self(tag))
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of the link on the host and of the tables on both sides: `hoist-<tag>`.
    pub fn name(&self) -> String {
        format!("hoist-{}", self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fabric's end of the link to one interface of one instance.
///
/// The name is `<instance>.<index>`, so that all ends of an instance can be found again from its short
/// identifier alone. An instance identifier has up to 12 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostEnd(LinkName);

impl HostEnd {
    /// Names the end for the `index`-th attachment (0..=99) of `instance`.
    pub fn new(instance: &str, index: usize) -> Result<Self, SpecError> {
        let valid = !instance.is_empty() && instance.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !valid || index > 99 {
            return Err(SpecError::Instance { instance: instance.to_owned() });
        }
        LinkName::new(format!("{instance}.{index}"))
            .map(Self)
            .map_err(|_| SpecError::Instance { instance: instance.to_owned() })
    }

    /// Reads a link's name back; `None` when it isn't one of ours.
    pub fn parse(link: &str) -> Option<Self> {
        let (instance, index) = link.rsplit_once('.')?;
        Self::new(instance, index.parse().ok()?).ok()
    }

    /// The instance it belongs to.
    pub fn instance(&self) -> &str {
        self.0.as_str().rsplit_once('.').map_or("", |(instance, _)| instance)
    }

    /// The link's name.
    pub fn link(&self) -> &LinkName {
        &self.0
    }
}

impl fmt::Display for HostEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_are_what_the_kernel_takes() {
        for good in ["br-0", "eth0", "a", "fifteen-bytes-x"] {
            assert!(LinkName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "sixteen-bytes-xx", "a/b", "a b", "a:b", "\u{e9}"] {
            assert!(LinkName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_end_leads_back_to_its_instance() {
        let end = HostEnd::new("i7f3k9q2m1xz", 3).unwrap();
        assert_eq!(end.to_string(), "i7f3k9q2m1xz.3");
        assert_eq!(HostEnd::parse("i7f3k9q2m1xz.3").unwrap().instance(), "i7f3k9q2m1xz");
        assert_eq!(HostEnd::parse("uplink"), None);
        assert!(HostEnd::new("i7f3k9q2m1xzab", 0).is_err());
        assert!(HostEnd::new("a.b", 0).is_err());
    }

    #[test]
    fn a_tag_leaves_room_for_the_link_name() {
        assert_eq!(Tag::new("abcdefghi").unwrap().name().len(), 15);
        assert!(Tag::new("abcdefghij").is_err());
        assert!(Tag::new("A").is_err());
    }
}
