//! Health checks: one task for each run that has one. When to probe and what a result means is `planner`'s
//! [`Prober`]; this only waits, runs the test and passes changes of health on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{Health, HealthTest, InstanceUid};
use hoist_planner::host::{HostLoop, Input, Prober, Probing};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::host::Host;
use crate::shell::{Inbox, Message};

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
            let wait = self.prober.due().since(&self.clock.now().moment).unwrap_or(Duration::ZERO);
            tokio::time::sleep(wait).await;
            let passed = self.host.probe(self.uid, command.clone(), self.prober.timeout()).await;
            if let Some(health) = self.prober.probed(passed, &self.clock.now().moment) {
                let input = Input::Probed { uid: self.uid, attempt: self.attempt, health };
                if self.inbox.send(Message::Input(input)).is_err() {
                    return;
                }
            }
        }
    }
}

fn command(test: &HealthTest) -> Option<Vec<String>> {
    match test {
        HealthTest::Exec(words) => Some(words.clone()),
        HealthTest::Shell(line) => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]),
        HealthTest::Image | HealthTest::Disabled => None,
    }
}
