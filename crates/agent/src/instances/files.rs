//! The files that Hoist writes into an instance: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`; and the empty ones below them.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Their names in `/etc`.
pub(crate) const NAMES: [&str; 3] = ["hostname", "hosts", "resolv.conf"];

/// Lays out a layer with an empty file for each of them, for images that have none: it saves every instance from having
/// them made in its own layer.
///
/// # Errors
/// When the disk has no room for them.
pub(crate) fn skeleton(dir: &Path) -> io::Result<()> {
    let etc = dir.join("etc");
    for folder in [dir, &etc] {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    for file in NAMES.map(|name| etc.join(name)) {
        if !file.exists() {
            File::create(&file)?.set_permissions(fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

/// What `/etc/hosts` says: loopback, the instance's own addresses under its name, and `extra_hosts`.
#[must_use]
pub(crate) fn hosts(
    hostname: &str,
    domain: Option<&str>,
    addresses: &[IpAddr],
    extra: &[(String, IpAddr)],
) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    let names = match domain {
        Some(domain) => format!("{hostname}.{domain} {hostname}"),
        None => hostname.to_owned(),
    };
    for address in addresses {
        let _ = writeln!(text, "{address}\t{names}");
    }
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

/// What `/etc/resolv.conf` says: our server, and the search domains and options declared. `ndots:0`, as names of
/// services have no dots and must be asked as they are.
#[must_use]
pub(crate) fn resolv_conf(servers: &[IpAddr], search: &[String], options: &[String]) -> String {
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    let search: Vec<&str> = search.iter().map(String::as_str).filter(|domain| *domain != ".").collect();
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    if !options.iter().any(|option| option.starts_with("ndots:")) {
        options.push("ndots:0");
    }
    let _ = writeln!(text, "options {}", options.join(" "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_skeleton_has_what_is_mounted_and_is_laid_out_again_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        skeleton(dir.path()).unwrap();
        skeleton(dir.path()).unwrap();
        let mut found: Vec<String> = fs::read_dir(&etc)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, NAMES);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&etc), mode(&etc.join("hosts"))), (0o755, 0o644));
    }

    #[test]
    fn hosts_names_the_instance_and_the_extra_ones() {
        let text = hosts(
            "web",
            Some("shop.test"),
            &["10.1.0.2".parse().unwrap()],
            &[("db".into(), "10.9.9.9".parse().unwrap())],
        );
        assert!(text.contains("10.1.0.2\tweb.shop.test web\n"));
        assert!(text.ends_with("10.9.9.9\tdb\n"));
    }

    #[test]
    fn a_declared_ndots_is_kept() {
        let text =
            resolv_conf(&["10.1.0.1".parse().unwrap()], &["a".into(), ".".into()], &["ndots:2".into()]);
        assert_eq!(text, "nameserver 10.1.0.1\nsearch a\noptions ndots:2\n");
    }
}
