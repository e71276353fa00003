//! Requests as they come by the API, in the form in which the loop takes them.

use std::time::Duration;

use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::cluster::{Request, UpRequest};
use hoist_wire::{Down, PutStack, RegistryAccess};

/// `up` as the loop takes it, and how to reach its registries.
pub(crate) fn up_request(put: PutStack) -> (UpRequest, RegistryAccess) {
    let PutStack { stack, up, project_dir, files, expected, access, by, may_destroy: _ } = put;
    let options = UpOptions {
        services: up.services,
        no_deps: up.no_deps,
        scale: up.scale,
        remove_orphans: up.remove_orphans,
        force_recreate: up.force_recreate,
        refresh_guards: up.refresh_guards,
        renew_volumes: up.renew_volumes,
        no_start: up.no_start,
        wait: up.wait,
        pull: up.pull,
    };
    (UpRequest { stack, options, project_dir, files, expected, by }, access)
}

/// `down` as the loop takes it.
pub(crate) fn down_request(down: Down) -> Request {
    let Down { stack, services, volumes, timeout } = down;
    Request::Down { stack, services, volumes, timeout: seconds(timeout) }
}

/// A time in whole seconds, where one is given.
pub(crate) fn seconds(timeout: Option<u32>) -> Option<Duration> {
    timeout.map(|seconds| Duration::from_secs(seconds.into()))
}
