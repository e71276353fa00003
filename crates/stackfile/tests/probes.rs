//! Probes and pacing of restarts, as the planner gets them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use expect_test::expect;
use hoist_model::{HealthTest, NativeProbe, OnUnhealthy, RestartPolicy, Service};
use std::time::Duration;
use support::{lines, lower_text};

fn web(rest: &str) -> Result<Service, String> {
    let text = format!("services:\n  web:\n    image: x\n{rest}");
    match lower_text(&text) {
        Ok(lowered) => {
            assert_eq!(lines(&lowered.warnings), "");
            Ok(lowered.stack.services["web"].clone())
        }
        Err(findings) => Err(lines(&findings)),
    }
}

#[test]
fn a_readiness_probe_is_the_health_check_and_liveness_stands_beside() {
    let plain = web(
        "    x-hoist: { probe: { http: { port: 80, path: /up, status: [200, 300-304] }, interval: 2s, restart: true } }\n",
    );
    let plain = plain.unwrap();
    let check = plain.healthcheck.unwrap();
    let status = vec![(200, 200), (300, 304)];
    let http = NativeProbe::Http { port: 80, path: "/up".to_owned(), headers: Vec::new(), status };
    assert_eq!(check.test, HealthTest::Native(http));
    assert_eq!(
        (check.interval, check.timeout, check.retries),
        (Duration::from_secs(2), Duration::from_secs(1), 3)
    );
    assert!(plain.liveness.restart && plain.liveness.check.is_none());

    let both = "    healthcheck: { test: [CMD, \"true\"] }\n    x-hoist: { probe: { live: { tcp: 80, retries: 5 } } }\n";
    let both = web(both).unwrap();
    assert_eq!(both.healthcheck.unwrap().test, HealthTest::Exec(vec!["true".to_owned()]));
    let live = both.liveness.check.unwrap();
    assert_eq!((live.test, live.retries), (HealthTest::Native(NativeProbe::Tcp { port: 80 }), 5));
}

#[test]
fn what_a_probe_cannot_be_is_an_error_at_its_line() {
    let wrong = [
        "    x-hoist: { probe: { interval: 1s } }\n",
        "    x-hoist: { probe: { ready: { interval: 1s } } }\n",
        "    x-hoist: { probe: { tcp: 0 } }\n",
        "    x-hoist: { probe: { grpc: 80 } }\n",
        "    x-hoist: { probe: { http: { port: 80, status: 99 } } }\n",
        "    x-hoist: { probe: { unix: tmp/x } }\n",
        "    x-hoist: { probe: { tpc: 80 } }\n",
        "    x-hoist: { probe: { tcp: 80, live: { tcp: 80 } } }\n",
        "    healthcheck: { test: x }\n    x-hoist: { probe: { tcp: 80 } }\n",
        "    network_mode: none\n    x-hoist: { probe: { tcp: 80 } }\n",
    ];
    let found: String = wrong.map(|text| web(text).unwrap_err()).concat();
    expect![[r#"
        /p/stack.yaml:4:16: error[invalid-probe]: `services.web`: a probe has one of http, tcp, unix, listen
        /p/stack.yaml:4:25: error[invalid-probe]: `services.web`: a probe has one of http, tcp, unix, listen
        /p/stack.yaml:4:25: error[invalid-probe]: `services.web`: a probe needs a port, a number from 1 to 65535
        /p/stack.yaml:4:25: error[not-supported-yet]: `services.web`: probes by `grpc` are not there yet: use `tcp` or `listen`, or a `healthcheck` with a program of the image
        /p/stack.yaml:4:43: error[invalid-probe]: `services.web`: `status: 99` is no status, nor a range such as 200-299
        /p/stack.yaml:4:25: error[invalid-probe]: `services.web`: `unix` is the absolute path of a socket inside the instance
        /p/stack.yaml:4:25: error[unknown-key]: unknown key `tpc` in services.web.x-hoist.probe
        /p/stack.yaml:4:16: error[exclusive-keys]: `services.web`: a probe stands either here or under `ready` and `live`
        /p/stack.yaml:5:16: error[exclusive-keys]: `services.web`: `healthcheck` and a readiness probe exclude each other: leave one out
        /p/stack.yaml:5:25: error[invalid-probe]: `services.web`: a probe by `tcp` needs a network of the service's own: declare it on the service that has it, or use `listen` or `unix`
    "#]].assert_eq(&found);
}

#[test]
fn restarts_are_paced_as_declared() {
    let text =
        "    deploy: { restart_policy: { condition: any, delay: 5s, max_attempts: 3, window: 120s } }\n";
    let service = web(text).unwrap();
    assert_eq!(service.restart, RestartPolicy::Always);
    let pacing = service.restart_pacing;
    let seconds = Duration::from_secs;
    assert_eq!((pacing.delay, pacing.window, pacing.max), (Some(seconds(5)), Some(seconds(120)), Some(3)));
}

#[test]
fn what_an_unhealthy_dependency_means_is_one_of_three_words() {
    let of = |word: &str| web(&format!("    x-hoist: {{ on-dependency-unhealthy: {word} }}\n"));
    let read = ["hold", "restart", "ignore"].map(|word| of(word).unwrap().on_dependency_unhealthy);
    assert_eq!(read, [OnUnhealthy::Hold, OnUnhealthy::Restart, OnUnhealthy::Ignore]);
    assert!(of("stop").unwrap_err().contains("on-dependency-unhealthy"));
}
