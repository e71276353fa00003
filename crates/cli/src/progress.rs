//! Live progress: what each subject does now, and why it waits. On a terminal a block that is drawn anew; elsewhere
//! a line for each change.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use hoist_model::{EventKind, Outcome, Severity, Subject, Verdict};
use hoist_wire::{ApiError, ErrorKind, EventStream, Work, WorkStream};

use crate::args::ProgressStyle;
use crate::out::{self, errln};
use crate::style;

/// How often times are drawn anew.
const TICK: Duration = Duration::from_millis(100);

struct Line {
    state: String,
    detail: Option<String>,
    done: bool,
    failed: bool,
    began: Instant,
    took: Option<Duration>,
}

/// Shows the events of one operation.
pub(crate) struct Progress {
    title: &'static str,
    style: ProgressStyle,
    lines: BTreeMap<Subject, Line>,
    drawn: usize,
    /// Nothing about images.
    quiet_pull: bool,
}

impl Progress {
    /// Progress of `title` (`up`, `down`), in this style.
    #[must_use]
    pub(crate) fn new(title: &'static str, style: ProgressStyle) -> Self {
        Self { title, style: style.settled(), lines: BTreeMap::new(), drawn: 0, quiet_pull: false }
    }

    /// The same without progress of pulls (`--quiet-pull`).
    #[must_use]
    pub(crate) fn quiet_pull(self, quiet_pull: bool) -> Self {
        Self { quiet_pull, ..self }
    }

    /// Follows calls side by side to the end of each.
    pub(crate) async fn follow_all<T: 'static>(
        &mut self,
        calls: Vec<Result<WorkStream<T>, ApiError>>,
    ) -> Vec<Result<T, ApiError>> {
        let mut ended: Vec<Option<Result<T, ApiError>>> = Vec::new();
        let mut under_way = Vec::new();
        for (n, call) in calls.into_iter().enumerate() {
            match call {
                Ok(items) => {
                    under_way.push(items.map(move |item| (n, item)));
                    ended.push(None);
                }
                Err(error) => ended.push(Some(Err(error))),
            }
        }
        let mut items = futures_util::stream::select_all(under_way);
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                item = items.next() => match item {
                    Some((_, Ok(Work::Event(event)))) => drop(self.show(event)),
                    Some((n, Ok(Work::Done(value)))) => ended[n] = Some(Ok(value)),
                    Some((n, Err(error))) => ended[n] = Some(Err(error)),
                    None => break,
                },
                _ = ticks.tick() => self.draw(),
            }
        }
        self.draw();
        let gone = || ApiError::new(ErrorKind::Unavailable, "the agent went away before it was done");
        ended.into_iter().map(|end| end.unwrap_or_else(|| Err(gone()))).collect()
    }

    /// Follows the events until the verdict.
    ///
    /// # Errors
    /// When the stream breaks before there is one.
    pub(crate) async fn follow(&mut self, events: &mut EventStream) -> Result<Verdict, ApiError> {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        if let Some(verdict) = self.show(event.kind) {
                            return Ok(verdict);
                        }
                    }
                    Some(Err(error)) => return Err(error),
                    None => {
                        let kind = ErrorKind::Unavailable;
                        return Err(ApiError::new(kind, "the agent went away before it was done"));
                    }
                },
                _ = ticks.tick() => self.draw(),
            }
        }
    }

    fn show(&mut self, event: EventKind) -> Option<Verdict> {
        match event {
            EventKind::Progress { subject, state, detail, done } => {
                self.progress(subject, state, detail, done);
            }
            EventKind::Notice { severity, text, hint } => self.notice(severity, &text, hint.as_deref()),
            EventKind::Verdict(verdict) => {
                self.draw();
                return Some(verdict);
            }
        }
        None
    }

    fn progress(&mut self, subject: Subject, state: String, detail: Option<String>, done: bool) {
        let transfer = matches!(subject, Subject::Image(_) | Subject::Layer(..));
        if transfer && self.quiet_pull {
            return;
        }
        // A line for each byte count would be too many.
        let told = transfer && self.lines.get(&subject).is_some_and(|line| line.state == state);
        if self.style == ProgressStyle::Plain && !told {
            let why = detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
            errln!("{subject} {state}{why}");
        }
        if self.style == ProgressStyle::Tty && done && matches!(subject, Subject::Layer(..)) {
            self.lines.remove(&subject);
            return;
        }
        let line = self.lines.entry(subject).or_insert_with(|| Line {
            state: String::new(),
            detail: None,
            done: false,
            failed: false,
            began: Instant::now(),
            took: None,
        });
        line.failed = matches!(state.as_str(), "failed" | "unhealthy");
        line.took = done.then(|| line.began.elapsed());
        (line.state, line.detail, line.done) = (state, detail, done);
    }

    fn notice(&mut self, severity: Severity, text: &str, hint: Option<&str>) {
        let (style, word) = match severity {
            Severity::Info => (style::DIM, "note"),
            Severity::Warning => (style::WARN, "warning"),
            Severity::Error => (style::BAD, "error"),
        };
        if self.style == ProgressStyle::Quiet && severity != Severity::Error {
            return;
        }
        self.erase();
        errln!("{style}{word}:{style:#} {text}");
        if let Some(hint) = hint {
            errln!("  {}hint:{:#} {hint}", style::DIM, style::DIM);
        }
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            out::redraw(self.drawn, "");
            self.drawn = 0;
        }
    }

    /// Draws the block: a heading, then the lines that fit, those under way first when not all do.
    fn draw(&mut self) {
        if self.style != ProgressStyle::Tty || self.lines.is_empty() {
            return;
        }
        let (columns, rows) = terminal_size();
        let mut shown: Vec<(&Subject, &Line)> = self.lines.iter().collect();
        let room = rows.saturating_sub(2).max(1);
        if shown.len() > room {
            shown.sort_by_key(|(_, line)| line.done && !line.failed);
            shown.truncate(room);
        }
        let width = shown.iter().map(|(subject, _)| subject.to_string().len()).max().unwrap_or(0);
        let done = self.lines.values().filter(|line| line.done).count();
        let mut text =
            format!("{}[+] {} {done}/{}{:#}\n", style::BOLD, self.title, self.lines.len(), style::BOLD);
        for (subject, line) in &shown {
            draw_line(&mut text, &subject.to_string(), line, width, columns);
        }
        let drawn = shown.len() + 1;
        out::redraw(self.drawn, &text);
        self.drawn = drawn;
    }
}

fn draw_line(text: &mut String, subject: &str, line: &Line, width: usize, columns: usize) {
    let (mark, style) = match (line.done, line.failed) {
        (_, true) => ("✘", style::BAD),
        (true, false) => ("✔", style::GOOD),
        (false, false) => ("⠿", style::BUSY),
    };
    let time = line.took.unwrap_or_else(|| line.began.elapsed()).as_secs_f64();
    let detail = line.detail.as_ref().map(|detail| format!("  {detail}")).unwrap_or_default();
    // A line that wraps would make the next redraw climb too little.
    let room = columns.saturating_sub(width + 24);
    let what: String = format!("{:<10}{detail}", line.state).chars().take(room).collect();
    let _ = writeln!(text, " {style}{mark}{style:#} {subject:<width$}  {style}{what}{style:#}  {time:.1}s");
}

/// Columns and rows of the terminal that progress is drawn on.
pub(crate) fn terminal_size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.map_or((80, 24), |size| (usize::from(size.ws_col).max(20), usize::from(size.ws_row).max(3)))
}

/// Says how an operation ended, and what to do when it failed. True: it converged.
pub(crate) fn conclude(verdict: &Verdict, quiet: bool, nothing_changed: &str) -> bool {
    match &verdict.outcome {
        Outcome::Converged => {
            if verdict.changed == 0 && !quiet {
                errln!("{nothing_changed}");
            }
            true
        }
        Outcome::Superseded => {
            errln!("another change of this stack took over");
            false
        }
        Outcome::Failed(failures) => {
            for failure in failures {
                errln!("{}error:{:#} {}: {}", style::BAD, style::BAD, failure.subject, failure.what);
                if let Some(hint) = &failure.hint {
                    errln!("  {}hint:{:#} {hint}", style::DIM, style::DIM);
                }
            }
            false
        }
    }
}
/// Says what a person should know beside what was asked for.
pub(crate) fn warn(text: &str) {
    anstream::eprintln!("{}warning:{:#} {text}", style::WARN, style::WARN);
}
