//! The binary: puts the crates together. One file is four programs: the command line, and the three that it starts on
//! demand: `hoist agent`, `hoist keeper`, `hoist dns`.

mod agent;
mod daemonize;
mod dns;
mod keeper;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hoist_cli::args::{Cli, Command};

fn main() -> ExitCode {
    // Keeper and dns have no options for people, and must stay small: they don't go through the command line.
    let mut words = std::env::args_os().skip(1);
    match words.next().as_deref().and_then(|word| word.to_str()) {
        Some("keeper") => return keeper::run(root(words)),
        Some("dns") => return dns::run(root(words)),
        _ => {}
    }
    let cli = Cli::parse();
    if let Command::Agent(args) = &cli.command
        && args.command.is_none()
    {
        return agent::run(&cli.global.root, args);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(hoist_cli::run(cli));
    // A read of standard input that is still waiting must not hold the process.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// The folder after `--root`.
fn root(mut words: impl Iterator<Item = std::ffi::OsString>) -> PathBuf {
    let named = words.find(|word| word == "--root").and_then(|_| words.next());
    named.map_or_else(|| PathBuf::from("/var/lib/hoist"), PathBuf::from)
}
