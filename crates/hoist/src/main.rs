//! The binary: puts the crates together. One file is five programs: the command line, and the four that it starts on
//! demand: `hoist agent`, `hoist keeper`, `hoist holder`, `hoist dns`.

mod agent;
mod daemonize;
mod dns;
mod keeper;
mod state;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hoist_cli::args::{Cli, Command};

fn main() -> ExitCode {
    // Keeper, holder and dns have no options for people, and must stay small: they don't go through the command line.
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some("keeper") => return keeper::run(root(&words), after(&words, "--exe")),
        Some("holder") => return keeper::hold(),
        Some("dns") => return dns::run(root(&words)),
        _ => {}
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version too: told, or not where nothing can be written.
        Err(told) => {
            let code = if told.print().is_ok() { told.exit_code() } else { 1 };
            return ExitCode::from(u8::try_from(code).unwrap_or(1));
        }
    };
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

fn root(words: &[OsString]) -> PathBuf {
    after(words, "--root").unwrap_or_else(|| PathBuf::from("/var/lib/hoist"))
}

/// The path after an option.
fn after(words: &[OsString], option: &str) -> Option<PathBuf> {
    let mut words = words.iter();
    words.find(|word| *word == option)?;
    words.next().map(PathBuf::from)
}
