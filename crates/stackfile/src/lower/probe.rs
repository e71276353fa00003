//! `x-hoist.probe`: checks without a program inside. The readiness probe is the health check of its service; the
//! liveness probe says when an instance is started anew.

use super::attributes::{Attributes, int, read_duration};
use crate::node::{Node, Value};
use hoist_model::{HealthTest, Healthcheck, Liveness, NativeProbe, NetworkMode};
use std::time::Duration;

const KINDS: [&str; 4] = ["http", "tcp", "unix", "listen"];
/// Known elsewhere, and refused with what to do instead.
const REFUSED: [&str; 3] = ["https", "grpc", "notify"];
/// Statuses that pass where none are declared, as with Kubernetes.
const PASSES: (u16, u16) = (200, 399);
/// Kubernetes's numbers where none are declared.
const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(1);

/// The health check with the readiness probe in its place, if there is one; and the liveness probe.
pub(super) fn probes(
    at: &mut Attributes<'_, '_>,
    declared: Option<Healthcheck>,
    mode: &NetworkMode,
) -> (Option<Healthcheck>, Liveness) {
    let Some(node) = at.get("x-hoist.probe") else { return (declared, Liveness::default()) };
    let (mut ready, live) = (node.get("ready"), node.get("live"));
    if kind(node).is_some() {
        if ready.or(live).is_some() {
            at.error(
                "exclusive-keys",
                node.place(),
                "a probe stands either here or under `ready` and `live`",
            );
        }
        ready = Some(node);
    }
    let restart = flag(node, "restart");
    if ready.or(live).is_none() && !restart {
        // Whatever it says, it says nothing to look at.
        ready = Some(node);
    }
    let own = declared
        .as_ref()
        .is_some_and(|check| !matches!(check.test, HealthTest::Disabled | HealthTest::Image));
    if let Some(ready) = ready.filter(|_| own) {
        let what = "`healthcheck` and a readiness probe exclude each other: leave one out";
        at.error("exclusive-keys", ready.place(), what);
    }
    let check = live.and_then(|live| probe(at, live, mode));
    let ready = ready.and_then(|ready| probe(at, ready, mode));
    if restart && ready.is_none() && declared.is_none() && check.is_none() {
        at.error(
            "no-effect",
            node.place(),
            "`restart` needs a probe or a `healthcheck` that says what is unhealthy",
        );
    }
    (ready.or(declared), Liveness { check, restart })
}

fn kind(node: &Node) -> Option<(&'static str, &Node)> {
    KINDS.iter().chain(&REFUSED).find_map(|kind| Some((*kind, node.get(kind)?)))
}

fn flag(node: &Node, key: &str) -> bool {
    node.get(key).is_some_and(|node| node.value == Value::Bool(true) || node.as_text() == Some("true"))
}

fn probe(at: &mut Attributes<'_, '_>, node: &Node, mode: &NetworkMode) -> Option<Healthcheck> {
    let Some((kind, what)) = kind(node) else {
        at.error("invalid-probe", node.place(), format!("a probe has one of {}", KINDS.join(", ")));
        return None;
    };
    let test = native(at, kind, what)?;
    let reached = matches!(mode, NetworkMode::Own | NetworkMode::Host);
    if matches!(test, NativeProbe::Http { .. } | NativeProbe::Tcp { .. }) && !reached {
        let why = format!(
            "a probe by `{kind}` needs a network of the service's own: declare it on the service that has it, or use `listen` or `unix`"
        );
        at.error("invalid-probe", what.place(), why);
        return None;
    }
    let retries = node.get("retries").and_then(number).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    Some(Healthcheck {
        test: HealthTest::Native(test),
        interval: time(at, node, "interval").filter(|time| !time.is_zero()).unwrap_or(INTERVAL),
        timeout: time(at, node, "timeout").filter(|time| !time.is_zero()).unwrap_or(TIMEOUT),
        retries: retries.unwrap_or(3),
        start_period: time(at, node, "start_period").unwrap_or_default(),
        start_interval: None,
    })
}

fn native(at: &mut Attributes<'_, '_>, kind: &'static str, node: &Node) -> Option<NativeProbe> {
    match kind {
        "http" => http(at, node),
        "tcp" => Some(NativeProbe::Tcp { port: port(at, node)? }),
        "listen" => Some(NativeProbe::Listen { port: port(at, node)? }),
        "unix" => {
            let path = node.as_text().filter(|path| path.starts_with('/'));
            if path.is_none() {
                at.error(
                    "invalid-probe",
                    node.place(),
                    "`unix` is the absolute path of a socket inside the instance",
                );
            }
            Some(NativeProbe::Unix { path: path?.to_owned() })
        }
        _ => {
            let what = format!(
                "probes by `{kind}` are not there yet: use `tcp` or `listen`, or a `healthcheck` with a program of the image"
            );
            at.error("not-supported-yet", node.place(), what);
            None
        }
    }
}

fn http(at: &mut Attributes<'_, '_>, node: &Node) -> Option<NativeProbe> {
    let path = node.get("path").and_then(Node::as_text).unwrap_or("/");
    let plain = |text: &str| !text.contains(|c: char| c.is_control());
    if !path.starts_with('/') || !plain(path) || path.contains(' ') {
        at.error("invalid-probe", node.place(), format!("`path: {path}` begins with no `/`, or has spaces"));
        return None;
    }
    let mut headers = Vec::new();
    for (name, value) in node.get("headers").and_then(Node::as_map).into_iter().flatten() {
        let text = crate::scalar::spell(&value.value);
        if !plain(&text) || !plain(name) || name.contains([' ', ':']) {
            at.error("invalid-probe", value.place(), format!("the header `{name}` is none"));
            return None;
        }
        headers.push((name.clone(), text));
    }
    let status = match node.get("status") {
        Some(status) => statuses(at, status)?,
        None => vec![PASSES],
    };
    Some(NativeProbe::Http { port: port(at, node)?, path: path.to_owned(), headers, status })
}

/// `200`, `200-299`, or a list of them.
fn statuses(at: &mut Attributes<'_, '_>, node: &Node) -> Option<Vec<(u16, u16)>> {
    let one = std::slice::from_ref(node);
    let mut ranges = Vec::new();
    for item in node.as_list().unwrap_or(one) {
        let text = crate::scalar::spell(&item.value);
        let (from, to) = text.split_once('-').unwrap_or((&text, &text));
        let read = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..600).contains(status));
        let (Some(from), Some(to)) = (read(from), read(to)) else {
            at.error(
                "invalid-probe",
                item.place(),
                format!("`status: {text}` is no status, nor a range such as 200-299"),
            );
            return None;
        };
        ranges.push((from, to));
    }
    Some(ranges)
}

/// The port of a probe, given alone or as `port`.
fn port(at: &mut Attributes<'_, '_>, node: &Node) -> Option<u16> {
    let given = node.get("port").unwrap_or(node);
    let port = number(given).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    if port.is_none() {
        at.error("invalid-probe", given.place(), "a probe needs a port, a number from 1 to 65535");
    }
    port
}

fn number(node: &Node) -> Option<i64> {
    int(node).or_else(|| node.as_text()?.parse().ok())
}

fn time(at: &mut Attributes<'_, '_>, node: &Node, key: &str) -> Option<Duration> {
    let given = node.get(key)?;
    let read = read_duration(given);
    if read.is_none() {
        let text = crate::scalar::spell(&given.value);
        at.error("invalid-value", given.place(), format!("`{key}: {text}` is no duration, such as 10s"));
    }
    read
}
