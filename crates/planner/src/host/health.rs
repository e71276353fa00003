//! Health from probe results: pure, one for each run of an instance. The agent's prober task drives it.

use std::time::Duration;

use hoist_model::{Health, Healthcheck, Moment, ProbeRecord};

/// The first early probe comes so long after the start; one that would come nearer than that to a counted one is left
/// out.
const EARLY: Duration = Duration::from_millis(250);
/// An early probe waits so many times as long as the last probe took: an expensive check takes a tenth of a processor
/// at most.
const REST: u32 = 10;
/// After so long the prober asks again, when a probe could not be run for a reason of Hoist's own.
const AGAIN: Duration = Duration::from_secs(1);
/// Characters of a probe's output that messages show: its end, where programs say what went wrong.
const WORDS: usize = 300;

/// Decides when to probe one run of an instance and what its health is. Docker's rules for counted probes: the first
/// comes one interval after the start, each later one an interval after the last one's end; during the start period a
/// failure doesn't count, and the first success ends the period; `retries` failures in a row make it unhealthy, one
/// success healthy.
///
/// Where no `start_interval` is declared, early probes come between them until the first success. They can only
/// succeed: a failure changes nothing, and one that still runs when a counted probe is due is ended for it.
#[derive(Debug, Clone)]
pub struct Prober {
    check: Healthcheck,
    started: Moment,
    /// When the next counted probe is due.
    counted: Moment,
    early: Option<Early>,
    health: Health,
    failures: u32,
}

#[derive(Debug, Clone)]
struct Early {
    due: Moment,
    /// Half as long again after each, up to the declared interval.
    pause: Duration,
}

impl Prober {
    /// For a run that began at `started`. `known` is the health so far, for a run adopted after a crash of the agent.
    #[must_use]
    pub fn new(check: Healthcheck, started: Moment, known: Health) -> Self {
        let health = if known == Health::None { Health::Starting } else { known };
        let early = (check.start_interval.is_none() && health == Health::Starting)
            .then(|| Early { due: started.after(EARLY), pause: EARLY });
        let mut prober = Self { check, counted: started.clone(), started, early, health, failures: 0 };
        prober.counted = prober.started.after(prober.pause(&prober.started));
        prober
    }

    /// When the next probe is due.
    #[must_use]
    pub fn due(&self) -> &Moment {
        match &self.early {
            Some(early) if early.due.after(EARLY).since_boot <= self.counted.since_boot => &early.due,
            _ => &self.counted,
        }
    }

    /// How long a probe that begins at `began` may take; a longer one is ended and has failed.
    #[must_use]
    pub fn timeout(&self, began: &Moment) -> Duration {
        match self.counted.since(began) {
            Some(rest) if !rest.is_zero() => rest.min(self.check.timeout),
            _ => self.check.timeout,
        }
    }

    /// Whether a probe that begins at `began` has its full time: when one has not and runs out of it, that says nothing.
    #[must_use]
    pub fn has_full_time(&self, began: &Moment) -> bool {
        self.timeout(began) == self.check.timeout
    }

    /// The health as known.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// A probe has run. Returns the health when it changed: that, and only that, is an input of the loop.
    pub fn probed(&mut self, passed: bool, began: &Moment, ended: &Moment) -> Option<Health> {
        let before = self.health;
        let counts = began.since_boot >= self.counted.since_boot;
        if passed {
            self.failures = 0;
            self.health = Health::Healthy;
        } else if counts && !self.starting(began) {
            self.failures += 1;
            if self.failures >= self.check.retries.max(1) {
                self.health = Health::Unhealthy;
            }
        }
        if passed || counts {
            self.counted = ended.after(self.pause(ended));
        }
        self.early = self.next_early(began, ended);
        (self.health != before).then_some(self.health)
    }

    /// A probe could not be run, and the instance is not to blame: it is asked again soon.
    pub fn missed(&mut self, now: &Moment) {
        self.early = None;
        self.counted = now.after(self.pause(now).min(AGAIN));
    }

    fn next_early(&self, began: &Moment, ended: &Moment) -> Option<Early> {
        let pause = self.early.as_ref().filter(|_| self.health == Health::Starting)?.pause * 3 / 2;
        let rest = ended.since(began).unwrap_or_default().saturating_mul(REST);
        (pause < self.check.interval).then(|| Early { due: ended.after(pause.max(rest)), pause })
    }

    fn starting(&self, now: &Moment) -> bool {
        let age = now.since(&self.started).unwrap_or_default();
        self.health == Health::Starting && age < self.check.start_period
    }

    fn pause(&self, now: &Moment) -> Duration {
        let pause = if self.starting(now) {
            self.check.start_interval.unwrap_or(Healthcheck::START_INTERVAL)
        } else {
            self.check.interval
        };
        // Without a floor a zero interval would probe without end.
        pause.max(Duration::from_millis(1))
    }
}

/// That an instance is unhealthy, and why, as a sentence part: what its probe said, on one line and without anything that
/// could act on a terminal.
#[must_use]
pub fn unhealthy(probe: Option<&ProbeRecord>) -> String {
    let Some(probe) = probe else { return "is unhealthy".to_owned() };
    let words = last_words(&probe.output);
    match (probe.exit_code, words.is_empty()) {
        (-1, _) => format!("is unhealthy: {words}"),
        (code, true) => format!("is unhealthy: its check exits with {code} and says nothing"),
        (code, false) => format!("is unhealthy: its check exits with {code}: {words}"),
    }
}

/// The end of what a program wrote, on one line and without anything that could act on a terminal.
#[must_use]
pub fn last_words(output: &str) -> String {
    let plain: String = output.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let surplus = words.chars().count().saturating_sub(WORDS);
    if surplus == 0 { words } else { format!("…{}", words.chars().skip(surplus).collect::<String>()) }
}
