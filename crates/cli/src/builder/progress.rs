//! Builds as they go: on a terminal the running steps with their time and last line, drawn anew; elsewhere a line for
//! each thing that happens.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hoist_model::ServiceName;
use hoist_wire::build::{BuildEvent, BuiltImage};

use super::fit;
use super::step::Step;
use crate::args::ProgressStyle;
use crate::out;
use crate::progress::terminal_size;
use crate::style;

/// How often running steps are drawn anew.
const TICK: Duration = Duration::from_millis(100);

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

impl Shown {
    pub(crate) fn new(style: ProgressStyle, width: usize) -> Self {
        Self { style: style.settled(), width, state: Mutex::default() }
    }

    /// Draws running steps while the work goes on, also when nothing happens; nothing of them is left after it.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                done = &mut work => {
                    let mut state = self.lock();
                    state.builds.clear();
                    self.print(&mut state, "", &[]);
                    return done;
                }
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    /// On a terminal draws running steps anew; elsewhere names those that are silent for long.
    fn tick(&self) {
        let mut state = self.lock();
        if self.style != ProgressStyle::Plain {
            return self.print(&mut state, "", &[]);
        }
        for (service, line) in state.announced() {
            self.print(&mut state, &service, &[line]);
        }
    }

    /// Shows what happened.
    pub(crate) fn event(&self, service: &ServiceName, event: &BuildEvent) {
        let mut state = self.lock();
        let lines = state.apply(service.as_str(), event, self.style);
        // What a step writes is drawn at the next tick: there may be thousands of lines in between.
        if !lines.is_empty() {
            self.print(&mut state, service.as_str(), &lines);
        }
    }

    /// Shows an image.
    pub(crate) fn built(&self, service: &ServiceName, image: &BuiltImage) {
        let mut state = self.lock();
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints lines that stay, and on a terminal the running steps below them.
    fn print(&self, state: &mut State, service: &str, lines: &[String]) {
        if self.style == ProgressStyle::Quiet || (lines.is_empty() && self.style != ProgressStyle::Tty) {
            return;
        }
        let mut text = String::new();
        let above = std::mem::take(&mut state.drawn);
        for line in lines {
            let _ =
                writeln!(text, "{}{service:<width$}{:#}  {line}", style::DIM, style::DIM, width = self.width);
        }
        if self.style == ProgressStyle::Tty {
            let (columns, rows) = terminal_size();
            let running = self.running(state, columns, rows);
            running.iter().for_each(|line| text.extend([line, "\n"]));
            state.drawn = running.len();
        }
        out::redraw(above, &text);
    }

    /// The running steps, as many as the terminal holds, a line each: what wraps or scrolls off can't be drawn over.
    fn running(&self, state: &State, columns: usize, rows: usize) -> Vec<String> {
        let room = rows.saturating_sub(2).max(1);
        let steps: Vec<(&String, &Step)> = state.running().collect();
        let shown = if steps.len() > room { room - 1 } else { steps.len() };
        let columns = columns.saturating_sub(1);
        let line = |(service, step): &(&String, &Step)| {
            let named = format!("{service:<width$}  ", width = self.width);
            let left = columns.saturating_sub(fit::width(&named));
            fit::cut(&format!("{named}{}", step.now(left)), columns)
        };
        let mut lines: Vec<String> = steps[..shown].iter().map(line).collect();
        if shown < steps.len() {
            lines.push(fit::cut(&format!("and {} more", steps.len() - shown), columns));
        }
        lines
    }
}

impl State {
    fn running(&self) -> impl Iterator<Item = (&String, &Step)> {
        let steps =
            self.builds.iter().flat_map(|(service, steps)| steps.iter().map(move |step| (service, step)));
        steps.filter(|(_, step)| step.running)
    }

    /// Titles of steps that take long and have said nothing yet, with their services.
    fn announced(&mut self) -> Vec<(String, String)> {
        let steps =
            self.builds.iter_mut().flat_map(|(service, steps)| steps.iter_mut().map(move |s| (service, s)));
        steps.filter_map(|(service, step)| Some((service.clone(), step.announced()?))).collect()
    }

    /// Notes the event; the lines that stay.
    fn apply(&mut self, service: &str, event: &BuildEvent, style: ProgressStyle) -> Vec<String> {
        let plain = style == ProgressStyle::Plain;
        let number = match event {
            BuildEvent::Plan(titles) => {
                self.builds.insert(
                    service.to_owned(),
                    (1..)
                        .zip(titles.iter().cloned())
                        .map(|(number, title)| Step::new(number, title))
                        .collect(),
                );
                return Vec::new();
            }
            BuildEvent::Started(at)
            | BuildEvent::Cached(at)
            | BuildEvent::Done(at)
            | BuildEvent::Failed(at)
            | BuildEvent::Output(at, _) => *at,
            BuildEvent::Warning(text) => return vec![format!("warning: {text}")],
            BuildEvent::Exporting(name) => return vec![format!("writing the cache {name}")],
            BuildEvent::Resolving(image) if plain => return vec![format!("base {image}")],
            BuildEvent::Resolving(_) | BuildEvent::Built(_) | BuildEvent::Checked(_) => return Vec::new(),
        };
        let step = self.builds.get_mut(service).and_then(|steps| steps.get_mut(number));
        step.map(|step| step.apply(event, plain)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_steps_than_rows_are_counted() {
        let shown = Shown::new(ProgressStyle::Tty, 3);
        let mut state = State::default();
        state.apply("web", &BuildEvent::Plan((0..9).map(|n| format!("RUN {n}")).collect()), shown.style);
        for n in 0..9 {
            state.apply("web", &BuildEvent::Started(n), shown.style);
        }
        let lines = shown.running(&state, 80, 6);
        assert_eq!(lines, ["web  RUN 0 0.0 s", "web  RUN 1 0.0 s", "web  RUN 2 0.0 s", "and 6 more"]);
        assert_eq!(shown.running(&state, 80, 24).len(), 9);
        assert_eq!(shown.running(&state, 10, 3), ["and 9 mo…"]);
    }
}
