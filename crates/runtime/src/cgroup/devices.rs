//! Device access rules and their text form.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One line of an allow or deny list (OCI runtime specification, `linux.resources.devices`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    pub allow: bool,
    pub kind: DeviceKind,
    /// `None` is any.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    All,
    Block,
    Char,
}

/// What may be done with a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub read: bool,
    pub write: bool,
    pub mknod: bool,
}

impl Access {
    pub const ALL: Access = Access { read: true, write: true, mknod: true };
    const MKNOD: Access = Access { read: false, write: false, mknod: true };

    /// Reads `rwm` in any order and subset; `None` for another letter.
    pub fn parse(letters: &str) -> Option<Access> {
        let mut access = Access { read: false, write: false, mknod: false };
        for letter in letters.chars() {
            match letter {
                'r' => access.read = true,
                'w' => access.write = true,
                'm' => access.mknod = true,
                _ => return None,
            }
        }
        Some(access)
    }
}

impl DeviceRule {
    /// Denies everything: what an allow list begins with.
    pub const DENY_ALL: DeviceRule =
        DeviceRule { allow: false, kind: DeviceKind::All, major: None, minor: None, access: Access::ALL };

    /// What every container may do: make any node (opening one is another matter), and use the devices
    /// that the OCI specification requires in `/dev`.
    pub fn defaults() -> Vec<DeviceRule> {
        const NODES: [(u32, Option<u32>); 9] = [
            (1, Some(3)), // null
            (1, Some(5)), // zero
            (1, Some(7)), // full
            (1, Some(8)), // random
            (1, Some(9)), // urandom
            (5, Some(0)), // tty
            (5, Some(1)), // console
            (5, Some(2)), // ptmx
            (136, None),  // pts/*
        ];
        let any = |kind| DeviceRule { allow: true, kind, major: None, minor: None, access: Access::MKNOD };
        let node = |(major, minor)| DeviceRule {
            allow: true,
            kind: DeviceKind::Char,
            major: Some(major),
            minor,
            access: Access::ALL,
        };
        [any(DeviceKind::Char), any(DeviceKind::Block)].into_iter().chain(NODES.map(node)).collect()
    }

    /// Whether the rule speaks of every device and every access.
    pub(super) fn is_total(&self) -> bool {
        let everywhere = self.major.is_none() && self.minor.is_none();
        self.kind == DeviceKind::All && everywhere && self.access == Access::ALL
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (set, letter) in [(self.read, "r"), (self.write, "w"), (self.mknod, "m")] {
            if set {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for DeviceRule {
    /// As version 1's `devices.allow` and `devices.deny` read it, such as `c 1:3 rwm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::All => "a",
            DeviceKind::Block => "b",
            DeviceKind::Char => "c",
        };
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        write!(f, "{kind} {}:{} {}", number(self.major), number(self.minor), self.access)
    }
}
