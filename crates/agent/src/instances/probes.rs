//! Health checks: one task for each run that has one. When to probe and what a result means is `planner`'s
//! [`Prober`]; this only waits, runs the test and passes changes of health on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{Health, HealthTest, InstanceUid, ProbeRecord};
use hoist_planner::Now;
use hoist_planner::host::{HostLoop, Input, Prober, Probing};
use tokio::task::JoinHandle;

use crate::control::clock::Clock;
use crate::control::inbox::{Inbox, Message};
use crate::host::Host;
use crate::instances::probe_run::{self, Probed};

/// The probe tasks, by run.
pub(crate) struct Probes {
    host: Arc<Host>,
    clock: Clock,
    inbox: Inbox,
    tasks: BTreeMap<(InstanceUid, u32), JoinHandle<()>>,
}

impl Probes {
    pub(crate) fn new(host: Arc<Host>, clock: Clock, inbox: Inbox) -> Self {
        Self { host, clock, inbox, tasks: BTreeMap::new() }
    }

    /// Probes exactly these runs: begins what is new, ends what is missing.
    pub(crate) fn set(&mut self, runs: BTreeMap<InstanceUid, Probing>, control: &HostLoop) {
        let wanted =
            |(uid, attempt): &(InstanceUid, u32)| runs.get(uid).is_some_and(|run| run.attempt == *attempt);
        self.tasks.retain(|run, task| {
            let keep = wanted(run);
            if !keep {
                task.abort();
            }
            keep
        });
        self.host.health_log.keep(|uid| control.observed().instances.contains_key(&uid));
        for (uid, run) in runs {
            let known =
                control.observed().instances.get(&uid).map_or(Health::None, |instance| instance.health);
            let key = (uid, run.attempt);
            self.tasks.entry(key).or_insert_with(|| {
                let task = ProbeTask {
                    host: Arc::clone(&self.host),
                    clock: self.clock.clone(),
                    inbox: self.inbox.clone(),
                    uid,
                    attempt: run.attempt,
                    test: run.check.test.clone(),
                    prober: Prober::new(run.check, run.since, known),
                };
                tokio::spawn(task.run())
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
    test: HealthTest,
    prober: Prober,
}

impl ProbeTask {
    async fn run(mut self) {
        let Some(command) = command(&self.test) else { return };
        loop {
            let began = self.until_due().await;
            let timeout = self.prober.timeout(&began.moment);
            let probed = probe_run::run(&self.host, self.uid, command.clone(), timeout).await;
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
        if let Some(record) = record.clone() {
            self.host.health_log.add(self.uid, self.attempt, record);
        }
        let Some(health) = self.prober.probed(passed, &began.moment, &ended.moment) else { return true };
        let input = Input::Probed { uid: self.uid, attempt: self.attempt, health, probe: record };
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

fn command(test: &HealthTest) -> Option<Vec<String>> {
    match test {
        HealthTest::Exec(words) => Some(words.clone()),
        HealthTest::Shell(line) => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]),
        HealthTest::Image | HealthTest::Disabled => None,
    }
}
