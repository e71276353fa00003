//! Kernel parameters of the container's own namespaces.

use oci_spec::runtime::Spec;

use super::{Namespaces, c_string};
use crate::launch::PrepareError;
use crate::op::Sysctl;

const FIELD: &str = "linux.sysctl";

/// The IPC namespace's parameters below `kernel.`; the rest of that tree is the host's.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// The operations, by name: the specification's map has no order.
pub(super) fn plan(spec: &Spec, namespaces: &Namespaces) -> Result<Vec<Sysctl>, PrepareError> {
    let wanted = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    let mut wanted: Vec<_> = wanted.into_iter().flatten().collect();
    wanted.sort();
    wanted.into_iter().map(|(key, value)| sysctl(key, value, namespaces)).collect()
}

fn sysctl(key: &str, value: &str, namespaces: &Namespaces) -> Result<Sysctl, PrepareError> {
    let path = path_of(key);
    let dotted = path.replace('/', ".");
    let invalid = |problem: &str| PrepareError::invalid(FIELD, format!("{key} {problem}"));
    if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(invalid("is not the name of a kernel parameter"));
    }
    let own = if dotted.starts_with("net.") {
        namespaces.has_own_network()
    } else if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        namespaces.has_own_ipc()
    } else if matches!(dotted.as_str(), "kernel.hostname" | "kernel.domainname") {
        return Err(invalid("is set by the fields hostname and domainname"));
    } else {
        return Err(invalid("belongs to the host, not to a namespace of the container"));
    };
    if !own {
        return Err(invalid("would change the host: the container shares that namespace with it"));
    }
    let path = c_string(FIELD, format!("/proc/sys/{path}").as_bytes())?;
    Ok(Sysctl { key: key.to_owned(), path, value: value.to_owned() })
}

/// `net.ipv4.conf.eth0/100.forwarding` and `net/ipv4/conf/eth0.100/forwarding` are the same parameter: the
/// first separator tells which of the two characters separates (sysctl(8)).
fn path_of(key: &str) -> String {
    match key.find(['.', '/']).map(|index| &key[index..=index]) {
        Some(".") => key
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn both_spellings_name_one_path() {
        let path = "net/ipv4/conf/eth0.100/forwarding";
        assert_eq!(path_of("net.ipv4.conf.eth0/100.forwarding"), path);
        assert_eq!(path_of(path), path);
    }
}
