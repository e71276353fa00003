//! Builds as they go: on a terminal the running steps with their time and last line, drawn anew; elsewhere a line for
//! each thing that happens.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hoist_model::ServiceName;
use hoist_wire::build::{BuildEvent, BuiltImage};

use crate::args::ProgressStyle;
use crate::style;

/// Lines of a failed step that are shown once more.
const LAST: usize = 20;
/// Columns of an output line on a terminal.
const WIDTH: usize = 100;

/// Shows several builds at once.
#[derive(Debug)]
pub(crate) struct Shown {
    style: ProgressStyle,
    /// Columns of the longest name.
    width: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    builds: BTreeMap<String, Vec<Step>>,
    /// Lines on the terminal that will be drawn anew.
    drawn: usize,
}

#[derive(Debug)]
struct Step {
    title: String,
    began: Option<Instant>,
    running: bool,
    lines: Vec<String>,
    /// A line that is not ended yet.
    partial: String,
}

impl Shown {
    pub(crate) fn new(style: ProgressStyle, width: usize) -> Self {
        let style = match style {
            ProgressStyle::Auto if rustix::termios::isatty(std::io::stderr()) => ProgressStyle::Tty,
            ProgressStyle::Auto => ProgressStyle::Plain,
            chosen => chosen,
        };
        Self { style, width, state: Mutex::default() }
    }

    /// Shows what happened.
    pub(crate) fn event(&self, service: &ServiceName, event: &BuildEvent) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = state.apply(service.as_str(), event, self.style);
        self.print(&mut state, service.as_str(), &lines);
    }

    /// Shows an image.
    pub(crate) fn built(&self, service: &ServiceName, image: &BuiltImage) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.builds.remove(service.as_str());
        if image.here {
            return;
        }
        let name = image.names.first().map_or(&*image.id.0, String::as_str);
        let line = match (image.steps, image.cached) {
            (0, _) => format!("built {name}"),
            (steps, cached) if steps == cached => format!("built {name}, all cached"),
            (steps, cached) => format!("built {name}: {steps} steps, {cached} cached"),
        };
        self.print(&mut state, service.as_str(), &[line]);
    }

    fn print(&self, state: &mut State, service: &str, lines: &[String]) {
        if self.style == ProgressStyle::Quiet || (lines.is_empty() && self.style != ProgressStyle::Tty) {
            return;
        }
        let mut text = String::new();
        if state.drawn > 0 {
            let _ = write!(text, "\x1b[{}A\x1b[J", state.drawn);
        }
        for line in lines {
            let _ =
                writeln!(text, "{}{service:<width$}{:#}  {line}", style::DIM, style::DIM, width = self.width);
        }
        state.drawn = 0;
        if self.style == ProgressStyle::Tty {
            for (service, step) in state.running() {
                let took = step.began.map_or(0.0, |began| began.elapsed().as_secs_f32());
                let last = step.lines.last().map(|line| format!("  {line}")).unwrap_or_default();
                let line: String = format!("{} {took:.1} s{last}", step.title).chars().take(WIDTH).collect();
                let _ = writeln!(text, "{service:<width$}  {line}", width = self.width);
            }
            state.drawn = state.running().count();
        }
        // Nobody reads any more: the build goes on.
        let _ = anstream::stderr().write_all(text.as_bytes());
    }
}

impl State {
    fn running(&self) -> impl Iterator<Item = (&String, &Step)> {
        let steps =
            self.builds.iter().flat_map(|(service, steps)| steps.iter().map(move |step| (service, step)));
        steps.filter(|(_, step)| step.running)
    }

    /// Notes the event; the lines that stay.
    fn apply(&mut self, service: &str, event: &BuildEvent, style: ProgressStyle) -> Vec<String> {
        if let BuildEvent::Plan(titles) = event {
            let step = |title: &String| Step {
                title: title.clone(),
                began: None,
                running: false,
                lines: Vec::new(),
                partial: String::new(),
            };
            self.builds.insert(service.to_owned(), titles.iter().map(step).collect());
            return Vec::new();
        }
        let plain = style == ProgressStyle::Plain;
        let number = match event {
            BuildEvent::Started(at)
            | BuildEvent::Cached(at)
            | BuildEvent::Done(at)
            | BuildEvent::Failed(at) => *at,
            BuildEvent::Output(at, _) => *at,
            BuildEvent::Warning(text) => return vec![format!("warning: {text}")],
            BuildEvent::Resolving(image) => {
                return if plain { vec![format!("base {image}")] } else { Vec::new() };
            }
            BuildEvent::Plan(_) | BuildEvent::Built(_) => return Vec::new(),
        };
        let Some(step) = self.builds.get_mut(service).and_then(|steps| steps.get_mut(number)) else {
            return Vec::new();
        };
        step.apply(event, plain)
    }
}

impl Step {
    fn apply(&mut self, event: &BuildEvent, plain: bool) -> Vec<String> {
        match event {
            BuildEvent::Started(_) => {
                (self.began, self.running) = (Some(Instant::now()), true);
                Vec::new()
            }
            BuildEvent::Output(_, text) => {
                self.partial.push_str(text);
                let mut new = Vec::new();
                while let Some(end) = self.partial.find('\n') {
                    let line: String = self.partial.drain(..=end).collect();
                    // What a progress bar drew over itself is gone.
                    let line = line.trim_end().rsplit('\r').next().unwrap_or_default().to_owned();
                    new.push(format!("{} | {line}", self.title));
                    self.lines.push(line);
                }
                if plain { new } else { Vec::new() }
            }
            BuildEvent::Cached(_) => {
                self.running = false;
                vec![format!("{} cached", self.title)]
            }
            BuildEvent::Done(_) => {
                self.running = false;
                vec![format!("{} done in {:.1} s", self.title, self.took())]
            }
            BuildEvent::Failed(_) => {
                self.running = false;
                let from = self.lines.len().saturating_sub(LAST);
                let mut lines = vec![format!("{} failed after {:.1} s", self.title, self.took())];
                if !plain {
                    lines.extend(self.lines[from..].iter().map(|line| format!("  {line}")));
                }
                lines
            }
            BuildEvent::Plan(_)
            | BuildEvent::Warning(_)
            | BuildEvent::Resolving(_)
            | BuildEvent::Built(_) => Vec::new(),
        }
    }

    fn took(&self) -> f32 {
        self.began.map_or(0.0, |began| began.elapsed().as_secs_f32())
    }
}
