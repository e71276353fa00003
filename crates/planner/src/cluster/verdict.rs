//! Whether what a person asked for has come about, can't, or is still under way. Read off specs and reports, so that it
//! is the same after a restart of the orchestrator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hoist_model::{
    Exit, Failure, Health, HostId, HostReport, HostSpec, InstanceReport, InstanceSpec, InstanceUid, Moment,
    NetworkId, Parting, Phase, ServiceName, Slot, StackId, Subject, VolumeId, WantedRun,
};

use crate::host::unhealthy;
use crate::time::sooner;

/// What an operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// The stack.
    pub stack: StackId,
    /// The services that it moved.
    pub services: BTreeSet<ServiceName>,
    /// Wait until instances are healthy, or stay up, or have completed; else until they have been started.
    pub wait: bool,
    /// The whole stack goes: wait until its networks and volumes are gone too.
    pub removal: bool,
}

/// How an operation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Everything is as asked.
    Converged,
    /// It can't become so without a person.
    Failed(Vec<Failure>),
    /// Not yet; says what is waited for, and when time alone may change that.
    Pending(Vec<String>, Option<Moment>),
}

/// An instance without a health check has come up once it has run for so long: what dies at once was never up.
const SETTLE: Duration = Duration::from_secs(1);
/// So long an instance may take to be ready for what the one before it does.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How an operation stands, by what was planned last and what hosts said last. Removal of a whole stack ends when
/// nothing is left of it, which [`super::plan`] finds; here it stays pending.
#[must_use]
pub fn standing(
    goal: &Goal,
    specs: &BTreeMap<HostId, HostSpec>,
    view: &BTreeMap<HostId, HostReport>,
    now: &Moment,
) -> Standing {
    let mut found = Found::default();
    if specs.is_empty() {
        found.pending.push("a host to report".to_owned());
    }
    for (host, spec) in specs {
        match view.get(host).filter(|report| report.generation >= spec.generation) {
            None => found.pending.push(format!("host {host} to take the new spec")),
            Some(report) => found.on_host(goal, spec, report, now),
        }
    }
    if goal.removal && found.failures.is_empty() {
        found.pending.push("nothing to be left".to_owned());
    }
    match (found.failures.is_empty(), found.pending.is_empty()) {
        (false, _) => Standing::Failed(found.failures),
        (true, true) => Standing::Converged,
        (true, false) => Standing::Pending(found.pending, found.until),
    }
}

#[derive(Default)]
struct Found {
    failures: Vec<Failure>,
    pending: Vec<String>,
    until: Option<Moment>,
}

impl Found {
    fn on_host(&mut self, goal: &Goal, spec: &HostSpec, report: &HostReport, now: &Moment) {
        let (networks, volumes) = resources(goal, spec);
        let final_ones = report.failures.iter().filter(|failure| failure.permanent);
        self.failures.extend(final_ones.filter(|f| concerns(goal, &f.subject, &networks, &volumes)).cloned());
        let serves = |seen: &&InstanceReport| seen.parting == Some(Parting::Serves);
        let served: BTreeSet<&Slot> =
            report.instances.values().filter(serves).map(|seen| &seen.slot).collect();
        for (uid, wanted) in &spec.instances {
            if about(goal, &wanted.slot) {
                let seen = report.instances.get(uid);
                let served = served.contains(&wanted.slot);
                let one = seen.filter(|_| served).and_then(|seen| taking_over(spec, wanted, seen, now));
                match one.unwrap_or_else(|| instance(goal, spec, wanted, seen, now)) {
                    One::Done => {}
                    One::Pending(what) => self.pending.push(what),
                    One::Settling(what, until) => {
                        self.pending.push(what);
                        self.until = sooner(self.until.take(), Some(until));
                    }
                    One::Failed(failure) => self.failures.push(failure),
                }
            }
        }
        self.pending.extend(leaving(goal, spec, report));
    }
}

fn about(goal: &Goal, slot: &Slot) -> bool {
    slot.stack == goal.stack && goal.services.contains(&slot.service)
}

/// The networks and volumes that the services of the goal use.
fn resources<'a>(goal: &Goal, spec: &'a HostSpec) -> (BTreeSet<&'a NetworkId>, BTreeSet<&'a VolumeId>) {
    let instances = spec.instances.values().filter(|instance| about(goal, &instance.slot));
    let templates: Vec<_> = instances.filter_map(|instance| spec.templates.get(&instance.template)).collect();
    let networks = templates.iter().flat_map(|template| template.networks.values()).collect();
    let volumes = templates.iter().flat_map(|template| template.volumes.values()).collect();
    (networks, volumes)
}

fn concerns(
    goal: &Goal,
    subject: &Subject,
    networks: &BTreeSet<&NetworkId>,
    volumes: &BTreeSet<&VolumeId>,
) -> bool {
    match subject {
        Subject::Stack(stack) => *stack == goal.stack,
        Subject::Service(stack, service) => *stack == goal.stack && goal.services.contains(service),
        Subject::Slot(slot) => about(goal, slot),
        Subject::Network(id) => networks.contains(id),
        Subject::Volume(id) => volumes.contains(id),
        Subject::Image(_) | Subject::Layer(..) => false,
        Subject::Host => true,
    }
}

enum One {
    Done,
    Pending(String),
    /// Runs, but not for long enough yet.
    Settling(String, Moment),
    Failed(Failure),
}

fn instance(
    goal: &Goal,
    spec: &HostSpec,
    wanted: &InstanceSpec,
    report: Option<&InstanceReport>,
    now: &Moment,
) -> One {
    let name = wanted.slot.short();
    let Some(report) = report else { return One::Pending(format!("{name} to be made")) };
    if let WantedRun::Stopped { .. } = wanted.run {
        return match report.phase {
            Phase::Running | Phase::Stopping | Phase::Starting => One::Pending(format!("{name} to stop")),
            _ => One::Done,
        };
    }
    let asked = report.restart_nonce < wanted.restart_nonce || report.start_nonce < wanted.start_nonce;
    let started = report.starts > 0 && !asked;
    match &report.phase {
        Phase::Waiting(what) => One::Pending(format!("{name}, {what}")),
        Phase::Starting => One::Pending(format!("{name} to start")),
        Phase::Stopping => One::Pending(format!("{name} to stop")),
        // Its failure is in the report, final or not.
        Phase::Failed(what) => One::Pending(format!("{name} to start: {what}")),
        Phase::Running | Phase::Exited | Phase::Restarting(_) if !started => {
            One::Pending(format!("{name} to start"))
        }
        // A hook that failed is in the report.
        Phase::Running if report.hooks_pending => One::Pending(format!("{name} to run its post_start hooks")),
        Phase::Running | Phase::Exited | Phase::Restarting(_) if !goal.wait => One::Done,
        Phase::Running => healthy(spec, wanted, report, now),
        Phase::Restarting(_) => failed(spec, wanted, &format!("{} and is restarting", ended(report))),
        Phase::Exited if report.exit.is_some_and(Exit::success) => One::Done,
        Phase::Exited => failed(spec, wanted, &ended(report)),
    }
}

/// How it stands while the instance before it still has the traffic of the slot: it is waited for until it takes that
/// over. What can't is a failure though nothing has stopped.
fn taking_over(spec: &HostSpec, wanted: &InstanceSpec, seen: &InstanceReport, now: &Moment) -> Option<One> {
    let asked = seen.restart_nonce < wanted.restart_nonce || seen.start_nonce < wanted.start_nonce;
    if seen.starts == 0 || asked {
        return None;
    }
    let name = wanted.slot.short();
    let stays = |what: &str| failed(spec, wanted, &format!("{what}; the one before it goes on serving"));
    let one = match (&seen.phase, &seen.unready) {
        (Phase::Running, _) if seen.health == Health::Unhealthy => stays(&unhealthy(seen.probe.as_ref())),
        (Phase::Running, Some(lacks)) if seen.hooks_pending => {
            One::Pending(format!("{name} to be ready: for {lacks}"))
        }
        (Phase::Running, Some(lacks)) if seen.health == Health::None => {
            let until = seen.since.as_ref().map_or_else(|| now.clone(), |since| since.after(PATIENCE));
            if now.since_boot >= until.since_boot {
                stays(&format!("is not ready after {PATIENCE:?}, it waits for {lacks}"))
            } else {
                One::Settling(format!("{name} to be ready: for {lacks}"), until)
            }
        }
        (Phase::Running, Some(lacks)) => One::Pending(format!("{name} to be ready: for {lacks}")),
        (Phase::Restarting(_), _) => stays(&format!("{} and is restarting", ended(seen))),
        (Phase::Exited, _) if !seen.exit.is_some_and(Exit::success) => stays(&ended(seen)),
        (Phase::Running | Phase::Exited, _) => One::Pending(format!("{name} to take over")),
        _ => return None,
    };
    Some(one)
}

fn ended(report: &InstanceReport) -> String {
    report.exit.unwrap_or(Exit::Unknown).to_string()
}

fn healthy(spec: &HostSpec, wanted: &InstanceSpec, report: &InstanceReport, now: &Moment) -> One {
    let name = wanted.slot.short();
    match report.health {
        Health::Healthy => One::Done,
        Health::None => match &report.since {
            // Of a run in another boot, or on another host, the time can't be told.
            Some(since) if now.since(since).is_some_and(|age| age < SETTLE) => {
                One::Settling(format!("{name} to stay up"), since.after(SETTLE))
            }
            _ => One::Done,
        },
        Health::Starting => One::Pending(format!("{name} to be healthy")),
        Health::Unhealthy => failed(spec, wanted, &unhealthy(report.probe.as_ref())),
    }
}

fn failed(spec: &HostSpec, wanted: &InstanceSpec, what: &str) -> One {
    let template = spec.templates.get(&wanted.template);
    let given = template.and_then(|template| template.service.container_name.clone());
    let name = given.unwrap_or_else(|| wanted.slot.container_name());
    One::Failed(Failure {
        subject: Subject::Slot(wanted.slot.clone()),
        what: format!("container {name} {what}"),
        hint: Some(format!("see `hoist logs {}`", wanted.slot.service)),
        permanent: true,
    })
}

/// Instances that are on their way out. Nobody waits for those that others have relieved.
fn leaving<'a>(
    goal: &'a Goal,
    spec: &'a HostSpec,
    report: &'a HostReport,
) -> impl Iterator<Item = String> + 'a {
    let gone = |uid: &InstanceUid| !spec.instances.contains_key(uid);
    let goes_on = |slot: &Slot| {
        let mut others = spec.instances.values();
        others.any(|other| {
            (&other.slot.stack, &other.slot.service) == (&slot.stack, &slot.service)
                && other.run == WantedRun::Running
        })
    };
    let relieved = move |seen: &InstanceReport| seen.parting == Some(Parting::Drains) && goes_on(&seen.slot);
    let of_goal = report.instances.iter().filter(move |(uid, seen)| gone(uid) && about(goal, &seen.slot));
    let there = of_goal.filter(move |(_, seen)| !relieved(seen));
    there.map(|(_, seen)| format!("{} to be removed", seen.slot.short()))
}
