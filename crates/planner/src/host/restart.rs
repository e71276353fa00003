//! Restart policies: whether an instance that doesn't run should, and when. Docker's rules; `docs/restart-policies.md`
//! has the table and the deviations.

use std::time::Duration;

use hoist_model::{InstanceSpec, Moment, RestartPacing, RestartPolicy, WantedRun};

use super::{EndedBy, Instance, Life};

/// The pause before the first restart.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run as long as this begins the pauses anew.
const STABLE: Duration = Duration::from_secs(10);

/// What should become of an instance that doesn't run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// Stay as it is.
    Stay,
    /// Start now.
    Now(StartCause),
    /// Start then, by the restart policy.
    At(Moment),
}

/// Why an instance starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartCause {
    /// It never ran.
    First,
    /// A person's `up` or `start`.
    Start,
    /// A person's `restart`.
    Restart,
    /// The restart policy, at the start of the daemon.
    Daemon,
    /// The restart policy, after the instance ended.
    Policy,
    /// It was ended because the network that it shares is another now.
    Network,
}

impl StartCause {
    /// As a sentence part.
    #[must_use]
    pub(super) fn text(self) -> &'static str {
        match self {
            StartCause::First => "not started yet",
            StartCause::Start => "a person asked for it to start",
            StartCause::Restart => "a person asked for a restart",
            StartCause::Daemon => "the restart policy says so at the start of the daemon",
            StartCause::Policy => "the restart policy says so",
            StartCause::Network => "the network that it shares is another now",
        }
    }
}

/// Whether an instance should run at all, policy aside. A person's stop holds, but `always` runs again in a later epoch
/// if it ever ran.
#[must_use]
pub(super) fn wanted(spec: &InstanceSpec, instance: Option<&Instance>, epoch: u64) -> bool {
    match spec.run {
        WantedRun::Running => true,
        WantedRun::Stopped { epoch: stopped } => {
            let ran = instance.is_some_and(|instance| instance.starts > 0);
            spec.restart == RestartPolicy::Always && epoch > stopped && ran
        }
    }
}

/// What should become of an instance that is wanted and doesn't run. The first rule that matches decides.
#[must_use]
pub(super) fn due(
    spec: &InstanceSpec,
    pacing: RestartPacing,
    instance: &Instance,
    epoch: u64,
    now: &Moment,
) -> Due {
    let asked = spec.start_nonce > instance.start_nonce;
    let restart_asked = spec.restart_nonce > instance.restart_nonce;
    match &instance.life {
        Life::Making | Life::Launching | Life::Running { .. } => Due::Stay,
        // A person's word goes before everything.
        Life::Created | Life::Ended { .. } if restart_asked => Due::Now(StartCause::Restart),
        Life::Created if instance.starts > 0 && asked => Due::Now(StartCause::Start),
        // A launch that failed is tried again, or not, as its fault says; see `plan`.
        Life::Created => Due::Now(StartCause::First),
        Life::Ended { .. } if asked => Due::Now(StartCause::Start),
        // It was told to end so that it starts again, whatever the policy says of ends.
        Life::Ended { at, .. } if instance.unfit => after_pause(at.as_ref(), pacing, instance, now),
        Life::Ended { epoch: ended, .. } if *ended < epoch => at_daemon_start(spec, pacing, instance),
        // We ended it on purpose: only a person starts it again in this epoch.
        Life::Ended { by: EndedBy::Hoist, .. } => Due::Stay,
        Life::Ended { at, .. } if applies(spec.restart, pacing, instance) => {
            after_pause(at.as_ref(), pacing, instance, now)
        }
        Life::Ended { .. } => Due::Stay,
    }
}

/// A pause that is declared is the same each time.
fn after_pause(at: Option<&Moment>, pacing: RestartPacing, instance: &Instance, now: &Moment) -> Due {
    let due = at.unwrap_or(now).after(pacing.delay.unwrap_or(instance.pause));
    if due.boot != now.boot || due.since_boot <= now.since_boot {
        Due::Now(StartCause::Policy)
    } else {
        Due::At(due)
    }
}

/// Restarts that count against a maximum: a run as long as the window has succeeded, and counting begins anew.
#[must_use]
pub(super) fn counted(pacing: RestartPacing, instance: &Instance) -> u32 {
    let succeeded = pacing.window.is_some_and(|window| instance.ran >= window);
    if succeeded { 0 } else { instance.restarts }
}

fn at_daemon_start(spec: &InstanceSpec, pacing: RestartPacing, instance: &Instance) -> Due {
    if applies(spec.restart, pacing, instance) { Due::Now(StartCause::Daemon) } else { Due::Stay }
}

/// What the policy says of the last end. A person's stop is dealt with in [`wanted`].
fn applies(policy: RestartPolicy, pacing: RestartPacing, instance: &Instance) -> bool {
    let counted = counted(pacing, instance);
    let failed = instance.exit.is_none_or(|exit| !exit.success());
    match policy {
        RestartPolicy::No => false,
        // As in Docker, a maximum of 0 is none.
        RestartPolicy::OnFailure { max: None | Some(0) } => failed,
        RestartPolicy::OnFailure { max: Some(max) } => failed && counted < max,
        RestartPolicy::UnlessStopped | RestartPolicy::Always => pacing.max.is_none_or(|max| counted < max),
    }
}

/// The pause before the next restart, after a run of `ran` that came after a pause of `last` (zero: the first).
#[must_use]
pub(super) fn pause(last: Duration, ran: Duration) -> Duration {
    if last.is_zero() || ran >= STABLE { FIRST_PAUSE } else { (last * 2).min(LONGEST_PAUSE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_minute_and_begin_anew_after_ten_seconds() {
        let mut seen = Vec::new();
        let mut last = Duration::ZERO;
        for _ in 0..12 {
            last = pause(last, Duration::from_secs(1));
            seen.push(last.as_millis());
        }
        assert_eq!(seen, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(pause(last, Duration::from_secs(10)), FIRST_PAUSE);
    }
}
