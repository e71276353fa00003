//! `hoist version`.

use crate::args;
use crate::out::outln;

/// Prints the version.
pub(crate) fn run(args: &args::Version) {
    let version = env!("CARGO_PKG_VERSION");
    if args.format == "json" {
        outln!("{}", serde_json::json!({ "version": version }));
    } else if args.short {
        outln!("{version}");
    } else {
        outln!("hoist version {version}");
    }
}
