//! What every change must pass.

use std::time::Instant;

use crate::run::{self, Result, cargo, must};
use crate::{circles, graph, tidy, unused};

/// Its name and what it does.
type Check = (&'static str, fn() -> Result);

/// Runs every check, also after one has failed, so that a person sees all at once.
pub(crate) fn check() -> Result {
    let checks: [Check; 7] = [
        ("format", format),
        ("clippy", clippy),
        ("licences and bans", deny),
        ("crate graph", graph::check),
        ("circles of modules", circles::check),
        ("tidiness", tidy::check),
        ("unused dependencies", unused::check),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        let start = Instant::now();
        let result = check();
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        eprintln!("{name}: {verdict} ({:.1} s)", start.elapsed().as_secs_f64());
        if let Err(complaint) = result {
            eprintln!("{complaint}");
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

/// Apart from `check`, as its verdict changes with the advisory database and not with the code.
pub(crate) fn audit() -> Result {
    install_deny()?;
    must(&mut cargo(&["deny", "check", "advisories"]))
}

fn format() -> Result {
    must(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> Result {
    must(&mut cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

fn deny() -> Result {
    install_deny()?;
    must(&mut cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))
}

fn install_deny() -> Result {
    if run::exists("cargo-deny") {
        return Ok(());
    }
    must(&mut cargo(&["install", "--locked", "--quiet", "cargo-deny"]))
}
