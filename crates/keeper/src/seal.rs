//! Running from a view of the program's file that nobody can write through.
//!
//! Why, [`hoist_runtime::sealed`] says. It costs the start three system calls and an execve, and no memory.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;

use hoist_runtime::sealed::{is_sealed, own_binary};
use nix::fcntl::AtFlags;

/// That it was tried: it must never be tried for ever.
const VARIABLE: &str = "HOIST_KEEPER_SEALED";

/// Executes this program again, sealed; returns at once when it is already.
pub(crate) fn seal() -> io::Result<()> {
    if is_sealed() || std::env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    match execute_sealed()? {}
}

fn execute_sealed() -> io::Result<Infallible> {
    let program = own_binary()?;
    let args: Vec<CString> = std::env::args_os().map(c_string).collect::<Result<_, _>>()?;
    let marker = (OsString::from(VARIABLE), OsString::from("1"));
    let variables = std::env::vars_os().chain([marker]).map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        c_string(name)
    });
    let variables: Vec<CString> = variables.collect::<Result<_, _>>()?;
    Ok(nix::unistd::execveat(&program, c"", &args, &variables, AtFlags::AT_EMPTY_PATH)?)
}

fn c_string(text: OsString) -> Result<CString, std::ffi::NulError> {
    CString::new(text.into_vec())
}
