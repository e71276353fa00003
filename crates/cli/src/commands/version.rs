//! `hoist version`.

use crate::args;

/// Prints the version.
pub(crate) fn run(args: &args::Version) {
    let version = env!("CARGO_PKG_VERSION");
    if args.format == "json" {
        anstream::println!("{}", serde_json::json!({ "version": version }));
    } else if args.short {
        anstream::println!("{version}");
    } else {
        anstream::println!("hoist version {version}");
    }
}
