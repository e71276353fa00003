//! `hoist keeper`: the parent of every container.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use hoist_agent::Layout;
use hoist_keeper::Config;

use crate::daemonize::DaemonGroup;

/// Runs until it is told to end. `exe` is the binary to start agents from.
pub(crate) fn run(root: PathBuf, exe: Option<PathBuf>) -> ExitCode {
    let layout = Layout::new(root);
    let exe = exe.or_else(|| std::env::current_exe().ok()).unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
    let respawn =
        [exe.into_os_string(), "agent".into(), "--background".into(), "--respawned".into(), "--root".into()];
    let holder = ["hoist".into(), "holder".into(), "--root".into(), OsString::from(layout.root())];
    let config = Config {
        respawn: respawn.into_iter().chain([OsString::from(layout.root())]).collect(),
        holder: holder.into(),
        cgroup_procs: DaemonGroup::of(&layout).map(|group| group.procs_paths()).unwrap_or_default(),
        diary: Some(layout.daemon_log("keeper")),
        ..Config::new(layout.keeper_state(), layout.keeper_socket())
    };
    match hoist_keeper::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::daemonize::say(&format!("keeper: {}", hoist_model::chain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// `hoist holder`: holds output pipes open beside the keeper, which starts it, until none is left.
pub(crate) fn hold() -> ExitCode {
    match hoist_keeper::hold() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holder: no socket was handed over: {error}; it is started by the keeper");
            ExitCode::FAILURE
        }
    }
}
