//! The simulated network: whom new connections reach. It survives a kill of the agent, as the kernel's rules do.
//!
//! Fabrics are applied one after the other, the newest only; an application takes its time, and one that fails may have
//! changed everything or nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use hoist_planner::host::{self, Application, FabricSeen, FabricWanted, Step, StepError};

use super::happen::Event;
use super::world::World;

/// Longer than a planner waits for.
const HANGS: Duration = Duration::from_secs(20);
/// How long an instance may wait for the network before it is told to end all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// What becomes of new connections.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// Where the rules lead them.
    leads: BTreeSet<IpAddr>,
    /// The newest fabric, while another is being applied.
    next: Option<(u64, Box<FabricWanted>)>,
    applying: bool,
}

impl Network {
    /// What a reboot leaves: nothing.
    pub(super) fn reboot(&mut self) {
        *self = Self::default();
    }
}

impl World {
    pub(super) fn apply_fabric(&mut self, number: u64, wanted: Box<FabricWanted>) {
        // Whoever asked may have died meanwhile.
        if self.agent.is_some() {
            self.network.next = Some((number, wanted));
            self.next_application();
        }
    }

    fn next_application(&mut self) {
        if self.network.applying {
            return;
        }
        let Some((number, wanted)) = self.network.next.take() else { return };
        self.network.applying = true;
        let hangs = self.rng.chance(self.faults.network_hangs);
        let wait = if hangs { HANGS } else { self.rng.duration(self.faults.slowest) };
        let fails = self.rng.chance(self.faults.network_fails);
        self.later(wait, Event::Fabric { number, wanted, fails });
    }

    pub(super) fn fabric_happens(&mut self, number: u64, wanted: &FabricWanted, fails: bool) {
        if !fails || self.rng.chance(500) {
            self.lead(wanted);
        }
        self.network.applying = false;
        let error = || StepError { what: "a simulated failure".to_owned(), hint: None, permanent: false };
        let outcome = if fails { Err(error()) } else { Ok(()) };
        let seen = FabricSeen {
            applied: Some(Application { number, outcome }),
            published: self.published(wanted),
            ..FabricSeen::default()
        };
        self.tell_host(host::Input::FabricApplied(seen));
        self.next_application();
    }

    /// The agent dies: what it was applying has come about, or never will.
    pub(super) fn settle_network(&mut self, under_way: Option<Box<FabricWanted>>) {
        (self.network.next, self.network.applying) = (None, false);
        if let Some(wanted) = under_way
            && self.rng.chance(500)
        {
            self.lead(&wanted);
        }
    }

    fn lead(&mut self, wanted: &FabricWanted) {
        self.network.leads = wanted.destinations();
        self.check_traffic();
    }

    /// Whether a step tells an instance to end although the network may still lead to it: it has waited long enough.
    pub(super) fn is_late(&self, step: &Step) -> bool {
        let Step::SignalInstance { uid, .. } = step else { return false };
        let since = self.agent.as_ref().and_then(|agent| agent.host.observed().withdrawn.get(uid));
        let waited = since.and_then(|since| self.now().moment.since(since));
        waited.is_some_and(|waited| waited >= PATIENCE)
    }

    /// A new connection must not meet an instance that has had its stop signal.
    pub(super) fn check_traffic(&self) {
        for (_, run) in self.alive().filter(|(_, run)| run.spared) {
            if let Some(address) =
                run.addresses.values().flatten().find(|ip| self.network.leads.contains(*ip))
            {
                self.fail(&format!(
                    "a new connection meets {} at {address}, which was told to end",
                    run.slot
                ));
            }
        }
    }

    fn published(
        &self,
        wanted: &FabricWanted,
    ) -> std::collections::BTreeMap<host::PublishKey, Result<hoist_model::PublishedReport, StepError>> {
        let published = wanted.published.keys().map(|key| {
            let taken = key.port.published.filter(|port| self.foreign_ports.contains(port));
            let report =
                hoist_model::PublishedReport { port: key.port.clone(), reach: "everywhere".to_owned() };
            let result = taken.map_or(Ok(report), |port| {
                let what = format!("another program has host port {port}");
                Err(StepError { what, hint: None, permanent: false })
            });
            (key.clone(), result)
        });
        published.collect()
    }
}
