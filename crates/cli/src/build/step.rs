//! One step as it is shown: its title, how long it takes, what it wrote last.

use std::collections::VecDeque;
use std::time::Instant;

use hoist_wire::build::BuildEvent;

use super::fit;

/// Lines of a failed step that are shown once more.
const LAST: usize = 20;
/// A line that never ends is cut.
const LONGEST: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Step {
    title: String,
    began: Option<Instant>,
    pub(super) running: bool,
    /// The last ones.
    lines: VecDeque<String>,
    /// A line that is not ended yet.
    partial: String,
}

impl Step {
    pub(super) fn new(title: String) -> Self {
        Self { title, began: None, running: false, lines: VecDeque::new(), partial: String::new() }
    }

    /// Notes the event; the lines that stay. `plain`: output is among them.
    pub(super) fn apply(&mut self, event: &BuildEvent, plain: bool) -> Vec<String> {
        match event {
            BuildEvent::Started(_) => {
                (self.began, self.running) = (Some(Instant::now()), true);
                Vec::new()
            }
            BuildEvent::Output(_, text) => {
                let new = self.hear(text);
                if plain { self.titled(new) } else { Vec::new() }
            }
            BuildEvent::Cached(_) => {
                self.running = false;
                vec![format!("{} cached", self.title)]
            }
            BuildEvent::Done(_) => {
                let mut lines = self.end(plain);
                lines.push(format!("{} done in {:.1} s", self.title, self.took()));
                lines
            }
            BuildEvent::Failed(_) => {
                let mut lines = self.end(plain);
                lines.push(format!("{} failed after {:.1} s", self.title, self.took()));
                if !plain {
                    lines.extend(self.lines.iter().map(|line| format!("  {}", fit::harmless(line))));
                }
                lines
            }
            BuildEvent::Plan(_)
            | BuildEvent::Warning(_)
            | BuildEvent::Resolving(_)
            | BuildEvent::Exporting(_)
            | BuildEvent::Built(_)
            | BuildEvent::Checked(_) => Vec::new(),
        }
    }

    /// Takes what was written; the lines that are ended by it.
    fn hear(&mut self, text: &str) -> Vec<String> {
        self.partial.push_str(text);
        let mut new = Vec::new();
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            new.push(self.keep(&line));
        }
        if self.partial.len() > LONGEST {
            let line = std::mem::take(&mut self.partial);
            new.push(self.keep(&line));
        }
        new
    }

    fn keep(&mut self, line: &str) -> String {
        let line = overwritten(line).to_owned();
        if self.lines.len() == LAST {
            self.lines.pop_front();
        }
        self.lines.push_back(line.clone());
        line
    }

    /// What was written without a line end is a line, too.
    fn end(&mut self, plain: bool) -> Vec<String> {
        self.running = false;
        let rest = std::mem::take(&mut self.partial);
        if overwritten(&rest).is_empty() {
            return Vec::new();
        }
        let line = self.keep(&rest);
        if plain { self.titled(vec![line]) } else { Vec::new() }
    }

    fn titled(&self, lines: Vec<String>) -> Vec<String> {
        lines.into_iter().map(|line| format!("{} | {line}", self.title)).collect()
    }

    fn took(&self) -> f32 {
        self.began.map_or(0.0, |began| began.elapsed().as_secs_f32())
    }

    /// Title, time and last words, in so many columns.
    pub(super) fn now(&self, columns: usize) -> String {
        let partial = overwritten(&self.partial);
        let last = if partial.is_empty() { self.lines.back().map_or("", String::as_str) } else { partial };
        let (title, last) = (fit::harmless(&self.title), fit::harmless(last));
        let time = format!(" {:.1} s", self.took());
        let room = columns.saturating_sub(time.len());
        // Of a long title and long words each has a half.
        let words = fit::width(&last).min(room / 2);
        let spared = if words == 0 { 0 } else { words + 2 };
        let title = fit::cut(&title, room.saturating_sub(spared));
        let left = room.saturating_sub(fit::width(&title) + 2);
        let last = if words == 0 { String::new() } else { format!("  {}", fit::cut(&last, left)) };
        fit::cut(&format!("{title}{time}{last}"), columns)
    }
}

/// What a terminal would show of a line that a program drew over itself.
fn overwritten(line: &str) -> &str {
    line.trim_end().rsplit('\r').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(step: &mut Step, text: &str) -> Vec<String> {
        step.apply(&BuildEvent::Output(0, text.to_owned()), true)
    }

    #[test]
    fn words_without_a_line_end_are_shown_at_the_end() {
        let mut step = Step::new("RUN x".to_owned());
        assert_eq!(said(&mut step, "one\ntw"), ["RUN x | one"]);
        assert_eq!(said(&mut step, "o\n10%\r20%"), ["RUN x | two"]);
        let ended = step.apply(&BuildEvent::Failed(0), true);
        assert_eq!(ended, ["RUN x | 20%", "RUN x failed after 0.0 s"]);
    }

    #[test]
    fn of_a_failed_step_the_last_lines_are_shown_once() {
        let mut step = Step::new("RUN x".to_owned());
        let text: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(step.apply(&BuildEvent::Output(0, text), false), Vec::<String>::new());
        let ended = step.apply(&BuildEvent::Failed(0), false);
        assert_eq!((ended.len(), &ended[1][..], &ended[20][..]), (21, "  80", "  99"));
    }

    #[test]
    fn a_running_step_fits() {
        let mut step = Step::new("[2/3] RUN ".to_owned() + &"make ".repeat(30));
        assert_eq!(step.now(30), "[2/3] RUN make make mak… 0.0 s");
        said(&mut step, "\x1b[31mcompiling\tmain.c\x1b[0m of very many files\n");
        assert_eq!(step.now(40), "[2/3] RUN make… 0.0 s  compiling main.c…");
        for columns in 0..60 {
            assert!(fit::width(&step.now(columns)) <= columns, "{columns}");
        }
        let mut short = Step::new("RUN x".to_owned());
        said(&mut short, "字字字字\n");
        assert_eq!(short.now(20), "RUN x 0.0 s  字字字…");
    }
}
