//! When probes run and what they mean: Docker's rules for those that count, and early ones that can only succeed.

use std::time::Duration;

use hoist_model::{BootId, Health, HealthTest, Healthcheck, Moment, ProbeRecord, WallTime};
use hoist_planner::host::{Prober, unhealthy};
use proptest::prelude::*;

const LONG: Duration = Duration::from_secs(600);

fn at(ms: u64) -> Moment {
    Moment { boot: BootId("boot".to_owned()), since_boot: Duration::from_millis(ms) }
}

fn check(interval_ms: u64) -> Healthcheck {
    Healthcheck {
        test: HealthTest::Shell("true".to_owned()),
        interval: Duration::from_millis(interval_ms),
        ..Healthcheck::default()
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("tests take no centuries")
}

/// What became of a run: when each probe began, and each change of health.
#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    probes: Vec<u64>,
    changes: Vec<(u64, Health)>,
}

/// A program that passes from `passes_from` on; each probe takes `takes`.
fn run(check: &Healthcheck, passes_from: u64, takes: u64, until: Duration) -> Run {
    let mut prober = Prober::new(check.clone(), at(0), Health::None);
    let mut run = Run::default();
    let mut now = 0;
    loop {
        now = now.max(ms(prober.due().since_boot));
        if now >= ms(until) {
            return run;
        }
        let limit = ms(prober.timeout(&at(now)));
        let (took, passed) = if takes > limit { (limit, false) } else { (takes, now >= passes_from) };
        run.probes.push(now);
        if let Some(health) = prober.probed(passed, &at(now), &at(now + took)) {
            run.changes.push((now + took, health));
        }
        now += took;
    }
}

#[test]
fn a_service_that_is_ready_at_once_is_healthy_at_once() {
    let seen = run(&check(30_000), 0, 20, LONG);
    assert_eq!(seen.changes, [(270, Health::Healthy)]);
    assert_eq!(seen.probes[..3], [250, 30_270, 60_290], "from then on at the declared interval");
}

#[test]
fn early_probes_grow_apart_and_rest_after_dear_ones() {
    let cheap = run(&check(30_000), u64::MAX, 0, Duration::from_secs(20));
    assert_eq!(cheap.probes, [250, 625, 1187, 2030, 3295, 5193, 8040, 12311, 18718]);
    let dear = run(&check(30_000), u64::MAX, 500, Duration::from_secs(20));
    assert_eq!(dear.probes, [250, 5750, 11250, 16750], "ten times as long as it took");
}

#[test]
fn a_failure_of_an_early_probe_is_none() {
    let check = Healthcheck { retries: 1, ..check(10_000) };
    let seen = run(&check, u64::MAX, 0, Duration::from_secs(30));
    assert_eq!(seen.changes, [(10_000, Health::Unhealthy)]);
    assert_eq!(seen.probes.iter().filter(|at| **at > 10_000).collect::<Vec<_>>(), [&20_000]);
}

#[test]
fn an_early_probe_that_hangs_delays_nothing() {
    let check = Healthcheck { retries: 1, timeout: Duration::from_secs(30), ..check(1_000) };
    let prober = Prober::new(check.clone(), at(0), Health::None);
    assert_eq!(prober.timeout(&at(250)), Duration::from_millis(750));
    assert!(!prober.has_full_time(&at(250)) && prober.has_full_time(&at(1_000)));
    let seen = run(&check, 0, 40_000, Duration::from_secs(40));
    assert_eq!(seen.changes, [(31_000, Health::Unhealthy)], "as if there were no early ones");
}

#[test]
fn a_declared_start_interval_leaves_no_early_probes() {
    let check = Healthcheck {
        start_interval: Some(Duration::from_secs(2)),
        start_period: Duration::from_secs(5),
        ..check(10_000)
    };
    assert_eq!(
        run(&check, u64::MAX, 0, Duration::from_secs(30)).probes,
        [2_000, 4_000, 6_000, 16_000, 26_000]
    );
}

#[test]
fn a_probe_that_began_in_the_start_period_does_not_count() {
    let check = Healthcheck {
        start_interval: Some(Duration::from_secs(1)),
        start_period: Duration::from_millis(1_500),
        retries: 1,
        ..check(10_000)
    };
    // The first begins within the period and ends after it; Docker goes by its begin.
    assert_eq!(run(&check, u64::MAX, 800, Duration::from_secs(20)).changes, [(12_600, Health::Unhealthy)]);
}

#[test]
fn what_could_not_be_asked_says_nothing() {
    let mut prober = Prober::new(Healthcheck { retries: 1, ..check(30_000) }, at(0), Health::Healthy);
    assert_eq!(prober.due(), &at(30_000));
    prober.missed(&at(30_000));
    assert_eq!((prober.health(), prober.due()), (Health::Healthy, &at(31_000)));
}

#[test]
fn the_reason_is_one_plain_line() {
    let record = |exit_code, output: &str| ProbeRecord {
        start: WallTime(0),
        end: WallTime(0),
        exit_code,
        output: output.to_owned(),
    };
    let said = |exit_code, output: &str| unhealthy(Some(&record(exit_code, output)));
    assert_eq!(said(7, "\x1b[31mno\nroute \u{7}\n"), "is unhealthy: its check exits with 7: [31mno route");
    assert_eq!(said(1, "\n"), "is unhealthy: its check exits with 1 and says nothing");
    assert_eq!(said(-1, "took longer than 1s"), "is unhealthy: took longer than 1s");
    let long = said(1, &format!("{}the end", "x".repeat(5000)));
    assert!(long.ends_with("the end") && long.chars().count() < 400, "{long}");
    assert_eq!(unhealthy(None), "is unhealthy");
}

/// The counted probes alone, as Docker runs them, written apart.
fn docker(check: &Healthcheck, passes_from: u64, takes: u64, until: u64) -> Vec<(u64, Health)> {
    let (period, interval) = (ms(check.start_period), ms(check.interval));
    let (mut health, mut failures, mut changes) = (Health::Starting, 0, Vec::new());
    let mut now = 0;
    loop {
        let starting = |now| health == Health::Starting && now < period;
        now +=
            if starting(now) { ms(check.start_interval.unwrap_or(Duration::from_secs(5))) } else { interval };
        if now >= until {
            return changes;
        }
        let timeout = ms(check.timeout);
        let (took, passed) = if takes > timeout { (timeout, false) } else { (takes, now >= passes_from) };
        let before = health;
        if passed {
            (health, failures) = (Health::Healthy, 0);
        } else if !starting(now) {
            failures += 1;
            health = if failures >= check.retries { Health::Unhealthy } else { health };
        }
        now += took;
        if before != health {
            changes.push((now, health));
        }
    }
}

proptest! {
    /// With a declared `start_interval` all is as in Docker. Without one, an instance never gets unhealthy earlier or
    /// where it would not in Docker, and never healthy later.
    #[test]
    fn as_docker_but_sooner_healthy(
        interval in 1u64..60_000,
        timeout in 1u64..40_000,
        retries in 1u32..4,
        start_period in 0u64..60_000,
        start_interval in proptest::option::of(1u64..20_000),
        passes_from in 0u64..120_000,
        takes in 0u64..50_000,
    ) {
        let check = Healthcheck {
            timeout: Duration::from_millis(timeout),
            retries,
            start_period: Duration::from_millis(start_period),
            start_interval: start_interval.map(Duration::from_millis),
            ..check(interval)
        };
        let ours = run(&check, passes_from, takes, Duration::from_secs(300)).changes;
        let docker = docker(&check, passes_from, takes, 300_000);
        if start_interval.is_some() {
            prop_assert_eq!(&ours, &docker);
        }
        let first = |changes: &[(u64, Health)], wanted| {
            changes.iter().find(|(_, health)| *health == wanted).map_or(u64::MAX, |(at, _)| *at)
        };
        prop_assert!(first(&ours, Health::Healthy) <= first(&docker, Health::Healthy));
        let sick = first(&ours, Health::Unhealthy);
        prop_assert!(sick == u64::MAX || sick == first(&docker, Health::Unhealthy), "{ours:?} {docker:?}");
    }
}
