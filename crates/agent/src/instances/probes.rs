//! Health checks and liveness probes: one task for each run that has one. When to probe and what a result means is `planner`'s
//! [`Prober`]; this only waits, runs the test and passes changes of health on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{Health, HealthTest, InstanceUid, NativeProbe, ProbeRecord};
use hoist_planner::Now;
use hoist_planner::host::{HostLoop, Input, Prober, Probing};
use tokio::task::JoinHandle;

use crate::control::clock::Clock;
use crate::control::inbox::{Inbox, Message};
use crate::host::Host;
use crate::instances::native_probe;
use crate::instances::probe_run::{self, Probed};

/// What probes say something of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Health, which decides traffic.
    Health,
    /// Whether the run is to start anew.
    Liveness,
}

/// The probe tasks, by run.
pub(crate) struct Probes {
    host: Arc<Host>,
    clock: Clock,
    inbox: Inbox,
    about: About,
    tasks: BTreeMap<(InstanceUid, u32), (Probing, JoinHandle<()>)>,
}

impl Probes {
    pub(crate) fn new(host: Arc<Host>, clock: Clock, inbox: Inbox, about: About) -> Self {
        Self { host, clock, inbox, about, tasks: BTreeMap::new() }
    }

    /// Probes exactly these runs: begins what is new, ends what is missing.
    pub(crate) fn set(&mut self, runs: BTreeMap<InstanceUid, Probing>, control: &HostLoop) {
        self.tasks.retain(|(uid, _), (probing, task)| {
            let keep = runs.get(uid) == Some(probing);
            if !keep {
                task.abort();
            }
            keep
        });
        self.host.health_log.keep(|uid| control.observed().instances.contains_key(&uid));
        for (uid, run) in runs {
            let known = match self.about {
                About::Health => {
                    control.observed().instances.get(&uid).map_or(Health::None, |instance| instance.health)
                }
                About::Liveness => Health::None,
            };
            let key = (uid, run.attempt);
            self.tasks.entry(key).or_insert_with(|| {
                let task = ProbeTask {
                    host: Arc::clone(&self.host),
                    clock: self.clock.clone(),
                    inbox: self.inbox.clone(),
                    uid,
                    attempt: run.attempt,
                    about: self.about,
                    test: run.check.test.clone(),
                    prober: Prober::new(run.check.clone(), run.since.clone(), known),
                };
                (run, tokio::spawn(task.run()))
            });
        }
    }
}

struct ProbeTask {
    host: Arc<Host>,
    clock: Clock,
    inbox: Inbox,
    uid: InstanceUid,
    attempt: u32,
    about: About,
    test: HealthTest,
    prober: Prober,
}

impl ProbeTask {
    async fn run(mut self) {
        let Some(check) = check(&self.test) else { return };
        loop {
            let began = self.until_due().await;
            let timeout = self.prober.timeout(&began.moment);
            let probed = match &check {
                Check::Command(words) => probe_run::run(&self.host, self.uid, words.clone(), timeout).await,
                Check::Native(probe) => native_probe::run(&self.host, self.uid, probe, timeout).await,
            };
            if !self.take(probed, &began) {
                return;
            }
        }
    }

    /// A timer may be a little early by our clock, which counts suspended time too.
    async fn until_due(&self) -> Now {
        loop {
            let now = self.clock.now();
            match self.prober.due().since(&now.moment) {
                Some(wait) if !wait.is_zero() => tokio::time::sleep(wait).await,
                _ => return now,
            }
        }
    }

    /// Keeps what a probe said and passes on what it changed. False: nobody listens any more.
    fn take(&mut self, probed: Probed, began: &Now) -> bool {
        let ended = self.clock.now();
        let cut_short = !self.prober.has_full_time(&began.moment) && matches!(probed, Probed::TooLong(_));
        let record = match (probed, cut_short) {
            (Probed::Unknown, _) => {
                self.prober.missed(&ended.moment);
                return true;
            }
            (_, true) => None,
            (probed, false) => {
                let (exit_code, output) = told(probed, self.prober.timeout(&began.moment));
                Some(ProbeRecord { start: began.wall, end: ended.wall, exit_code, output })
            }
        };
        let passed = record.as_ref().is_some_and(ProbeRecord::passed);
        if let Some(record) = record.clone().filter(|_| self.about == About::Health) {
            self.host.health_log.add(self.uid, self.attempt, record);
        }
        let Some(health) = self.prober.probed(passed, &began.moment, &ended.moment) else { return true };
        let (uid, attempt) = (self.uid, self.attempt);
        let input = match (self.about, health) {
            (About::Health, health) => Input::Probed { uid, attempt, health, probe: record },
            (About::Liveness, Health::Unhealthy) => Input::Unfit { uid, attempt, probe: record },
            (About::Liveness, _) => return true,
        };
        self.inbox.send(Message::Input(input)).is_ok()
    }
}

/// Status and output as Docker gives them.
fn told(probed: Probed, timeout: Duration) -> (i32, String) {
    match probed {
        Probed::Ended(code, output) => (code, output),
        Probed::TooLong(output) if output.is_empty() => {
            (-1, format!("Health check exceeded timeout ({timeout:?})"))
        }
        Probed::TooLong(output) => (-1, format!("Health check exceeded timeout ({timeout:?}): {output}")),
        Probed::Refused(why) => (-1, why),
        Probed::Unknown => (-1, String::new()),
    }
}

enum Check {
    Command(Vec<String>),
    Native(NativeProbe),
}

fn check(test: &HealthTest) -> Option<Check> {
    match test {
        HealthTest::Exec(words) => Some(Check::Command(words.clone())),
        HealthTest::Shell(line) => {
            Some(Check::Command(vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]))
        }
        HealthTest::Native(probe) => Some(Check::Native(probe.clone())),
        HealthTest::Image | HealthTest::Disabled => None,
    }
}
