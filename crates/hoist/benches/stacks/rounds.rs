//! What is measured, and the times of all rounds.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use super::compose::{self, Version};
use super::daemons::{Daemons, Threads};
use super::docker::Docker;
use super::floor::Floor;
use super::place::{Place, Root, Shape, Stack};

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    Cold,
    Nothing,
    Down,
    AfterDown,
    Warm,
    TreeUp,
    TreeDown,
    ManyUp,
    ManyDown,
}

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Calls,
    Hoist,
    Compose1,
    Compose2,
}

impl Who {
    fn of(version: Version) -> Self {
        match version {
            Version::One => Self::Compose1,
            Version::Two => Self::Compose2,
        }
    }
}

/// A hundred services, as independent as can be.
const FLAT: Stack = Stack { services: 100, shape: Shape::Flat };
/// A hundred that wait for each other, four for one.
const TREE: Stack = Stack { services: 100, shape: Shape::Tree };
/// Five times as many.
const MANY: Stack = Stack { services: 500, shape: Shape::Flat };
/// What has agent, keeper and name server run before a warm start.
const ONE: Stack = Stack { services: 1, shape: Shape::Flat };

const UP: [&str; 2] = ["up", "-d"];
const DOWN: [&str; 3] = ["down", "-t", "1"];

#[derive(Default)]
pub(super) struct Rounds {
    times: BTreeMap<(Row, Who), Vec<Duration>>,
    /// What Hoist's processes took with a hundred instances, in the last round.
    pub(super) daemons: Option<Daemons>,
    /// The most threads that an agent had while five hundred came up.
    pub(super) threads: usize,
}

impl Rounds {
    /// The median, once it was measured.
    pub(super) fn median(&self, row: Row, who: Who) -> Option<Duration> {
        let mut times = self.times.get(&(row, who))?.clone();
        times.sort();
        times.get(times.len() / 2).copied()
    }

    fn add(&mut self, row: Row, who: Who, time: Duration) {
        self.times.entry((row, who)).or_default().push(time);
    }

    /// The system calls alone, in each row that they are the floor of.
    pub(super) fn floor(&mut self, place: &Place) {
        let ups = [Row::Cold, Row::AfterDown, Row::Warm, Row::TreeUp];
        let rows =
            [(FLAT, &ups[..], &[Row::Down, Row::TreeDown][..]), (MANY, &[Row::ManyUp], &[Row::ManyDown])];
        for (stack, ups, downs) in rows {
            let (up, down) = Floor::start(place, stack.services).round();
            ups.iter().for_each(|row| self.add(*row, Who::Calls, up));
            downs.iter().for_each(|row| self.add(*row, Who::Calls, down));
        }
    }

    pub(super) fn hoist(&mut self, place: &Place) {
        self.cold(&place.root());
        self.warm(&place.root());
    }

    /// On a root that was never used: the first command starts agent, keeper and name server.
    fn cold(&mut self, root: &Root<'_>) {
        let steps = [(Row::Cold, &UP[..]), (Row::Nothing, &UP), (Row::Down, &DOWN), (Row::AfterDown, &UP)];
        for (row, words) in steps {
            self.add(row, Who::Hoist, timed(root.hoist(FLAT, words)));
        }
        timed(root.hoist(FLAT, &DOWN));
    }

    /// On a root with an agent that runs and has a network.
    fn warm(&mut self, root: &Root<'_>) {
        timed(root.hoist(ONE, &UP));
        self.add(Row::Warm, Who::Hoist, timed(root.hoist(FLAT, &UP)));
        self.daemons = Daemons::look(root);
        timed(root.hoist(FLAT, &DOWN));
        self.add(Row::TreeUp, Who::Hoist, timed(root.hoist(TREE, &UP)));
        self.add(Row::TreeDown, Who::Hoist, timed(root.hoist(TREE, &DOWN)));
        let watched = Threads::watch(root);
        self.add(Row::ManyUp, Who::Hoist, timed(root.hoist(MANY, &UP)));
        self.threads = self.threads.max(watched.most());
        self.add(Row::ManyDown, Who::Hoist, timed(root.hoist(MANY, &DOWN)));
        timed(root.hoist(ONE, &DOWN));
    }

    /// docker compose has its daemon running: there is no cold start of it to be compared, so its one `up` stands for
    /// all of Hoist's.
    pub(super) fn compose(&mut self, place: &Place, docker: &Docker) {
        const UPS: [Row; 3] = [Row::Cold, Row::AfterDown, Row::Warm];
        let steps: [(&[Row], Stack, &[&str]); 5] = [
            (&UPS, FLAT, &UP),
            (&[Row::Nothing], FLAT, &UP),
            (&[Row::Down], FLAT, &DOWN),
            (&[Row::TreeUp], TREE, &UP),
            (&[Row::TreeDown], TREE, &DOWN),
        ];
        for (version, program) in compose::programs() {
            let who = Who::of(version);
            for (rows, stack, words) in steps {
                let run = || time(compose::command(docker, &program, &place.file(stack), words));
                match run() {
                    Ok(took) => rows.iter().for_each(|row| self.add(*row, who, took)),
                    // On a busy machine its daemon may refuse to remove a network that it has only just emptied. Once
                    // more, so that nothing is left for what comes next.
                    Err(why) => {
                        eprintln!("{who:?}: {} is not counted, because it failed: {why}", words.join(" "));
                        let _ = run();
                    }
                }
            }
        }
    }
}

/// The time of a command of Hoist's, which must succeed.
fn timed(command: Command) -> Duration {
    time(command).expect("the stack comes up and goes")
}

/// The time of a command, or the last line that it said when it failed.
fn time(mut command: Command) -> Result<Duration, String> {
    let began = Instant::now();
    let output = command.output().map_err(|error| error.to_string())?;
    let took = began.elapsed();
    if output.status.success() {
        return Ok(took);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned())
}
