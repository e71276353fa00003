//! Device rules. Both versions get an allow list: what no rule matches is denied.

use super::super::devices::{DeviceKind, DeviceRule};
use super::{CgroupError, Controller, Dialect, Op, Planner, unenforceable};

impl Planner<'_> {
    pub(super) fn devices(&mut self, rules: &[DeviceRule]) -> Result<(), CgroupError> {
        if rules.is_empty() {
            return Ok(());
        }
        let target = self.need(Controller::Devices, "devices", &format!("{} rules", rules.len()))?;
        if target.dialect == Dialect::V2 {
            self.push(Op::FilterDevices { dir: target.dir, rules: rules.to_vec() });
            return Ok(());
        }
        for rule in v1_rules(rules)? {
            let file = target.dir.join(if rule.allow { "devices.allow" } else { "devices.deny" });
            self.push(Op::write("devices", file, &rule));
        }
        Ok(())
    }
}

/// The rules that have the same effect when version 1 reads them one after the other.
///
/// Its model is a default and exact exceptions to it, and it passes over what doesn't fit in silence, so
/// what doesn't fit is an error here.
fn v1_rules(rules: &[DeviceRule]) -> Result<Vec<DeviceRule>, CgroupError> {
    let last_total = rules.iter().rposition(DeviceRule::is_total);
    let (default, rest) = match last_total {
        Some(at) => (rules[at], &rules[at + 1..]),
        None => (DeviceRule::DENY_ALL, rules),
    };
    let mut exceptions: Vec<DeviceRule> = Vec::new();
    for rule in rest.iter().flat_map(each_kind) {
        if rule.allow != default.allow {
            exceptions.push(rule);
            continue;
        }
        let hit = exceptions.iter().filter(|earlier| overlap(earlier, &rule));
        if let Some(wider) = hit.into_iter().find(|earlier| !same_devices(earlier, &rule)) {
            let (rule, wider) = (verb(&rule), verb(wider));
            let why = format!("cgroup version 1 can't except it from the earlier {wider:?}");
            return Err(unenforceable("devices", &rule, why));
        }
        exceptions.push(rule);
    }
    Ok(std::iter::once(default).chain(exceptions).collect())
}

/// Version 1 reads "a" as everything, whatever numbers follow, so such a rule becomes two.
fn each_kind(rule: &DeviceRule) -> Vec<DeviceRule> {
    match rule.kind {
        DeviceKind::All => {
            [DeviceKind::Block, DeviceKind::Char].map(|kind| DeviceRule { kind, ..*rule }).to_vec()
        }
        DeviceKind::Block | DeviceKind::Char => vec![*rule],
    }
}

fn overlap(a: &DeviceRule, b: &DeviceRule) -> bool {
    let number = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
    a.allow != b.allow && a.kind == b.kind && number(a.major, b.major) && number(a.minor, b.minor)
}

fn same_devices(a: &DeviceRule, b: &DeviceRule) -> bool {
    (a.kind, a.major, a.minor) == (b.kind, b.major, b.minor)
}

fn verb(rule: &DeviceRule) -> String {
    format!("{} {rule}", if rule.allow { "allow" } else { "deny" })
}
