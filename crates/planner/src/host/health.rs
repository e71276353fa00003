//! Health from probe results: pure, one for each run of an instance. The agent's prober task drives it.

use std::time::Duration;

use hoist_model::{Health, Healthcheck, Moment};

/// Decides when to probe one run of an instance and what its health is. Docker's rules: the first probe comes one
/// interval after the start; during the start period a failure doesn't count, and the first success ends the period;
/// `retries` failures in a row make it unhealthy, one success healthy.
#[derive(Debug, Clone)]
pub struct Prober {
    check: Healthcheck,
    started: Moment,
    due: Moment,
    health: Health,
    failures: u32,
}

impl Prober {
    /// For a run that began at `started`. `known` is the health so far, for a run adopted after a crash of the agent.
    #[must_use]
    pub fn new(check: Healthcheck, started: Moment, known: Health) -> Self {
        let health = if known == Health::None { Health::Starting } else { known };
        let mut prober = Self { check, due: started.clone(), started, health, failures: 0 };
        prober.due = prober.started.after(prober.pause(&prober.started));
        prober
    }

    /// When the next probe is due.
    #[must_use]
    pub fn due(&self) -> &Moment {
        &self.due
    }

    /// How long a probe may take; a longer one is killed and has failed.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.check.timeout
    }

    /// The health as known.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// A probe has ended at `now`. Returns the health when it changed: that, and only that, is an input of the loop.
    pub fn probed(&mut self, passed: bool, now: &Moment) -> Option<Health> {
        let before = self.health;
        if passed {
            self.failures = 0;
            self.health = Health::Healthy;
        } else if !self.starting(now) {
            self.failures += 1;
            if self.failures >= self.check.retries.max(1) {
                self.health = Health::Unhealthy;
            }
        }
        self.due = now.after(self.pause(now));
        (self.health != before).then_some(self.health)
    }

    fn starting(&self, now: &Moment) -> bool {
        let age = now.since(&self.started).unwrap_or_default();
        self.health == Health::Starting && age < self.check.start_period
    }

    fn pause(&self, now: &Moment) -> Duration {
        let pause = if self.starting(now) { self.check.start_interval } else { self.check.interval };
        // Without a floor a zero interval would probe without end.
        pause.max(Duration::from_millis(1))
    }
}
