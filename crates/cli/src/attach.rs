//! An attached `up`: logs of what it brought up, Ctrl-C stops it, and it ends when all of it has ended. When this
//! process is killed, the stack runs on.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hoist_model::{Exit, InstanceUid, Phase, ServiceName, WallTime};
use hoist_wire::{Client, ClusterApi, InstanceStatus, RunEnd, Select, StackStatus};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::args::ProgressStyle;
use crate::connect;
use crate::error::{CommandError, code};
use crate::out::{self, errln};
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
}

/// Runs until all has ended or a person interrupts. Lines are shown all the while, also while it stops.
///
/// # Errors
/// When the agent goes away, or nothing can be printed any more.
pub(crate) async fn run(attached: Attached) -> Result<u8, CommandError> {
    let steady = Steady::new(attached.target.root.clone(), Arc::clone(&attached.agent));
    let range = Range { follow: true, since: Some(attached.since), ..Range::default() };
    let mut tail = Tail::new(Arc::clone(&steady), range, attached.style);
    let mut changes = steady.watch(attached.target.id.clone());
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| CommandError::failed(format!("can't listen for Ctrl-C: {error}")))?;
    let unread = out::unread();
    tokio::pin!(unread);
    let (mut exits, mut runs, mut ending) = (Exits::default(), Runs::default(), Ending::default());
    let mut watching = true;
    loop {
        tokio::select! {
            item = tail.next(), if tail.is_open() => show(&mut tail, &mut runs, attached.since, item)?,
            change = changes.next(), if watching => match change {
                Some(Ok(status)) => {
                    let rows = rows(&attached, &status);
                    rows.iter().for_each(|row| tail.add(row.uid, row.report.slot.short(), row.report.starts));
                    // Ends that the stop causes don't decide: without a chosen service the first end's code counts.
                    if !ending.begun() {
                        exits.note(&rows, attached.code_from.as_ref());
                    }
                    runs.note(&rows);
                    if attached.abort_on_exit && exits.some_ended && !ending.begun() {
                        ending.begin(stop(&attached, false), None);
                    }
                }
                Some(Err(error)) => return Err(error.into()),
                None => {
                    watching = false;
                    runs.gone();
                }
            },
            late = ending.next() => if late? {
                return ended(&attached, &exits, &ending, &mut tail).await;
            },
            _ = interrupts.recv() => {
                tail.end_line()?;
                let kill = ending.begun();
                let hint = if kill { "killing…" } else { "stopping… (Ctrl-C again kills)" };
                errln!("{}{hint}{:#}", style::DIM, style::DIM);
                ending.begin(stop(&attached, kill), Some(code::INTERRUPTED));
            }
            () = &mut unread => return out::finish().map(|()| code::OK),
        }
        runs.tell_restarts(&mut tail)?;
        if runs.all_shown(&tail) && (ending.done() || !ending.begun()) {
            if ending.begun() {
                return ended(&attached, &exits, &ending, &mut tail).await;
            }
            tail.end_line()?;
            return Ok(match attached.code_from {
                Some(_) => exits.code.unwrap_or(code::FAILED),
                None => code::OK,
            });
        }
    }
}

fn show(tail: &mut Tail, runs: &mut Runs, since: WallTime, item: Item) -> Result<(), CommandError> {
    match item {
        Item::Line(line) => tail.print(&line)?,
        Item::RunEnd(uid, slot, end) if end.time >= since => {
            tail.end_line()?;
            // Two ends in a row: the run between them has been over before the stack's status told of its start.
            if runs.told.insert(uid, end.attempt).is_some() {
                errln!("{} started again", slot.short());
            }
            errln!("{} {}", slot.short(), end_text(&end));
        }
        Item::RunEnd(..) => {}
        Item::End(_) => {}
        Item::Broken(_, error) => errln!("{}warning:{:#} {error}", style::WARN, style::WARN),
    }
    Ok(())
}

/// How a run ended, in docker compose's words, with what they leave out.
fn end_text(end: &RunEnd) -> String {
    let mut notes = Vec::new();
    if end.oom_killed {
        notes.push("out of memory".to_owned());
    } else if let Exit::Signal(signal) = end.exit {
        notes.push(format!("killed by signal {signal}"));
    }
    if end.again {
        notes.push("restarting".to_owned());
    }
    let what = match end.exit {
        Exit::Unknown => "ended, with what code is not known".to_owned(),
        exit => format!("exited with code {}", exit.status()),
    };
    if notes.is_empty() { what } else { format!("{what} ({})", notes.join(", ")) }
}

/// The runs of what is attached to, as the stack's status has them.
#[derive(Default)]
struct Runs {
    /// Each instance: its name, its starts, and whether nothing of it runs or will.
    rows: BTreeMap<InstanceUid, (String, u32, bool)>,
    /// The run whose end was told last and that was followed by none yet, as far as was told.
    told: BTreeMap<InstanceUid, u32>,
    known: bool,
}

impl Runs {
    fn note(&mut self, rows: &[&InstanceStatus]) {
        let row = |row: &&InstanceStatus| {
            let over = matches!(row.report.phase, Phase::Exited | Phase::Failed(_));
            (row.uid, (row.report.slot.short(), row.report.starts, over))
        };
        (self.rows, self.known) = (rows.iter().map(row).collect(), true);
    }

    /// The stack is gone: only what its logs still have is waited for.
    fn gone(&mut self) {
        self.rows.values_mut().for_each(|row| row.2 = true);
        self.known = true;
    }

    fn tell_restarts(&mut self, tail: &mut Tail) -> Result<(), CommandError> {
        let rows = &self.rows;
        let again = |uid: &InstanceUid, ended: u32| rows.get(uid).filter(|(_, starts, _)| *starts > ended);
        let due: Vec<InstanceUid> = self
            .told
            .iter()
            .filter(|(uid, ended)| again(uid, **ended).is_some())
            .map(|(uid, _)| *uid)
            .collect();
        for uid in due {
            tail.end_line()?;
            self.told.remove(&uid);
            if let Some((name, ..)) = self.rows.get(&uid) {
                errln!("{name} started again");
            }
        }
        Ok(())
    }

    /// Whether all has ended and been shown.
    fn all_shown(&self, tail: &Tail) -> bool {
        let shown = |(uid, (_, starts, over)): (&InstanceUid, &(String, u32, bool))| {
            *over && (*starts == 0 || tail.has_all_of(*uid, *starts))
        };
        self.known && self.rows.iter().all(shown)
    }
}

type Stop<'a> = Pin<Box<dyn Future<Output = Result<(), CommandError>> + 'a>>;

/// A stop under way, by Ctrl-C or because one instance ended.
#[derive(Default)]
struct Ending<'a> {
    begun: bool,
    stop: Option<Stop<'a>>,
    /// What is returned; without it, what the services' own exits say once they have stopped.
    code: Option<u8>,
    deadline: Option<Instant>,
}

impl<'a> Ending<'a> {
    fn begun(&self) -> bool {
        self.begun
    }

    fn done(&self) -> bool {
        self.deadline.is_some()
    }

    /// Begins a stop in place of one under way.
    fn begin(&mut self, stop: impl Future<Output = Result<(), CommandError>> + 'a, code: Option<u8>) {
        self.stop = Some(Box::pin(stop));
        (self.begun, self.code, self.deadline) = (true, code, None);
    }

    /// Resolves when it has been carried out, and once more (true) when the rest of the logs has been waited for long
    /// enough.
    async fn next(&mut self) -> Result<bool, CommandError> {
        if let Some(stop) = &mut self.stop {
            stop.await?;
            (self.stop, self.deadline) = (None, Some(Instant::now() + LAST_WORDS));
            return Ok(false);
        }
        match self.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
        Ok(true)
    }
}

fn rows<'a>(attached: &Attached, status: &'a StackStatus) -> Vec<&'a InstanceStatus> {
    status.instances.iter().filter(|row| attached.services.contains(&row.report.slot.service)).collect()
}

/// What has ended so far.
#[derive(Default)]
struct Exits {
    some_ended: bool,
    code: Option<u8>,
}

impl Exits {
    fn note(&mut self, rows: &[&InstanceStatus], code_from: Option<&ServiceName>) {
        let ended = |row: &&&InstanceStatus| matches!(row.report.phase, Phase::Exited);
        self.some_ended = rows.iter().any(|row| ended(&row));
        let chosen = |row: &&&InstanceStatus| code_from.is_none_or(|name| *name == row.report.slot.service);
        let status = |row: &&InstanceStatus| row.report.exit.map_or(0, Exit::status);
        let mut codes = rows.iter().filter(ended).filter(chosen).map(status);
        let first = codes.next();
        // Of several replicas one that failed decides.
        let code = first.filter(|code| *code != 0).or_else(|| codes.find(|code| *code != 0)).or(first);
        self.code = code.map(|code| u8::try_from(code).unwrap_or(u8::MAX)).or(self.code);
    }
}

/// The exit code after a stop.
async fn ended(
    attached: &Attached,
    exits: &Exits,
    ending: &Ending<'_>,
    tail: &mut Tail,
) -> Result<u8, CommandError> {
    tail.end_line()?;
    match ending.code {
        Some(code) => Ok(code),
        None => final_code(attached, exits).await,
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

async fn stop(attached: &Attached, kill: bool) -> Result<(), CommandError> {
    let select = Select { stack: attached.target.id.clone(), services: attached.services.clone() };
    // The agent may be another process by now than the one that brought it up.
    let agent = connect::connect(&attached.target.root).await?;
    let mut events = agent.stop(hoist_wire::Stop { select, timeout: attached.timeout, kill }).await?;
    // The ends that are told are its progress.
    let verdict = Progress::new("stop", ProgressStyle::Quiet).follow(&mut events).await?;
    conclude(&verdict, true, "");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_how_and_what_comes() {
        let text = |exit, oom_killed, again| {
            end_text(&RunEnd { attempt: 1, exit, oom_killed, again, time: WallTime(0) })
        };
        assert_eq!(text(Exit::Code(3), false, false), "exited with code 3");
        assert_eq!(text(Exit::Code(4), false, true), "exited with code 4 (restarting)");
        assert_eq!(text(Exit::Signal(9), true, true), "exited with code 137 (out of memory, restarting)");
        assert_eq!(text(Exit::Signal(11), false, false), "exited with code 139 (killed by signal 11)");
        assert_eq!(text(Exit::Unknown, false, false), "ended, with what code is not known");
    }
}
