//! What failed instances said last, and why checks have not passed: told below the error that names them.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use hoist_model::{Exit, Failure, Health, Outcome, Phase, ServiceName, Subject, Verdict};
use hoist_wire::{Client, ClusterApi, InstanceStatus, LogsRequest, StackStatus};

use crate::out::errln;
use crate::project::Target;

/// Lines of each instance, and characters of each line.
const LINES: u64 = 5;
const WIDTH: usize = 300;

/// Tells the last lines of the instances that a failure is about, and of failed ones that they depend on.
pub(crate) async fn tell(agent: &Client, target: &Target, verdict: &Verdict) {
    let Outcome::Failed(failures) = &verdict.outcome else { return };
    let Ok(status) = agent.stack(target.id.clone()).await else { return };
    for row in status.instances.iter().filter(|row| concerns(&status, failures, row)) {
        let request = LogsRequest {
            instances: vec![row.uid],
            follow: false,
            tail: Some(LINES),
            since: None,
            until: None,
            ends_after: None,
        };
        let Ok(lines) = agent.logs(request).await else { continue };
        let lines: Vec<_> = lines.collect().await;
        let lines: Vec<String> =
            lines.into_iter().flatten().map(|line| plain(&String::from_utf8_lossy(&line.line))).collect();
        if !lines.is_empty() {
            errln!("  {} said last:", row.report.slot.short());
            lines.iter().for_each(|line| errln!("    {line}"));
        }
    }
}

/// Tells of every check that has not passed why it fails so far.
pub(crate) async fn tell_of_checks(agent: &Client, target: &Target) {
    let Ok(status) = agent.stack(target.id.clone()).await else { return };
    let checked = |row: &&InstanceStatus| matches!(row.report.health, Health::Starting | Health::Unhealthy);
    for row in status.instances.iter().filter(checked) {
        let Some(probe) = row.probes.last().filter(|probe| !probe.passed()) else { continue };
        let words: Vec<&str> = probe.output.split_whitespace().collect();
        let name = row.report.slot.short();
        errln!("  the check of {name} ends with {}: {}", probe.exit_code, plain(&words.join(" ")));
    }
}

fn concerns(status: &StackStatus, failures: &[Failure], row: &InstanceStatus) -> bool {
    let slots = || {
        failures.iter().filter_map(|failure| match &failure.subject {
            Subject::Slot(slot) => Some(slot),
            _ => None,
        })
    };
    // What could not be started has said nothing; what its log has is of an earlier run.
    let ran = row.report.starts > 0 && !matches!(row.report.phase, Phase::Failed(_));
    let own = ran && slots().any(|slot| *slot == row.report.slot);
    own || failed(row) && slots().any(|slot| depends(status, &slot.service, &row.report.slot.service))
}

fn failed(row: &InstanceStatus) -> bool {
    match row.report.phase {
        Phase::Exited => row.report.exit.is_some_and(|exit| !Exit::success(exit)),
        Phase::Restarting(_) => true,
        _ => row.report.health == Health::Unhealthy,
    }
}

/// Whether `service` depends on `other`, directly or through others.
fn depends(status: &StackStatus, service: &ServiceName, other: &ServiceName) -> bool {
    let Some(newest) = status.wanted.revisions.values().next_back() else { return false };
    let mut seen = BTreeSet::new();
    let mut next = vec![service];
    while let Some(name) = next.pop() {
        let needs = newest.stack.services.get(name).into_iter().flat_map(|service| service.depends_on.keys());
        for need in needs {
            if seen.insert(need) {
                next.push(need);
            }
        }
    }
    seen.contains(other)
}

/// Nothing that could act on a terminal, and not too much.
fn plain(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c });
    let mut line: String = visible.clone().take(WIDTH).collect();
    if visible.count() > WIDTH {
        line.push('…');
    }
    line
}
