//! The release: one binary that needs nothing of the host, its C library included.

use std::path::{Path, PathBuf};

use crate::metadata;
use crate::run::{self, Result, cargo, must, program};

pub(crate) fn run() -> Result {
    let host = host()?;
    let mut build = cargo(&["build", "--release", "--package", "hoist", "--bin", "hoist", "--target", &host]);
    // With --target the flags don't reach build scripts and macros, which can't be static.
    must(build.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    let binary = metadata::read()?.target.join(&host).join("release/hoist");
    require_static(&binary)?;
    let bytes = std::fs::metadata(&binary)?.len();
    println!("{} (static, {:.1} MB)", binary.display(), bytes as f64 / 1e6);
    Ok(())
}

/// This machine's triple, as the compiler names it.
fn host() -> Result<String> {
    let version = run::output(&mut program("rustc", &["-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc -vV names no host")?.to_owned())
}

/// Neither an interpreter nor libraries to load, as readelf(1) shows them.
fn require_static(binary: &Path) -> Result {
    let binary_text = binary.to_string_lossy().into_owned();
    let headers =
        run::output(&mut program("readelf", &["--wide", "--program-headers", "--dynamic", &binary_text]))?;
    let dynamic: Vec<&str> = headers
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("INTERP") || line.contains("(NEEDED)"))
        .collect();
    if dynamic.is_empty() {
        return Ok(());
    }
    Err(format!("{} is not static:\n{}", PathBuf::from(binary).display(), dynamic.join("\n")).into())
}
