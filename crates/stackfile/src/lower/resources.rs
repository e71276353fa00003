//! Limits: the old keys of a service and those under `deploy.resources`, which agree where both are given.

use super::attributes::{Attributes, int};
use crate::node::{Node, Value};
use hoist_model::{Resources, Ulimit};

pub(super) fn resources(at: &mut Attributes<'_, '_>) -> Resources {
    let unsigned = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    Resources {
        cpu_millis: millis(at.number("deploy.resources.limits.cpus").or_else(|| at.number("cpus"))),
        cpu_shares: unsigned(at.int("cpu_shares")),
        cpu_quota: at.int("cpu_quota"),
        cpu_period: unsigned(at.int("cpu_period")),
        cpuset: at.text("cpuset"),
        memory: either(at, "deploy.resources.limits.memory", "mem_limit"),
        memory_reservation: either(at, "deploy.resources.reservations.memory", "mem_reservation"),
        memory_swap: at.bytes("memswap_limit"),
        swappiness: at.size("mem_swappiness"),
        oom_kill_disable: at.flag("oom_kill_disable"),
        oom_score_adj: at.int("oom_score_adj").and_then(|value| i32::try_from(value).ok()),
        pids: at.int("deploy.resources.limits.pids").or_else(|| at.int("pids_limit")),
        shm_size: at.size("shm_size"),
        ulimits: at.map("ulimits").filter_map(|(name, node)| ulimit(name, node)).collect(),
        reserved_cpu_millis: millis(at.number("deploy.resources.reservations.cpus")),
    }
}

fn either(at: &mut Attributes<'_, '_>, new: &str, old: &str) -> Option<u64> {
    match at.get(new) {
        Some(_) => at.size(new),
        None => at.size(old),
    }
}

fn millis(cpus: Option<f64>) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped below zero")]
    cpus.map(|cpus| (cpus * 1000.0).round().max(0.0) as u64).filter(|millis| *millis > 0)
}

fn ulimit(name: &str, node: &Node) -> Option<Ulimit> {
    let (soft, hard) = match &node.value {
        Value::Map(map) => (map.get("soft").and_then(int)?, map.get("hard").and_then(int)?),
        _ => (int(node)?, int(node)?),
    };
    Some(Ulimit { name: name.to_owned(), soft, hard })
}
