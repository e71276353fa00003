//! How instances of a service take each other's place: `deploy.update_config.order`, `x-hoist`, and the ports that others
//! may expect.

use super::attributes::{Attributes, read_duration};
use crate::node::Node;
use crate::syntax::port;
use hoist_model::{Listener, OnChange, OnUnhealthy, Protocol, Rollout, UpdateOrder};
use std::time::Duration;

/// `x-hoist.drain: until-idle` waits for so long at most.
const UNTIL_IDLE: Duration = Duration::from_secs(60 * 60);

pub(super) fn update_order(at: &Attributes<'_, '_>) -> UpdateOrder {
    match at.text("deploy.update_config.order").as_deref() {
        Some("start-first") => UpdateOrder::StartFirst,
        Some("stop-first") => UpdateOrder::StopFirst,
        _ => UpdateOrder::Safe,
    }
}

pub(super) fn rollout(at: &mut Attributes<'_, '_>) -> Rollout {
    let usual = Rollout::default();
    Rollout {
        drain: drain(at).unwrap_or(usual.drain),
        drain_signal: at.text("x-hoist.drain-signal").filter(|signal| !signal.is_empty()),
        ready: duration(at, "x-hoist.ready").unwrap_or(usual.ready),
        shared_writes: at.flag("x-hoist.shared-writes"),
        hold: duration(at, "x-hoist.hold").unwrap_or(usual.hold),
    }
}

/// The form has checked the word.
pub(super) fn on_dependency_unhealthy(at: &Attributes<'_, '_>) -> OnUnhealthy {
    match at.text("x-hoist.on-dependency-unhealthy").as_deref() {
        Some("hold") => OnUnhealthy::Hold,
        Some("restart") => OnUnhealthy::Restart,
        _ => OnUnhealthy::Ignore,
    }
}

/// How long connections may go on: a time, or `until-idle` with one. What has none left never waits for either.
fn drain(at: &mut Attributes<'_, '_>) -> Option<Duration> {
    if at.text("x-hoist.drain").as_deref() == Some("until-idle") {
        return Some(UNTIL_IDLE);
    }
    let path = if at.get("x-hoist.drain.until-idle").is_some() {
        "x-hoist.drain.until-idle"
    } else {
        "x-hoist.drain"
    };
    duration(at, path)
}

/// `x-hoist.on-change`.
pub(super) fn on_change(at: &mut Attributes<'_, '_>) -> OnChange {
    let Some(text) = at.text("x-hoist.on-change") else { return OnChange::Recreate };
    match (text.as_str(), text.strip_prefix("signal:")) {
        ("recreate", _) => OnChange::Recreate,
        ("none", _) => OnChange::None,
        (_, Some(signal)) if !signal.is_empty() => OnChange::Signal(signal.to_owned()),
        _ => {
            let place = at.get("x-hoist.on-change").map_or(at.node.place(), Node::place);
            let message = format!("`x-hoist.on-change: {text}` is unknown: recreate, none, or signal:NAME");
            at.error("invalid-value", place, message);
            OnChange::Recreate
        }
    }
}

pub(super) fn duration(at: &mut Attributes<'_, '_>, path: &str) -> Option<Duration> {
    let node = at.get(path)?;
    let read = read_duration(node);
    if read.is_none() {
        let text = node.as_text().unwrap_or_default();
        at.error("invalid-value", node.place(), format!("`{path}: {text}` is no duration, such as 10s"));
    }
    read
}

/// `expose`. Other transports than TCP and UDP reach the service all the same, but nobody can see whether it listens.
pub(super) fn expose(at: &mut Attributes<'_, '_>) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for node in at.list("expose") {
        let text = node
            .as_text()
            .map_or_else(|| super::attributes::int(node).map(|n| n.to_string()), |t| Some(t.to_owned()));
        let Some(text) = text else { continue };
        match port::parse(&text) {
            Ok(ports) => listeners.extend(ports.iter().filter_map(listener)),
            Err(why) => at.warning("invalid-port", Node::place(node), format!("`expose`: {why}")),
        }
    }
    listeners
}

fn listener(port: &port::Port) -> Option<Listener> {
    let protocol = match port.protocol.as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    Some(Listener { port: port.target, protocol })
}
