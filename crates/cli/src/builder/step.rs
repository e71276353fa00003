//! One step as it is shown: its title, how long it takes, what it wrote last.
//!
//! In plain output a step's title stands once, with the step's number; what comes later has the number alone. A step
//! that is over soon and writes nothing has one line: its title and how it ended.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hoist_wire::build::BuildEvent;

use super::fit;

/// Lines of a failed step that are shown once more.
const LAST: usize = 20;
/// A line that never ends is cut.
const LONGEST: usize = 16 << 10;
/// From then on a step that writes nothing is named, so that one sees what takes so long.
const SILENT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Step {
    /// From 1, in the order of the Dockerfile.
    number: usize,
    title: String,
    /// Its title stands in the plain output.
    named: bool,
    began: Option<Instant>,
    pub(super) running: bool,
    /// The last ones.
    lines: VecDeque<String>,
    /// A line that is not ended yet.
    partial: String,
}

impl Step {
    pub(super) fn new(number: usize, title: String) -> Self {
        let (lines, partial) = (VecDeque::new(), String::new());
        Self { number, title, named: false, began: None, running: false, lines, partial }
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
                if plain { self.numbered(new) } else { Vec::new() }
            }
            BuildEvent::Cached(_) => {
                self.running = false;
                vec![self.ended("cached", plain)]
            }
            BuildEvent::Done(_) => {
                let mut lines = self.end(plain);
                lines.push(self.ended(&format!("done in {:.1} s", self.took()), plain));
                lines
            }
            BuildEvent::Failed(_) => {
                let mut lines = self.end(plain);
                lines.push(self.ended(&format!("failed after {:.1} s", self.took()), plain));
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
        if plain { self.numbered(vec![line]) } else { Vec::new() }
    }

    /// The step's title, where it was not said yet and the step is silent for long.
    pub(super) fn announced(&mut self) -> Option<String> {
        let long = self.began.is_some_and(|began| began.elapsed() >= SILENT);
        if self.running && long { self.name() } else { None }
    }

    fn name(&mut self) -> Option<String> {
        let new = !std::mem::replace(&mut self.named, true);
        new.then(|| format!("#{} {}", self.number, fit::harmless(&self.title)))
    }

    fn numbered(&mut self, lines: Vec<String>) -> Vec<String> {
        if lines.is_empty() {
            return lines;
        }
        let number = self.number;
        let lines = lines.into_iter().map(|line| format!("#{number} | {line}"));
        self.name().into_iter().chain(lines).collect()
    }

    /// How it ended; with the title where that was not said yet.
    fn ended(&mut self, how: &str, plain: bool) -> String {
        match self.name() {
            _ if !plain => format!("{} {how}", self.title),
            Some(name) => format!("{name} {how}"),
            None => format!("#{} {how}", self.number),
        }
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
        let mut step = Step::new(7, "RUN x".to_owned());
        assert_eq!(said(&mut step, "one\ntw"), ["#7 RUN x", "#7 | one"]);
        assert_eq!(said(&mut step, "o\n10%\r20%"), ["#7 | two"]);
        let ended = step.apply(&BuildEvent::Failed(0), true);
        assert_eq!(ended, ["#7 | 20%", "#7 failed after 0.0 s"]);
    }

    #[test]
    fn a_step_without_words_has_one_line() {
        let mut step = Step::new(7, "COPY a b".to_owned());
        step.apply(&BuildEvent::Started(6), true);
        assert_eq!(step.announced(), None, "it only just began");
        assert_eq!(step.apply(&BuildEvent::Done(6), true), ["#7 COPY a b done in 0.0 s"]);
        let mut long = Step::new(8, "RUN sleep 60".to_owned());
        long.apply(&BuildEvent::Started(7), true);
        long.began = Instant::now().checked_sub(SILENT);
        assert_eq!(long.announced().as_deref(), Some("#8 RUN sleep 60"));
        assert_eq!(long.announced(), None, "its title stands there once");
        assert_eq!(long.apply(&BuildEvent::Done(7), true), ["#8 done in 1.0 s"]);
        assert_eq!(Step::new(9, "RUN x".to_owned()).apply(&BuildEvent::Cached(8), true), ["#9 RUN x cached"]);
    }

    #[test]
    fn of_a_failed_step_the_last_lines_are_shown_once() {
        let mut step = Step::new(7, "RUN x".to_owned());
        let text: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(step.apply(&BuildEvent::Output(0, text), false), Vec::<String>::new());
        let ended = step.apply(&BuildEvent::Failed(0), false);
        assert_eq!((ended.len(), &ended[1][..], &ended[20][..]), (21, "  80", "  99"));
    }

    #[test]
    fn a_running_step_fits() {
        let mut step = Step::new(2, "[2/3] RUN ".to_owned() + &"make ".repeat(30));
        assert_eq!(step.now(30), "[2/3] RUN make make mak… 0.0 s");
        said(&mut step, "\x1b[31mcompiling\tmain.c\x1b[0m of very many files\n");
        assert_eq!(step.now(40), "[2/3] RUN make… 0.0 s  compiling main.c…");
        for columns in 0..60 {
            assert!(fit::width(&step.now(columns)) <= columns, "{columns}");
        }
        let mut short = Step::new(7, "RUN x".to_owned());
        said(&mut short, "字字字字\n");
        assert_eq!(short.now(20), "RUN x 0.0 s  字字字…");
    }
}
