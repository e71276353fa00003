//! `/etc/hosts` of a command whose build has `extra_hosts`: the host's, or none but loopback where there is no network,
//! and the names after it.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use hoist_image::builder::execute::Job;
use hoist_image::builder::graph::Network;
use hoist_model::HOST_GATEWAY;

/// A command is in the host's network: what the host has is behind loopback.
const HOST: &str = "127.0.0.1";
const LOOPBACK: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost\n";

/// Writes the file below the step's scratch folder; none when the build names no hosts.
pub(super) fn file(job: &Job) -> io::Result<Option<PathBuf>> {
    if job.settings.extra_hosts.is_empty() {
        return Ok(None);
    }
    let before = match job.network {
        Network::None => LOOPBACK.to_owned(),
        Network::Default | Network::Host => host()?,
    };
    let path = job.scratch.join("hosts");
    fs::write(&path, text(before, &job.settings.extra_hosts))?;
    Ok(Some(path))
}

fn host() -> io::Result<String> {
    match fs::read("/etc/hosts") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LOOPBACK.to_owned()),
        read => Ok(String::from_utf8_lossy(&read?).into_owned()),
    }
}

fn text(mut text: String, extra: &[(String, String)]) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, address) in extra {
        let address = if address == HOST_GATEWAY { HOST } else { address };
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_come_after_what_the_host_has() {
        let extra =
            [("db", "192.0.2.9"), ("host", "host-gateway")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(
            super::text("127.0.0.1 localhost".to_owned(), &extra),
            "127.0.0.1 localhost\n192.0.2.9\tdb\n127.0.0.1\thost\n"
        );
    }
}
