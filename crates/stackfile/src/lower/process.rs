//! What runs in an instance, and how it is watched and stopped.

use super::attributes::{Attributes, int, read_duration};
use crate::node::{Node, Value};
use crate::source::Span;
use crate::syntax::{bytes, duration};
use crate::trail::Action;
use hoist_model::{
    Condition, EnvValue, HealthTest, Healthcheck, LogPolicy, PullPolicy, RestartPacing, RestartPolicy,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// `stop_grace_period` where nothing is said.
pub(super) const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// Parts of a variable's name that mark its value as sensitive.
const SENSITIVE: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "APIKEY",
    "API_KEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
    "CREDENTIAL",
    "AUTH_KEY",
    "ENCRYPTION_KEY",
    "SIGNING_KEY",
];

/// Whether a variable's name says that its value should not be shown.
#[must_use]
pub(crate) fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    // `..._FILE` names a file that holds the secret.
    !name.ends_with("_FILE")
        && (SENSITIVE.iter().any(|part| name.contains(part)) || name.ends_with("_PASS") || name == "PASS")
}

pub(super) fn environment(at: &Attributes<'_, '_>) -> BTreeMap<String, EnvValue> {
    let values = at.map("environment").filter_map(|(name, node)| {
        let value = node.as_text()?.to_owned();
        Some((name.clone(), EnvValue { sensitive: is_sensitive(name), value }))
    });
    values.collect()
}

pub(super) fn replicas(at: &Attributes<'_, '_>) -> u32 {
    let count = at.int("scale").or_else(|| at.int("deploy.replicas")).unwrap_or(1);
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(super) fn capabilities(at: &Attributes<'_, '_>, key: &str) -> Vec<String> {
    let bare = |name: String| {
        let name = name.to_ascii_uppercase();
        name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name)
    };
    at.texts(key).into_iter().map(bare).collect()
}

pub(super) fn condition(text: Option<&str>) -> Condition {
    match text {
        Some("service_healthy") => Condition::ServiceHealthy,
        Some("service_completed_successfully") => Condition::ServiceCompletedSuccessfully,
        _ => Condition::ServiceStarted,
    }
}

pub(super) fn healthcheck(at: &mut Attributes<'_, '_>) -> Option<Healthcheck> {
    let check = at.get("healthcheck")?;
    let words = at.texts("healthcheck.test");
    let test = match words.split_first() {
        _ if at.flag("healthcheck.disable") => HealthTest::Disabled,
        None => HealthTest::Image,
        Some((first, _)) if first == "NONE" => HealthTest::Disabled,
        Some((first, rest)) if first == "CMD-SHELL" => HealthTest::Shell(rest.join(" ")),
        Some((_, [])) => {
            at.error("invalid-healthcheck", check.place(), "the health check has no command");
            HealthTest::Disabled
        }
        Some((_, rest)) => HealthTest::Exec(rest.to_vec()),
    };
    let default = Healthcheck::default();
    let given = |key: &str| check.get(key).and_then(read_duration).filter(|time| !time.is_zero());
    let time = |key: &str, default: Duration| given(key).unwrap_or(default);
    let retries = check.get("retries").and_then(int).and_then(|count| u32::try_from(count).ok());
    Some(Healthcheck {
        test,
        interval: time("interval", default.interval),
        timeout: time("timeout", default.timeout),
        retries: retries.filter(|count| *count > 0).unwrap_or(default.retries),
        start_period: time("start_period", default.start_period),
        start_interval: given("start_interval"),
    })
}

/// `restart`, else `deploy.restart_policy`, in Docker's words.
pub(super) fn restart(at: &mut Attributes<'_, '_>) -> RestartPolicy {
    if let Some(node) = at.get("restart") {
        let text = node.as_text().unwrap_or_default();
        let (policy, count) = match text.split_once(':') {
            Some((policy, count)) => (policy, Some(count)),
            None => (text, None),
        };
        let max = count.map(str::parse::<u32>);
        return match (policy, max) {
            ("no" | "", None) => RestartPolicy::No,
            ("always", None) => RestartPolicy::Always,
            ("unless-stopped", None) => RestartPolicy::UnlessStopped,
            ("on-failure", None) => RestartPolicy::OnFailure { max: None },
            ("on-failure", Some(Ok(max))) => RestartPolicy::OnFailure { max: (max > 0).then_some(max) },
            _ => {
                let message = format!("`restart: {text}` is unknown");
                at.error(
                    "invalid-value",
                    node.span,
                    message + ": no, always, on-failure[:N] or unless-stopped",
                );
                RestartPolicy::No
            }
        };
    }
    let Some(policy) = at.get("deploy.restart_policy") else { return RestartPolicy::No };
    let max = at.int("deploy.restart_policy.max_attempts").and_then(|max| u32::try_from(max).ok());
    match policy.get("condition").and_then(Node::as_text) {
        Some("none") => RestartPolicy::No,
        Some("on-failure") => RestartPolicy::OnFailure { max: max.filter(|max| *max > 0) },
        Some("unless-stopped") => RestartPolicy::UnlessStopped,
        Some("any" | "always") | None => RestartPolicy::Always,
        Some(other) => {
            let place = policy.get("condition").map_or(Span::NONE, |node| node.span);
            at.error(
                "invalid-value",
                place,
                format!("`condition: {other}` is unknown: none, on-failure or any"),
            );
            RestartPolicy::No
        }
    }
}

/// What `deploy.restart_policy` says beside its condition. `restart` alone has nothing of it.
pub(super) fn restart_pacing(at: &mut Attributes<'_, '_>) -> RestartPacing {
    if at.get("restart").is_some() {
        return RestartPacing::default();
    }
    let max = at.int("deploy.restart_policy.max_attempts").and_then(|max| u32::try_from(max).ok());
    let time = |key: &str| at.duration(key).filter(|time| !time.is_zero());
    RestartPacing {
        delay: time("deploy.restart_policy.delay"),
        window: time("deploy.restart_policy.window"),
        max: max.filter(|max| *max > 0),
    }
}

pub(super) fn pull_policy(at: &mut Attributes<'_, '_>) -> PullPolicy {
    const DAY: u64 = 24 * 60 * 60;
    let Some(node) = at.get("pull_policy") else {
        // What is built under a name of its own is nowhere to be pulled.
        let own = at.get("build").is_some() && at.get("image").is_none();
        return if own { PullPolicy::Build } else { PullPolicy::Missing };
    };
    match node.as_text().unwrap_or_default() {
        "always" => PullPolicy::Always,
        "never" => PullPolicy::Never,
        "build" => PullPolicy::Build,
        "daily" => PullPolicy::Every(DAY),
        "weekly" => PullPolicy::Every(7 * DAY),
        "missing" | "if_not_present" => PullPolicy::Missing,
        "refresh" => refresh(at),
        text => match text.strip_prefix("every_").map(duration::parse) {
            Some(Ok(nanoseconds)) => PullPolicy::Every(nanoseconds.unsigned_abs() / 1_000_000_000),
            _ => {
                at.error("invalid-value", node.span, format!("`pull_policy: {text}` is unknown"));
                PullPolicy::Missing
            }
        },
    }
}

/// `pull_policy: refresh`: when `pull_refresh_after` has passed, at each `up` without it.
fn refresh(at: &mut Attributes<'_, '_>) -> PullPolicy {
    let Some(node) = at.get("pull_refresh_after") else { return PullPolicy::Always };
    match duration::parse(node.as_text().unwrap_or_default()) {
        Ok(nanoseconds) => PullPolicy::Every(nanoseconds.unsigned_abs() / 1_000_000_000),
        Err(_) => {
            at.error(
                "invalid-value",
                node.span,
                "`pull_refresh_after` is not a duration, such as 12h".to_owned(),
            );
            PullPolicy::Always
        }
    }
}

/// Sizes of Docker's `json-file` and `local` drivers; `none` keeps nothing.
pub(super) fn logs(at: &mut Attributes<'_, '_>) -> LogPolicy {
    let mut policy = LogPolicy::default();
    let Some(logging) = at.get("logging") else { return policy };
    let driver = logging.get("driver").and_then(Node::as_text).unwrap_or("json-file");
    match driver {
        "none" => policy.disabled = true,
        "json-file" | "local" => {}
        other => {
            let place = logging.get("driver").map_or(Span::NONE, |node| node.span);
            let message = format!("the log driver `{other}` has no effect: Hoist keeps logs itself");
            at.warning("no-effect", place, message);
            return policy;
        }
    }
    for (name, node) in at.map("logging.options") {
        let text = node.as_text().unwrap_or_default();
        match name.as_str() {
            "max-size" => match bytes::parse(text).ok().and_then(|size| u64::try_from(size).ok()) {
                Some(size) => policy.max_size = Some(size),
                None if text == "-1" => policy.max_size = None,
                None => at.error("invalid-value", node.span, format!("`max-size: {text}` is not a size")),
            },
            "max-file" => match text.parse() {
                Ok(count) => policy.max_files = Some(count),
                Err(_) => at.error("invalid-value", node.span, format!("`max-file: {text}` is not a number")),
            },
            other => at.warning("no-effect", node.place(), format!("the log option `{other}` has no effect")),
        }
    }
    policy
}

/// Whether a value was written by a person, and not filled in.
pub(super) fn is_written(node: &Node) -> bool {
    node.span.is_some() && node.trail.steps().next().is_none_or(|step| step.action != Action::Defaulted)
        || matches!(&node.value, Value::Map(map) if map.values().any(is_written))
}
