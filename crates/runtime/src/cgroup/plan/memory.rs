//! Memory and swap.

use super::super::limits::{Ceiling, MemoryLimits};
use super::{CgroupError, Controller, Dialect, Need, Op, Planner, Target, invalid};

impl Planner<'_> {
    pub(super) fn memory(&mut self, from: &MemoryLimits, to: &MemoryLimits) -> Result<(), CgroupError> {
        self.memory_bounds(from, to)?;
        if let Some(reservation) = to.reservation
            && let Some(target) = self.wish(Controller::Memory, "memory.reservation", &reservation)
        {
            let op = match target.dialect {
                Dialect::V1 => ("memory.soft_limit_in_bytes", reservation.v1()),
                Dialect::V2 => ("memory.low", reservation.to_string()),
            };
            self.push(Op::wish("memory.reservation", target.dir.join(op.0), &op.1));
        }
        if let Some(swappiness) = to.swappiness {
            self.only_v1("memory.swappiness", "memory.swappiness", &swappiness.to_string());
        }
        // "Not disabled" is what version 2 always does.
        if let Some(disable) = to.oom_kill_disable
            && (disable
                || self.target(Controller::Memory).is_some_and(|target| target.dialect == Dialect::V1))
        {
            self.only_v1("memory.disableOOMKiller", "memory.oom_control", &u8::from(disable).to_string());
        }
        if let Some(tcp) = to.kernel_tcp {
            self.only_v1("memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", &tcp.v1());
        }
        Ok(())
    }

    fn memory_bounds(&mut self, from: &MemoryLimits, to: &MemoryLimits) -> Result<(), CgroupError> {
        let limit = to.limit.or(from.limit);
        // An unlimited group can't keep a bound on memory and swap together.
        let lifted = to.limit == Some(Ceiling::Max) && from.swap.is_some();
        let swap = to.swap.or(lifted.then_some(Ceiling::Max));
        if let Some(swap) = swap {
            check_swap(limit, swap)?;
        }
        if let (Some(Ceiling::At(bytes)), true) = (to.limit, to.check_before_update) {
            let target = self.need(Controller::Memory, "memory.limit", &bytes)?;
            let file = target.file("memory.usage_in_bytes", "memory.current");
            self.push(Op::RefuseIfAbove { key: "memory.limit", file, limit: bytes });
        }
        let mut ops = Vec::new();
        if let Some(bytes) = to.limit {
            ops.push(limit_op(&self.need(Controller::Memory, "memory.limit", &bytes)?, bytes));
        }
        // On version 2 the swap bound is a difference, so a new limit moves it as well.
        let total = swap.or(from.swap.filter(|_| to.limit.is_some()));
        if let (Some(total), Some(limit)) = (total, limit) {
            check_swap(Some(limit), total)?;
            let target = self.need(Controller::Memory, "memory.swap", &total)?;
            if swap.is_some() || target.dialect == Dialect::V2 {
                ops.push(swap_op(&target, limit, total));
            }
        }
        // Version 1 holds limit <= limit + swap at every step: the one that moves out of the way goes
        // first. (Version 2 doesn't care.)
        if to.limit > Some(from.swap.unwrap_or(Ceiling::Max)) {
            ops.reverse();
        }
        self.plan.ops.extend(ops);
        Ok(())
    }

    /// A preference that version 2 has no file for.
    fn only_v1(&mut self, key: &'static str, file: &str, value: &str) {
        let Some(target) = self.wish(Controller::Memory, key, &value) else { return };
        match target.dialect {
            Dialect::V1 => self.push(Op::wish(key, target.dir.join(file), &value)),
            Dialect::V2 => self.warn(key, &value, "cgroup version 2 has no such setting"),
        }
    }
}

fn check_swap(limit: Option<Ceiling>, swap: Ceiling) -> Result<(), CgroupError> {
    match limit {
        None => {
            Err(invalid("memory.swap", &swap, "it counts memory and swap, so memory.limit must be set too"))
        }
        Some(limit) if swap < limit => {
            let rule = format!("it counts memory and swap, so it can't be below memory.limit = {limit}");
            Err(invalid("memory.swap", &swap, rule))
        }
        Some(_) => Ok(()),
    }
}

fn limit_op(target: &Target, limit: Ceiling) -> Op {
    match target.dialect {
        Dialect::V1 => Op::write("memory.limit", target.dir.join("memory.limit_in_bytes"), &limit.v1()),
        Dialect::V2 => Op::write("memory.limit", target.dir.join("memory.max"), &limit),
    }
}

fn swap_op(target: &Target, limit: Ceiling, total: Ceiling) -> Op {
    let swap_only = match (total, limit) {
        (Ceiling::At(total), Ceiling::At(limit)) => Ceiling::At(total - limit),
        _ => Ceiling::Max,
    };
    let choice = match target.dialect {
        Dialect::V1 => (target.dir.join("memory.memsw.limit_in_bytes"), total.v1()),
        Dialect::V2 => (target.dir.join("memory.swap.max"), swap_only.to_string()),
    };
    // Without swap accounting nothing is bounded, which is what Max asks for.
    let need = if total == Ceiling::Max { Need::Wish } else { Need::Must };
    Op::Write { key: "memory.swap", need, choices: vec![choice] }
}
