//! `hoist login` and `hoist logout`.

use std::io::{self, BufRead, Write};
use std::path::Path;

use hoist_wire::{CheckLogin, ImageApi};
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};

use crate::args;
use crate::bounded;
use crate::connect;
use crate::error::CommandError;
use crate::out::{err, errln, outln};
use crate::registry_access::{forget, keep, login as access, registry_name};

/// Keeps credentials that the registry accepts.
///
/// # Errors
/// When it doesn't, or they can't be kept.
pub(crate) async fn login(root: &Path, args: &args::Login) -> Result<(), CommandError> {
    let registry = registry_name(&args.registry);
    let user = match &args.username {
        Some(user) => user.clone(),
        None => ask("Username: ", false)?,
    };
    let password = match &args.password {
        Some(password) => password.clone(),
        None if args.password_stdin => piped()?,
        None => ask("Password: ", true)?,
    };
    if user.is_empty() || password.is_empty() {
        return Err(CommandError::usage("a login needs a name and a password"));
    }
    let agent = connect::connect(root).await?;
    let request = CheckLogin { registry: registry.clone(), access: access(&registry, &user, &password) };
    agent.check_login(request).await?;
    if keep(&registry, &user, &password)? && args.password.is_some() {
        errln!("warning: a password on the command line can be seen by others; use --password-stdin");
    }
    outln!("Login Succeeded");
    Ok(())
}

/// Forgets credentials.
///
/// # Errors
/// When the file can't be changed.
pub(crate) fn logout(args: &args::Logout) -> Result<(), CommandError> {
    let registry = registry_name(&args.registry);
    if forget(&registry)? {
        outln!("Removing login credentials for {registry}");
    } else {
        outln!("Not logged in to {registry}");
    }
    Ok(())
}

/// All of standard input, without the line's end.
fn piped() -> Result<String, CommandError> {
    let text = bounded::read_stdin().and_then(bounded::to_string);
    let text =
        text.map_err(|error| CommandError::usage(format!("the password on standard input: {error}")))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn ask(question: &str, secret: bool) -> Result<String, CommandError> {
    if !isatty(io::stdin()) {
        return Err(CommandError::usage("there is no terminal to ask for name and password on")
            .hint("`hoist login -u NAME --password-stdin REGISTRY < FILE`"));
    }
    let failed = |error: io::Error| CommandError::failed(format!("the terminal: {error}"));
    err!("{question}");
    io::stderr().flush().map_err(failed)?;
    let _dark = if secret { Some(Dark::enter().map_err(failed)?) } else { None };
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// A terminal that doesn't show what is typed.
struct Dark(rustix::termios::Termios);

impl Dark {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut dark = before.clone();
        dark.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &dark)?;
        Ok(Self(before))
    }
}

impl Drop for Dark {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        errln!();
    }
}
