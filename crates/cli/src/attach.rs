//! An attached `up`: logs of what it brought up, Ctrl-C stops it, and it ends when all of it has ended. When this
//! process is killed, the stack runs on.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hoist_model::{Phase, ServiceName, WallTime};
use hoist_wire::{Client, ClusterApi, InstanceStatus, Select, StackStatus, Stop};

use crate::args::ProgressStyle;
use crate::connect;
use crate::error::{CommandError, code};
use crate::out::errln;
use crate::progress::{Progress, conclude};
use crate::project::Target;
use crate::steady::Steady;
use crate::style;
use crate::tail::{Item, LineStyle, Range, Tail};

/// How long the rest of the logs is waited for after a stop.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is attached to, and how.
pub(crate) struct Attached {
    /// The agent.
    pub agent: Arc<Client>,
    /// The stack.
    pub target: Target,
    /// The services shown, and stopped by Ctrl-C.
    pub services: Vec<ServiceName>,
    /// Lines from this time on.
    pub since: WallTime,
    /// How lines look.
    pub style: LineStyle,
    /// Stop all when one ends.
    pub abort_on_exit: bool,
    /// Whose exit code to return.
    pub code_from: Option<ServiceName>,
    /// `-t`.
    pub timeout: Option<u32>,
    /// How the stop is shown.
    pub progress: ProgressStyle,
}

/// Runs until all has ended or a person interrupts.
///
/// # Errors
/// When the agent goes away.
pub(crate) async fn run(attached: Attached) -> Result<u8, CommandError> {
    let steady = Steady::new(attached.target.root.clone(), Arc::clone(&attached.agent));
    let range = Range { follow: true, since: Some(attached.since), ..Range::default() };
    let mut tail = Tail::new(Arc::clone(&steady), range, attached.style);
    let mut changes = steady.watch(attached.target.id.clone());
    let mut exits = Exits::default();
    let mut alive = true;
    loop {
        tokio::select! {
            item = tail.next(), if tail.is_open() => match item {
                Item::Line(line) => tail.print(&line)?,
                Item::End(_) => {}
                Item::Broken(_, error) => errln!("{}warning:{:#} {error}", style::WARN, style::WARN),
            },
            change = changes.next(), if alive => match change {
                Some(Ok(status)) => {
                    let rows = rows(&attached, &status);
                    rows.iter().for_each(|row| tail.add(row.uid, row.report.slot.short(), row.report.starts));
                    exits.note(&rows, attached.code_from.as_ref());
                    alive = exits.some_live;
                    if attached.abort_on_exit && exits.some_ended {
                        stop(&attached, false).await?;
                        last_words(&mut tail).await;
                        return final_code(&attached, &exits).await;
                    }
                }
                Some(Err(error)) => return Err(error.into()),
                None => alive = false,
            },
            _ = tokio::signal::ctrl_c() => {
                interrupted(&attached).await?;
                last_words(&mut tail).await;
                return Ok(code::INTERRUPTED);
            }
        }
        if !alive && !tail.is_open() {
            return Ok(match attached.code_from {
                Some(_) => exits.code.unwrap_or(code::FAILED),
                None => code::OK,
            });
        }
    }
}

fn rows<'a>(attached: &Attached, status: &'a StackStatus) -> Vec<&'a InstanceStatus> {
    status.instances.iter().filter(|row| attached.services.contains(&row.report.slot.service)).collect()
}

/// What has ended so far.
#[derive(Default)]
struct Exits {
    some_live: bool,
    some_ended: bool,
    code: Option<u8>,
}

impl Exits {
    fn note(&mut self, rows: &[&InstanceStatus], code_from: Option<&ServiceName>) {
        let ended = |row: &&&InstanceStatus| matches!(row.report.phase, Phase::Exited);
        self.some_live = rows.iter().any(|row| !matches!(row.report.phase, Phase::Exited | Phase::Failed(_)));
        self.some_ended = rows.iter().any(|row| ended(&row));
        let chosen = |row: &&&InstanceStatus| code_from.is_none_or(|name| *name == row.report.slot.service);
        let status = |row: &&InstanceStatus| row.report.exit.map_or(0, hoist_model::Exit::status);
        let mut codes = rows.iter().filter(ended).filter(chosen).map(status);
        let first = codes.next();
        // Of several replicas one that failed decides.
        let code = first.filter(|code| *code != 0).or_else(|| codes.find(|code| *code != 0)).or(first);
        self.code = code.map(|code| u8::try_from(code).unwrap_or(u8::MAX)).or(self.code);
    }
}

/// The chosen service's own status, which it may have got only by the stop that another one's end caused.
async fn final_code(attached: &Attached, exits: &Exits) -> Result<u8, CommandError> {
    let Some(service) = &attached.code_from else { return Ok(exits.code.unwrap_or(code::OK)) };
    let agent = connect::connect(&attached.target.root).await?;
    let status = agent.stack(attached.target.id.clone()).await?;
    let mut exits = Exits::default();
    exits.note(&rows(attached, &status), Some(service));
    Ok(exits.code.unwrap_or(code::FAILED))
}

/// The first Ctrl-C stops what is attached, a second one kills it.
async fn interrupted(attached: &Attached) -> Result<(), CommandError> {
    errln!("\n{}stopping… (Ctrl-C again kills){:#}", style::DIM, style::DIM);
    tokio::select! {
        result = stop(attached, false) => result?,
        _ = tokio::signal::ctrl_c() => stop(attached, true).await?,
    }
    Ok(())
}

/// What was written on the way to the end is shown too.
async fn last_words(tail: &mut Tail) {
    let drained = async {
        while tail.is_open() {
            if let Item::Line(line) = tail.next().await
                && tail.print(&line).is_err()
            {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LAST_WORDS, drained).await;
}

async fn stop(attached: &Attached, kill: bool) -> Result<(), CommandError> {
    let select = Select { stack: attached.target.id.clone(), services: attached.services.clone() };
    // The agent may be another process by now than the one that brought it up.
    let agent = connect::connect(&attached.target.root).await?;
    let mut events = agent.stop(Stop { select, timeout: attached.timeout, kill }).await?;
    let verdict = Progress::new("stop", attached.progress).follow(&mut events).await?;
    conclude(&verdict, true, "");
    Ok(())
}
