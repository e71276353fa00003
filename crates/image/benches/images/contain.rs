//! Starts this program again in namespaces that end with it: whatever the bench's daemons leave running, mounted or linked
//! is gone afterwards, also when the bench is stopped half-way. Several benches have this file.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Names the bench's folder, in there.
const VARIABLE: &str = "HOIST_BENCH_FOLDER";

/// The outer shell cleans up what outlives namespaces: empty control groups and the folder. The inner one is the first
/// process, which has to reap orphans; bash does.
const SCRIPT: &str = r#"
trap '' INT TERM
unshare --net --mount --pid --fork --kill-child --mount-proc bash -c '
    ip link set lo up
    "$@"
    exit $?' bash "$@"
code=$?
for top in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -d "$top/$GROUP" ] && find "$top/$GROUP" -depth -type d -exec rmdir {} + 2>/dev/null
done
rm -rf "$HOIST_BENCH_FOLDER"
exit $code
"#;

/// The bench's folder, when this is the program in there.
pub(super) fn folder() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// Becomes the program in there.
pub(super) fn again() -> ExitCode {
    let group = group();
    let folder = std::env::temp_dir().join(&group);
    let this = std::env::current_exe().expect("a running program has a path");
    let mut shell = Command::new("bash");
    shell.args(["-c", SCRIPT, "bash"]).arg(this).args(std::env::args_os().skip(1));
    let error = shell.env(VARIABLE, folder).env("GROUP", group).exec();
    eprintln!("can't start bash: {error}");
    ExitCode::FAILURE
}

/// The control group that everything of the bench but Hoist's is in; Hoist makes and removes its own.
pub(super) fn group() -> String {
    let name = || format!("hoist-bench-{}-{}", env!("CARGO_CRATE_NAME"), std::process::id());
    std::env::var("GROUP").unwrap_or_else(|_| name())
}
