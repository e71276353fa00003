//! `security_opt`: how far a service is confined. A wish that can't be met is an error, never a warning.

use super::attributes::Attributes;
use crate::diagnostic::Diagnostic;
use crate::node::Node;
use crate::project::Project;
use crate::reader::{FileKind, FileReader};
use crate::syntax::{path, seccomp};
use hoist_model::Seccomp;
use std::path::Path;

/// Where a kernel says whether it has AppArmor.
const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";

/// What the options come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Security {
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    pub apparmor: Option<String>,
    pub open_system_paths: bool,
}

/// What is wrong with an option, and what to do.
struct Problem(String, &'static str);

/// Reads the options in order; the last of a kind counts, as with Docker.
pub(super) fn security(at: &mut Attributes<'_, '_>, project: &Project, reader: &dyn FileReader) -> Security {
    let mut security = Security::default();
    for node in at.list("security_opt") {
        let text = node.as_text().unwrap_or_default();
        if let Err(problem) = option(&mut security, text, project, reader) {
            report(at, node, &problem);
        }
    }
    security
}

fn report(at: &mut Attributes<'_, '_>, node: &Node, problem: &Problem) {
    let message = format!("`services.{}`: {}", at.name, problem.0);
    at.report.push(Diagnostic::error("invalid-value", message).label(node.place(), "").help(problem.1));
}

fn option(
    security: &mut Security,
    text: &str,
    project: &Project,
    reader: &dyn FileReader,
) -> Result<(), Problem> {
    // The colon is Docker's older form.
    let parts = text.split_once('=').or_else(|| text.split_once(':'));
    match parts.unwrap_or((text, "")) {
        ("no-new-privileges", "") if parts.is_none() => security.no_new_privileges = true,
        ("no-new-privileges", value) => security.no_new_privileges = flag(text, value)?,
        ("seccomp", value) => security.seccomp = seccomp_profile(value, project, reader)?,
        ("apparmor", value) => security.apparmor = apparmor(value, reader)?,
        // There are no labels to switch off.
        ("label", "disable") => {}
        ("label", _) => {
            let help = "take it out; `label=disable` is what Hoist does anyway";
            return Err(Problem(format!("`security_opt: {text}`: Hoist sets no SELinux labels"), help));
        }
        ("systempaths", "unconfined") => security.open_system_paths = true,
        _ => {
            let help = "there are seccomp=FILE|builtin|unconfined, no-new-privileges[=true|false], \
                        systempaths=unconfined, apparmor=PROFILE|unconfined and label=disable";
            return Err(Problem(format!("`security_opt: {text}` is not known"), help));
        }
    }
    Ok(())
}

/// As Go reads truth values.
fn flag(text: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Problem(format!("`security_opt: {text}` is neither true nor false"), "write true or false")),
    }
}

fn apparmor(value: &str, reader: &dyn FileReader) -> Result<Option<String>, Problem> {
    let usable =
        |name: &str| !name.is_empty() && !name.contains(|c: char| c.is_control() || c.is_whitespace());
    if value == "unconfined" {
        return Ok(None);
    }
    if !usable(value) {
        let message = format!("`security_opt: apparmor={value}` names no AppArmor profile");
        return Err(Problem(message, "name a profile that is loaded, or `unconfined`"));
    }
    let enabled = reader.read(Path::new(APPARMOR)).is_ok_and(|text| text.starts_with(b"Y"));
    if !enabled {
        let message = format!("`security_opt: apparmor={value}`: this kernel has no AppArmor");
        return Err(Problem(message, "take it out, or write apparmor=unconfined"));
    }
    Ok(Some(value.to_owned()))
}

/// A word, or a file: read here, as the person who asks, and its content goes along.
fn seccomp_profile(value: &str, project: &Project, reader: &dyn FileReader) -> Result<Seccomp, Problem> {
    let file = match value {
        "unconfined" => return Ok(Seccomp::Unconfined),
        "builtin" => return Ok(Seccomp::Builtin),
        file if path::is_absolute(file) => file.to_owned(),
        file => path::join(&project.directory, file),
    };
    let problem = |what: String| {
        let help = "name a file with a profile of Docker's form, or `builtin` or `unconfined`";
        Problem(format!("the seccomp profile {file}: {what}"), help)
    };
    if value.is_empty() {
        return Err(problem("no file is named".to_owned()));
    }
    match reader.kind(Path::new(&file)) {
        Some(FileKind::File) => {}
        Some(FileKind::Folder) => return Err(problem("it is a folder".to_owned())),
        None => return Err(problem("there is no such file".to_owned())),
    }
    let text = reader.read(Path::new(&file)).map_err(|error| problem(error.to_string()))?;
    seccomp::parse(&text).map(Seccomp::Profile).map_err(problem)
}
