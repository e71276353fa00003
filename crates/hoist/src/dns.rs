//! `hoist dns`: answers names on the sockets that come through its standard input.

use std::path::PathBuf;
use std::process::ExitCode;

use hoist_agent::{Layout, handover};
use hoist_netfabric::dns::{Config, DnsSockets, Notice, Resolvers, serve};

use crate::daemonize;

/// Runs until it is killed.
pub(crate) fn run(root: PathBuf) -> ExitCode {
    daemonize::leave(&root);
    let sockets = handover::unpack(std::io::stdin()).map_err(|error| error.to_string());
    let sockets =
        sockets.and_then(|fds| DnsSockets::from_descriptors(fds).map_err(|error| error.to_string()));
    let sockets = match sockets {
        Ok(sockets) => sockets,
        Err(error) => {
            daemonize::say(&format!("dns: no sockets were handed over: {error}; it is started by the agent"));
            return ExitCode::FAILURE;
        }
    };
    let layout = Layout::new(root);
    let _lock = match hoist_agent::dns_process::hold(&layout) {
        Ok(Some(lock)) => lock,
        Ok(None) => {
            daemonize::say("dns: another one runs here");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            daemonize::say(&format!("dns: can't take its lock: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let (zone, fabric) = (layout.zone(), Some(layout.fabric_netns()));
    let config = Config { zone, resolvers: Resolvers::File(PathBuf::from("/etc/resolv.conf")), fabric };
    match serve(sockets, config, |notice| {
        if let Notice::ZoneRejected(error) = notice {
            daemonize::say(&format!("dns: the zone stays as it was: {error}"));
        }
    }) {
        Ok(never) => match never {},
        Err(error) => {
            daemonize::say(&format!("dns: {error}"));
            ExitCode::FAILURE
        }
    }
}
