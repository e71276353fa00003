//! `hoist plan`: what `up` would do. Also what `up` has of it: `--dry-run`, `--plan`, and the question before data goes.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use hoist_model::{Preview, ServiceName, StackId};
use hoist_wire::{ApiError, Client, ClusterApi, Down, Plan, PlanOf, PutStack, Up};
use serde::{Deserialize, Serialize};

use super::changes;
use crate::args::{self, PlanFormat};
use crate::connect;
use crate::error::{CommandError, code};
use crate::out::{err, outln};
use crate::preview::{places, text};
use crate::project::Project;

/// The version of plan files that this release writes, and the only one that it reads.
const VERSION: u32 = 1;

/// A plan, kept for later: what to do, and digests of all that it was computed from.
#[derive(Debug, Serialize, Deserialize)]
struct PlanFile {
    version: u32,
    stack: StackId,
    up: Up,
    builds: BTreeSet<ServiceName>,
    /// Of all inputs together.
    digest: String,
    inputs: std::collections::BTreeMap<String, String>,
    /// What was shown.
    preview: Preview,
}

/// Runs the command.
///
/// # Errors
/// When it can't be told what would be done, or it can't be done.
pub(crate) async fn run(project: &Project, args: &args::Plan) -> Result<u8, CommandError> {
    show(project, &args.changes, args.format, args.output.as_deref()).await
}

/// Shows what an `up` would do; the code says whether that is anything.
///
/// # Errors
/// As [`run`].
pub(crate) async fn show(
    project: &Project,
    changes: &args::Changes,
    format: PlanFormat,
    output: Option<&Path>,
) -> Result<u8, CommandError> {
    let put = changes::put(project, changes)?;
    let builds = builds(project, changes).await?;
    let agent = connect::connect(&project.target.root).await?;
    let (options, id) = (put.up.clone(), put.stack.id.clone());
    let of = PlanOf::Up(Box::new(put));
    let mut preview = agent.plan(Plan { of, builds: builds.clone(), offline: false }).await?;
    places::find(&project.source, &mut preview);
    if let (Some(file), true) = (output, preview.failures.is_empty()) {
        let kept = PlanFile {
            version: VERSION,
            stack: id,
            up: options,
            builds,
            digest: preview.digest.clone(),
            inputs: preview.inputs.clone(),
            preview: preview.clone(),
        };
        write(file, &kept)?;
    }
    print(&preview, format)
}

/// Shows what a `down` would do.
///
/// # Errors
/// As [`run`].
pub(crate) async fn show_down(agent: &Client, down: Down) -> Result<u8, CommandError> {
    let of = PlanOf::Down(down);
    let preview = agent.plan(Plan { of, builds: BTreeSet::new(), offline: true }).await?;
    print(&preview, PlanFormat::Text)
}

fn print(preview: &Preview, format: PlanFormat) -> Result<u8, CommandError> {
    match format {
        PlanFormat::Json => {
            let json = serde_json::to_string_pretty(preview).expect("a plan has text keys");
            outln!("{json}");
        }
        PlanFormat::Text => {
            preview.warnings.iter().for_each(|warning| crate::progress::warn(warning));
            outln!("{}", text::of(preview).trim_end());
        }
    }
    if let Some(first) = preview.failures.first() {
        let error = CommandError::failed(format!("{}: {}", first.subject, first.what));
        return Err(match &first.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        });
    }
    Ok(if preview.changes { code::CHANGES } else { code::OK })
}

/// The services that would be built.
async fn builds(project: &Project, changes: &args::Changes) -> Result<BTreeSet<ServiceName>, CommandError> {
    let wanted = changes::builds(&project.builds, changes, &project.target).await?;
    Ok(wanted.into_iter().map(|one| one.service).collect())
}

/// A plan tells what the stack has in its environment: it is the user's alone, also where the file was there before.
fn write(file: &Path, kept: &PlanFile) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(kept).expect("a plan has text keys");
    let written =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file).and_then(
            |mut out| {
                let opened = out.metadata()?;
                // A pipe or a device keeps the mode that it has.
                if opened.is_file() {
                    out.set_permissions(Permissions::from_mode(0o600))?;
                }
                out.write_all(text.as_bytes())
            },
        );
    written
        .map_err(|error| CommandError::failed(format!("can't write the plan to {}: {error}", file.display())))
}

fn read(file: &Path) -> Result<PlanFile, CommandError> {
    let fail = |what: String| CommandError::usage(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
    let again = "make it again with `hoist plan -o`";
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| fail(format!("this is no plan: {error}")).hint(again))?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            let what =
                format!("this is a plan of version {version}, and this release reads version {VERSION}");
            return Err(fail(what).hint(again));
        }
        None => return Err(fail("this is no plan: it has no version".to_owned()).hint(again)),
    }
    serde_json::from_value(value).map_err(|error| fail(format!("this is no plan: {error}")).hint(again))
}

/// Makes an `up` do what a plan foresaw.
///
/// # Errors
/// When something that the plan was computed from has changed since.
pub(super) async fn hold(project: &Project, file: &Path, put: &mut PutStack) -> Result<(), CommandError> {
    let kept = read(file)?;
    if kept.stack != put.stack.id {
        let what = format!("{} is a plan of stack {}, not of {}", file.display(), kept.stack, put.stack.id);
        return Err(CommandError::usage(what).hint("name the stack file that the plan was made from"));
    }
    if !project.target.services.is_empty() {
        return Err(CommandError::usage("a plan says which services it is about; name none beside --plan"));
    }
    put.up = Up { wait: put.up.wait, ..kept.up.clone() };
    // Also an `up` between this look and what follows is noticed.
    put.expected = kept.preview.based_on;
    let agent = connect::connect(&project.target.root).await?;
    // What has changed is told by its name, so that the revision alone doesn't decide here.
    let asked = PutStack { up: kept.up.clone(), expected: None, ..put.clone() };
    let plan = Plan { of: PlanOf::Up(Box::new(asked)), builds: kept.builds.clone(), offline: false };
    let now = agent.plan(plan).await?;
    if now.digest == kept.digest {
        return Ok(());
    }
    let names: BTreeSet<&String> = kept.inputs.keys().chain(now.inputs.keys()).collect();
    let differ = names.into_iter().filter(|name| kept.inputs.get(*name) != now.inputs.get(*name));
    let differ: Vec<&str> = differ.map(String::as_str).collect();
    let what = format!(
        "{} doesn't hold any more: since it was made, this has changed: {}",
        file.display(),
        differ.join(", ")
    );
    Err(CommandError::failed(what).hint("nothing was changed; make the plan again with `hoist plan -o`"))
}

/// Asks whether an `up` may destroy data, which the agent has refused.
///
/// # Errors
/// When it may not, or nobody can be asked.
pub(super) async fn ask(refused: ApiError) -> Result<(), CommandError> {
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        err!("{refused}. Go on? [y/N] ");
        // Reading can't be broken off: Ctrl-C ends the command without it.
        let answered = tokio::select! {
            answered = tokio::task::spawn_blocking(answer) => answered.unwrap_or_default(),
            _ = tokio::signal::ctrl_c() => return Err(CommandError::silent(code::INTERRUPTED)),
        };
        if matches!(answered.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
    }
    let message = format!("nothing was changed: {refused}");
    Err(ApiError { message, ..refused }.into())
}

fn answer() -> String {
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map(|_| answer).unwrap_or_default()
}
