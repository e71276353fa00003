//! Log lines as people read them: prefixed with the instance's name, in its colour, in order per instance.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use futures_util::StreamExt;
use hoist_model::{InstanceUid, Slot, WallTime};
use hoist_wire::{ApiError, LogLine, LogsRequest, RunEnd};
use tokio::sync::mpsc;

use crate::error::CommandError;
use crate::out;
use crate::steady::Steady;
use crate::style;
use crate::time::rfc3339;

/// How lines look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LineStyle {
    /// With the time.
    pub timestamps: bool,
    /// Without the instance's name.
    pub no_prefix: bool,
    /// Without colours.
    pub no_color: bool,
}

/// Which part of each log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Range {
    /// Go on with what comes.
    pub follow: bool,
    /// So many lines from the end; all when none.
    pub tail: Option<u64>,
    /// From this time on.
    pub since: Option<WallTime>,
    /// Up to this time.
    pub until: Option<WallTime>,
}

/// Reads many instances' logs at once.
pub(crate) struct Tail {
    agent: Arc<Steady>,
    range: Range,
    style: LineStyle,
    lines: mpsc::Receiver<Item>,
    sender: mpsc::Sender<Item>,
    open: BTreeSet<InstanceUid>,
    /// The start that each instance was last followed for.
    followed: BTreeMap<InstanceUid, u32>,
    names: BTreeMap<String, usize>,
    /// The last run of each instance of whose end it was told.
    ended: BTreeMap<InstanceUid, u32>,
    /// The line on standard output that has no end yet: whose, of which output, and whether the rest comes.
    unfinished: Option<(InstanceUid, bool, bool)>,
}

/// What comes out of the streams.
pub(crate) enum Item {
    /// A line.
    Line(LogLine),
    /// A run has ended, and all that it wrote has come.
    RunEnd(InstanceUid, Slot, RunEnd),
    /// One instance's stream has ended: the instance has too, or the range has.
    End(InstanceUid),
    /// One instance's stream broke.
    Broken(InstanceUid, ApiError),
}

/// Lines that may wait for the terminal; beyond it the agent waits.
const QUEUE: usize = 256;

impl Tail {
    /// Reads nothing yet.
    #[must_use]
    pub(crate) fn new(agent: Arc<Steady>, range: Range, style: LineStyle) -> Self {
        let (sender, lines) = mpsc::channel(QUEUE);
        Self {
            agent,
            range,
            style,
            lines,
            sender,
            open: BTreeSet::new(),
            followed: BTreeMap::new(),
            names: BTreeMap::new(),
            ended: BTreeMap::new(),
            unfinished: None,
        }
    }

    /// Reads this instance's log as well; its name, for the width of prefixes. `starts` tells its runs apart: one whose
    /// log has been read to its end is read again only when it was started again, and then from that time on.
    pub(crate) fn add(&mut self, instance: InstanceUid, name: String, starts: u32) {
        let before = self.followed.insert(instance, starts);
        if self.open.contains(&instance) || before.is_some_and(|before| before >= starts) {
            return;
        }
        self.open.insert(instance);
        let next = self.names.len();
        self.names.entry(name).or_insert(next);
        let request = LogsRequest {
            instances: vec![instance],
            follow: self.range.follow,
            tail: self.range.tail,
            since: if before.is_some_and(|before| before > 0) {
                Some(crate::time::now())
            } else {
                self.range.since
            },
            until: self.range.until,
            ends_after: self.range.follow.then_some(0),
        };
        let (mut stream, lines) = (self.agent.logs(request), self.sender.clone());
        tokio::spawn(async move {
            let end = loop {
                match stream.next().await {
                    None => break Item::End(instance),
                    Some(Err(error)) => break Item::Broken(instance, error),
                    Some(Ok(line)) => {
                        let item = match line.end {
                            Some(end) => Item::RunEnd(instance, line.slot, end),
                            None => Item::Line(line),
                        };
                        if lines.send(item).await.is_err() {
                            return;
                        }
                    }
                }
            };
            let _ = lines.send(end).await;
        });
    }

    /// Whether some stream is still open.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The next item; an ended stream is taken off the list. Pending for ever when none is open.
    pub(crate) async fn next(&mut self) -> Item {
        // The sender kept here means that the channel never closes.
        let item = self.lines.recv().await.unwrap_or_else(|| unreachable!("a sender is kept"));
        match &item {
            Item::End(uid) | Item::Broken(uid, _) => drop(self.open.remove(uid)),
            Item::RunEnd(uid, _, end) => drop(self.ended.insert(*uid, end.attempt)),
            Item::Line(_) => {}
        }
        item
    }

    /// Whether nothing more comes of an instance's runs up to this one.
    #[must_use]
    pub(crate) fn has_all_of(&self, instance: InstanceUid, run: u32) -> bool {
        !self.open.contains(&instance) || self.ended.get(&instance).is_some_and(|told| *told >= run)
    }

    /// Prints a line. Output goes to standard output, whichever stream it came from, as with docker compose. Bytes go
    /// through as they are: a line without an end gets one only when another one follows.
    ///
    /// # Errors
    /// When it can't be written; how that ends the command.
    pub(crate) fn print(&mut self, line: &LogLine) -> Result<(), CommandError> {
        let goes_on = self.unfinished == Some((line.instance, line.stderr, true));
        let mut bytes = Vec::with_capacity(line.line.len() + 64);
        if !goes_on {
            if self.unfinished.is_some() {
                bytes.push(b'\n');
            }
            self.prefix(line, &mut bytes);
        }
        bytes.extend_from_slice(&line.line);
        if !line.partial {
            bytes.push(b'\n');
        }
        self.unfinished = line.partial.then_some((line.instance, line.stderr, line.continues));
        out::raw(&bytes)
    }

    fn prefix(&self, line: &LogLine, bytes: &mut Vec<u8>) {
        if !self.style.no_prefix {
            let name = line.slot.short();
            let width = self.names.keys().map(String::len).max().unwrap_or(0);
            let plain = self.style.no_color || !out::takes_colours();
            let color = style::prefix(self.names.get(&name).copied().unwrap_or(0));
            let color = if plain { anstyle::Style::new() } else { color };
            let _ = write!(bytes, "{color}{name:<width$}  |{color:#} ");
        }
        if self.style.timestamps {
            let _ = write!(bytes, "{} ", rfc3339(line.time));
        }
    }

    /// Ends an unfinished line where people read: before words of ours, and at the end. What is piped without prefixes
    /// stays as it was written.
    ///
    /// # Errors
    /// When it can't be written; how that ends the command.
    pub(crate) fn end_line(&mut self) -> Result<(), CommandError> {
        let read = !self.style.no_prefix || rustix::termios::isatty(std::io::stdout());
        match self.unfinished {
            Some(_) if read => {
                self.unfinished = None;
                out::raw(b"\n")
            }
            _ => Ok(()),
        }
    }
}
