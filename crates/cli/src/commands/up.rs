//! `hoist up`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{ServiceName, Verdict};
use hoist_wire::{ApiError, Client, ClusterApi, ErrorKind, PutStack};

use super::changes::{builds, put, scale};
use super::plan;
use crate::args;
use crate::attach::{self, Attached};
use crate::builder;
use crate::connect;
use crate::error::{CommandError, code};
use crate::last_words;
use crate::limit;
use crate::out::errln;
use crate::progress::{Progress, conclude};
use crate::project::Project;
use crate::tail::LineStyle;
use crate::time;

/// How often a stack is put before an agent that keeps dying is given up, and how long apart.
const PUTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the command; the exit code of an attached `up` comes from what it watched.
///
/// # Errors
/// When the stack can't be brought up.
pub(crate) async fn run(
    project: Project,
    args: &args::Up,
    style: args::ProgressStyle,
) -> Result<u8, CommandError> {
    let began = time::now();
    let target = project.target.clone();
    let code_from = code_from(args, &project)?;
    if args.dry_run {
        return plan::show(&project, &args.changes, args::PlanFormat::Text, None).await;
    }
    let mut put = put(&project, &args.changes)?;
    put.up.wait = args.wait;
    if let Some(file) = &args.plan {
        plan::hold(&project, file, &mut put).await?;
    }
    put.may_destroy = args.yes;
    let mut attach_to: Vec<ServiceName> = attached_services(&put, &target.services);
    // Who gives the code is watched, and stopped with the others, though its logs be left out otherwise.
    attach_to
        .extend(code_from.iter().filter(|service| !attach_to.contains(service)).cloned().collect::<Vec<_>>());
    let wanted = builds(&project.builds, &args.changes, &target).await?;
    // Only now: a checkout may take longer than an agent without work stays.
    let mut agent = Arc::new(connect::connect(&target.root).await?);
    builder::build(&agent, wanted, style).await?;
    let stays = !(args.detach || args.wait || args.changes.no_start);
    let verdict = loop {
        let progress = Progress::new("up", style).quiet_pull(args.quiet_pull).attached(stays);
        let following = bring_up(&mut agent, &target.root, &put, progress);
        match limit::within(args.wait_timeout, interruptible(following)).await? {
            Some(Brought::To(verdict)) => break verdict,
            Some(Brought::Destroys(refused)) => plan::ask(refused).await?,
            None => return Err(limit::passed(&agent, &target, args.wait_timeout).await),
        }
        put.may_destroy = true;
    };
    let nothing = "nothing to do: everything is as the stack file says";
    if !conclude(&verdict, style == args::ProgressStyle::Quiet, nothing) {
        last_words::tell(&agent, &target, &verdict).await;
        return Err(CommandError::silent(code::FAILED));
    }
    if !stays {
        return Ok(code::OK);
    }
    let attached = Attached {
        agent,
        target,
        services: attach_to,
        since: began,
        style: LineStyle {
            timestamps: args.timestamps,
            no_prefix: args.no_log_prefix,
            no_color: args.no_color,
        },
        abort_on_exit: args.abort_on_container_exit || args.exit_code_from.is_some(),
        code_from,
        timeout: args.timeout,
    };
    attach::run(attached).await
}

/// Whose exit code is asked for: known before anything starts that it is a service, and one that this command starts.
fn code_from(args: &args::Up, project: &Project) -> Result<Option<ServiceName>, CommandError> {
    let Some(word) = &args.exit_code_from else { return Ok(None) };
    let services = &project.stack.services;
    let Some((name, service)) = services.iter().find(|(name, _)| name.as_str() == word) else {
        let known: Vec<&str> = services.keys().map(ServiceName::as_str).collect();
        return Err(CommandError::usage(format!("--exit-code-from: the stack file has no service {word}"))
            .hint(format!("it has {}; others may have profiles that are off", known.join(", "))));
    };
    if scale(&args.changes.scale)?.get(name).copied().unwrap_or(service.replicas) == 0 {
        return Err(CommandError::usage(format!("--exit-code-from: {name} is to have no instances"))
            .hint("give it one by `--scale`, `scale` or `deploy.replicas`"));
    }
    let mut started: Vec<&ServiceName> = project.target.services.iter().collect();
    let mut at = 0;
    while let Some(service) = started.get(at).copied().filter(|_| !args.changes.no_deps) {
        let needs = services.get(service).into_iter().flat_map(|service| service.depends_on.keys());
        let fresh: Vec<_> = needs.filter(|need| !started.contains(need)).collect();
        started.extend(fresh);
        at += 1;
    }
    if !started.is_empty() && !started.contains(&name) {
        return Err(CommandError::usage(format!("--exit-code-from: this command doesn't start {name}"))
            .hint("name it among the services, or name none to start all"));
    }
    Ok(Some(name.clone()))
}

/// How an `up` came out.
enum Brought {
    /// To its end.
    To(Verdict),
    /// It was refused, and nothing was changed, as it destroys data.
    Destroys(ApiError),
}

/// Puts the stack and follows it to the verdict. When the agent is killed on the way, what was put is put again: the
/// same stack makes no other revision, and nothing is done twice.
async fn bring_up(
    agent: &mut Arc<Client>,
    root: &Path,
    put: &PutStack,
    mut progress: Progress,
) -> Result<Brought, CommandError> {
    let mut put = put.clone();
    for _ in 0..PUTS {
        let followed = match agent.put_stack(put.clone()).await {
            Ok(mut events) => progress.follow(&mut events).await,
            Err(error) => Err(error),
        };
        match followed {
            Err(error) if error.kind == ErrorKind::Unavailable => {
                tokio::time::sleep(PAUSE).await;
                *agent = Arc::new(connect::connect(root).await?);
                // It may have made the revision before it went.
                put.expected = None;
            }
            Err(error) if error.kind == ErrorKind::Destroys => return Ok(Brought::Destroys(error)),
            followed => return Ok(Brought::To(followed?)),
        }
    }
    Err(CommandError::failed("the agent went away again and again before everything was up")
        .hint(format!("its log is {}", root.join("agent.log").display())))
}

/// Ctrl-C before everything is up leaves things as they are: the stack is wanted, and goes on coming up.
async fn interruptible<T, E: Into<CommandError>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, CommandError> {
    tokio::select! {
        result = work => result.map_err(Into::into),
        _ = tokio::signal::ctrl_c() => {
            errln!("\ninterrupted: the stack goes on coming up; `hoist ps` shows it, `hoist down` takes it away");
            Err(CommandError::silent(code::INTERRUPTED))
        }
    }
}

/// The services whose logs are shown: the named ones, or all that don't say `attach: false`.
fn attached_services(put: &PutStack, named: &[ServiceName]) -> Vec<ServiceName> {
    if !named.is_empty() {
        return named.to_vec();
    }
    let shown = put.stack.services.iter().filter(|(_, service)| service.attach);
    shown.map(|(name, _)| name.clone()).collect()
}
