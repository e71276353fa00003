//! Progress, as the difference of two reports: nothing is remembered, so nothing is told twice or missed.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{
    EventKind, Exit, Health, HostReport, InstanceReport, Parting, Phase, Slot, Subject, WallTime,
};

/// What happened between two reports of one host, in the order in which a person would tell it: what went, what came.
#[must_use]
pub fn between(before: Option<&HostReport>, after: &HostReport) -> Vec<EventKind> {
    let mut events = Vec::new();
    let Some(before) = before else { return events };
    let (newest_before, newest_after) = (newest(before), newest(after));
    for (uid, old) in &before.instances {
        if !after.instances.contains_key(uid) {
            let filled = newest_after.contains_key(&old.slot);
            let state = if filled { "replaced" } else { "removed" };
            events.push(progress(Subject::Slot(old.slot.clone()), state, None, !filled));
        }
    }
    resources(before, after, &mut events);
    for (uid, new) in &after.instances {
        // Most of a large stack is as it was.
        let same_newest = newest_before.get(&new.slot) == newest_after.get(&new.slot);
        if same_newest && before.instances.get(uid) == Some(new) {
            continue;
        }
        let told = told(&newest_after, new);
        if before.instances.get(uid).map(|old| self::told(&newest_before, old)).as_ref() != Some(&told) {
            events.push(progress(Subject::Slot(new.slot.clone()), &told.state, told.detail, told.done));
        }
    }
    events
}

fn resources(before: &HostReport, after: &HostReport, events: &mut Vec<EventKind>) {
    let networks = |report: &HostReport| -> BTreeSet<Subject> {
        report.networks.keys().cloned().map(Subject::Network).collect()
    };
    let volumes = |report: &HostReport| -> BTreeSet<Subject> {
        report.volumes.iter().cloned().map(Subject::Volume).collect()
    };
    for (old, new) in [(networks(before), networks(after)), (volumes(before), volumes(after))] {
        let gone = old.difference(&new).map(|subject| progress(subject.clone(), "removed", None, true));
        let come = new.difference(&old).map(|subject| progress(subject.clone(), "created", None, true));
        events.extend(gone.chain(come));
    }
}

fn progress(subject: Subject, state: &str, detail: Option<String>, done: bool) -> EventKind {
    EventKind::Progress { subject, state: state.to_owned(), detail, done }
}

#[derive(PartialEq, Eq)]
struct Told {
    state: String,
    detail: Option<String>,
    done: bool,
    /// Tells one run from the next, when the words are the same.
    starts: u32,
}

/// An instance's state in the words that people know from Docker.
fn told(newest: &Newest<'_>, instance: &InstanceReport) -> Told {
    let older = newest.get(&instance.slot).is_some_and(|made| *made > instance.created);
    let runs = instance.phase == Phase::Running;
    if !older && runs && instance.parting == Some(Parting::Drains) {
        return Told { state: "draining".to_owned(), detail: None, done: true, starts: instance.starts };
    }
    // One that still serves, or finishes what it has, is no news: its successor is.
    if older && !(runs && instance.parting.is_some()) {
        let gone = matches!(instance.phase, Phase::Running | Phase::Stopping);
        let state = if gone { "stopping" } else { "stopped" };
        return Told {
            state: state.to_owned(),
            detail: Some("it is replaced".to_owned()),
            done: false,
            starts: 0,
        };
    }
    let exit = || instance.exit.map(|exit| exit.to_string());
    let ended = if instance.exit.is_some_and(Exit::success) { None } else { exit() };
    let (state, detail, done) = match &instance.phase {
        Phase::Waiting(what) if instance.starts == 0 => ("created", Some(what.to_string()), false),
        Phase::Waiting(what) => ("waiting", Some(what.to_string()), false),
        Phase::Starting => ("starting", None, false),
        Phase::Running => match instance.health {
            Health::None => ("started", None, true),
            Health::Starting => ("started", Some("waiting for its health check".to_owned()), false),
            Health::Healthy => ("healthy", None, true),
            Health::Unhealthy => ("unhealthy", None, false),
        },
        Phase::Stopping => ("stopping", None, false),
        Phase::Exited => (ended.as_deref().unwrap_or("exited"), None, true),
        Phase::Restarting(_) => ("restarting", exit(), false),
        Phase::Failed(what) => ("failed", Some(what.clone()), true),
    };
    Told { state: state.to_owned(), detail, done, starts: instance.starts }
}

/// When the newest instance of each slot was made: what becomes of an older one is only half the story.
type Newest<'a> = BTreeMap<&'a Slot, WallTime>;

fn newest(report: &HostReport) -> Newest<'_> {
    let mut newest = Newest::new();
    for instance in report.instances.values() {
        let made = newest.entry(&instance.slot).or_default();
        *made = (*made).max(instance.created);
    }
    newest
}

/// The slot that a subject is about.
pub(super) fn slot(subject: &Subject) -> Option<&Slot> {
    match subject {
        Subject::Slot(slot) => Some(slot),
        _ => None,
    }
}
