//! Live progress: what each subject does now, and why it waits. On a terminal a block that is drawn anew; elsewhere
//! a line for what each comes to, and for what keeps it waiting long.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use hoist_model::{EventKind, Outcome, Severity, Subject, Verdict};
use hoist_wire::{ApiError, ErrorKind, EventStream, Work, WorkStream};

use crate::args::ProgressStyle;
use crate::builder::fit;
use crate::out::{self, errln};
use crate::style;

/// How often times are drawn anew.
const TICK: Duration = Duration::from_millis(100);
/// After how long in one state, where a line is printed for each end, that state is worth one too.
const LONG: Duration = Duration::from_secs(5);

struct Line {
    state: String,
    detail: Option<String>,
    done: bool,
    failed: bool,
    began: Instant,
    took: Option<Duration>,
    /// When it came to this state.
    since: Instant,
    /// This state has been printed.
    printed: bool,
}

impl Line {
    fn text(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{} ({detail})", self.state),
            None => self.state.clone(),
        }
    }
}

/// Shows the events of one operation.
pub(crate) struct Progress {
    title: &'static str,
    style: ProgressStyle,
    lines: BTreeMap<Subject, Line>,
    drawn: usize,
    /// Nothing about images.
    quiet_pull: bool,
    /// Who follows afterwards tells of ends.
    attached: bool,
}

impl Progress {
    /// Progress of `title` (`up`, `down`), in this style.
    #[must_use]
    pub(crate) fn new(title: &'static str, style: ProgressStyle) -> Self {
        let (lines, style) = (BTreeMap::new(), style.settled());
        Self { title, style, lines, drawn: 0, quiet_pull: false, attached: false }
    }

    /// The same without progress of pulls (`--quiet-pull`).
    #[must_use]
    pub(crate) fn quiet_pull(self, quiet_pull: bool) -> Self {
        Self { quiet_pull, ..self }
    }

    /// The same where somebody stays attached, who tells how instances end.
    #[must_use]
    pub(crate) fn attached(self, attached: bool) -> Self {
        Self { attached, ..self }
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
                _ = ticks.tick() => self.tick(),
            }
        }
        self.settle();
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
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    fn show(&mut self, event: EventKind) -> Option<Verdict> {
        match event {
            EventKind::Progress { subject, state, detail, done } => {
                self.progress(&subject, state, detail, done);
            }
            EventKind::Notice { severity, text, hint } => self.notice(severity, &text, hint.as_deref()),
            EventKind::Verdict(verdict) => {
                self.settle();
                return Some(verdict);
            }
        }
        None
    }

    fn progress(&mut self, subject: &Subject, state: String, detail: Option<String>, done: bool) {
        let transfer = matches!(subject, Subject::Image(_) | Subject::Layer(..));
        if transfer && self.quiet_pull {
            return;
        }
        if self.style == ProgressStyle::Tty && done && matches!(subject, Subject::Layer(..)) {
            self.lines.remove(subject);
            return;
        }
        let now = Instant::now();
        let line = self.lines.entry(subject.clone()).or_insert_with(|| Line {
            state: String::new(),
            detail: None,
            done: false,
            failed: false,
            began: now,
            took: None,
            since: now,
            printed: false,
        });
        // A line for each byte count would be too many.
        if line.state != state || (line.detail != detail && !transfer) {
            (line.since, line.printed) = (now, false);
        }
        line.printed |= self.attached && is_end(&state);
        line.failed = matches!(state.as_str(), "failed" | "unhealthy");
        line.took = done.then(|| line.began.elapsed());
        (line.state, line.detail, line.done) = (state, detail, done);
        let last = line.failed || (line.done && !is_passed(self.title, &line.state));
        if self.style == ProgressStyle::Plain && (transfer || last) {
            print(subject, line);
        }
    }

    fn tick(&mut self) {
        if self.style == ProgressStyle::Plain {
            let long = |line: &Line| !line.done && line.since.elapsed() > LONG;
            self.lines
                .iter_mut()
                .filter(|(_, line)| long(line))
                .for_each(|(subject, line)| print(subject, line));
        }
        self.draw();
    }

    /// The end: what everything has come to.
    fn settle(&mut self) {
        if self.style == ProgressStyle::Plain {
            self.lines.iter_mut().for_each(|(subject, line)| print(subject, line));
        }
        self.draw();
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
        let longest = shown.iter().map(|(subject, _)| fit::width(&subject.to_string())).max().unwrap_or(0);
        let width = longest.min(name_columns(columns));
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

/// A state that everything passes on its way: what is taken down or restarted ends first.
fn is_passed(title: &str, state: &str) -> bool {
    matches!(title, "down" | "restart") && is_end(state)
}

fn is_end(state: &str) -> bool {
    ["exited", "killed", "ended", "restarting"].iter().any(|way| state.starts_with(way))
}

/// Prints a state once.
fn print(subject: &Subject, line: &mut Line) {
    if !std::mem::replace(&mut line.printed, true) {
        errln!("{subject} {}", line.text());
    }
}

/// How much of so many columns names may take: the reason is what people look for.
fn name_columns(columns: usize) -> usize {
    (columns / 3).max(12).min(columns.saturating_sub(4))
}

/// A name in so many columns: its beginning, and its end, which has the number.
fn name(text: &str, columns: usize) -> String {
    const END: usize = 8;
    if fit::width(text) <= columns || columns <= END {
        return fit::cut(text, columns);
    }
    let from = text.char_indices().map(|(at, _)| at).find(|at| fit::width(&text[*at..]) <= END);
    fit::cut(text, columns - END) + &text[from.unwrap_or(text.len())..]
}

fn draw_line(text: &mut String, subject: &str, line: &Line, width: usize, columns: usize) {
    let (mark, style) = match (line.done, line.failed) {
        (_, true) => ("✘", style::BAD),
        (true, false) => ("✔", style::GOOD),
        (false, false) => ("⠿", style::BUSY),
    };
    let subject = name(subject, width);
    let pad = " ".repeat(width.saturating_sub(fit::width(&subject)));
    let seconds = line.took.unwrap_or_else(|| line.began.elapsed()).as_secs_f64();
    let time = if columns < 40 { String::new() } else { format!("  {seconds:.1}s") };
    let detail = line.detail.as_ref().map(|detail| format!("  {detail}")).unwrap_or_default();
    // A line that wraps would make the next redraw climb too little.
    let room = columns.saturating_sub(3 + width + 2 + time.len() + 1);
    let what = fit::cut(&fit::harmless(&format!("{:<10}{detail}", line.state)), room);
    let _ = write!(text, " {style}{mark}{style:#} {subject}");
    if !what.is_empty() {
        let _ = write!(text, "{pad}  {style}{what}{style:#}{time}");
    }
    text.push('\n');
}

/// Columns and rows of the terminal that progress is drawn on.
pub(crate) fn terminal_size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    // A terminal that nobody gave a size says 0.
    let size = size.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row).max(3)))
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
    errln!("{}warning:{:#} {text}", style::WARN, style::WARN);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: &str, detail: &str) -> Line {
        let now = Instant::now();
        let detail = Some(detail.to_owned());
        let (state, took) = (state.to_owned(), Some(Duration::from_secs(2)));
        Line { state, detail, done: true, failed: false, began: now, took, since: now, printed: false }
    }

    fn drawn(subject: &str, line: &Line, columns: usize) -> String {
        let mut text = String::new();
        let width = fit::width(subject).min(name_columns(columns));
        draw_line(&mut text, subject, line, width, columns);
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn a_long_name_leaves_room_for_the_reason() {
        let waiting = line("created", "waiting for database to be healthy");
        let long = drawn("worker-with-a-really-long-name-for-tables-1", &waiting, 80);
        assert_eq!(long, " ✔ worker-with-a-rea…tables-1  created     waiting for database to be he…  2.0s\n");
        for columns in 1..200 {
            for name in
                ["a-1", "worker-with-a-really-long-name-for-tables-1", "名前の長いサービスの名前の長い-1"]
            {
                let line = drawn(name, &waiting, columns);
                assert!(fit::width(line.trim_end_matches('\n')) <= columns.max(4), "{columns}: {line:?}");
            }
        }
    }

    #[test]
    fn a_plain_line_is_the_last_state_of_each() {
        let mut progress = Progress::new("down", ProgressStyle::Plain);
        let stack = hoist_model::StackId::new(hoist_model::StackName::new("s").unwrap());
        let slot =
            hoist_model::Slot { stack, service: hoist_model::ServiceName::new("a").unwrap(), index: 1 };
        let subject = Subject::Slot(slot);
        let mut printed = Vec::new();
        for (state, done) in [("stopping", false), ("exited with code 3", true), ("removed", true)] {
            progress.progress(&subject, state.to_owned(), None, done);
            printed.push(progress.lines[&subject].printed);
        }
        assert_eq!(printed, [false, false, true]);
        assert!(!is_passed("up", "exited") && is_passed("restart", "killed by signal 9"));
    }
}
