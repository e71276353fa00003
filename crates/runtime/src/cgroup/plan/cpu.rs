//! CPU time, shares and placement.

use super::super::convert::cpu_weight;
use super::super::limits::{Ceiling, CpuLimits};
use super::{CgroupError, Controller, Dialect, Op, Planner, invalid, unenforceable};

/// The kernel's bounds (kernel/sched/core.c): a period of 1 ms to 1 s, a quota of at least 1 ms.
const PERIODS: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;
const LEAST_QUOTA: u64 = 1_000;
const DEFAULT_PERIOD: u64 = 100_000;

impl Planner<'_> {
    pub(super) fn cpu(&mut self, from: &CpuLimits, to: &CpuLimits) -> Result<(), CgroupError> {
        self.bandwidth(from, to)?;
        if let Some(shares) = to.shares
            && let Some(target) = self.wish(Controller::Cpu, "cpu.shares", &shares)
        {
            let value = if target.dialect == Dialect::V1 { shares } else { cpu_weight(shares) };
            self.push(Op::wish("cpu.shares", target.file("cpu.shares", "cpu.weight"), &value));
        }
        if let Some(idle) = to.idle
            && let Some(target) = self.wish(Controller::Cpu, "cpu.idle", &idle)
        {
            // Last: an idle group's weight can't be written.
            self.push(Op::wish("cpu.idle", target.dir.join("cpu.idle"), &u8::from(idle)));
        }
        self.realtime(to)
    }

    fn bandwidth(&mut self, from: &CpuLimits, to: &CpuLimits) -> Result<(), CgroupError> {
        if to.quota_usec.is_some() || to.period_usec.is_some() {
            let quota = to.quota_usec.or(from.quota_usec).unwrap_or(Ceiling::Max);
            let period = to.period_usec.or(from.period_usec).unwrap_or(DEFAULT_PERIOD);
            check_bandwidth(quota, period)?;
            let target = self.need(Controller::Cpu, "cpu.quota", &format!("{quota} in {period} µs"))?;
            if target.dialect == Dialect::V1 {
                self.push(Op::write("cpu.period", target.dir.join("cpu.cfs_period_us"), &period));
                self.push(Op::write("cpu.quota", target.dir.join("cpu.cfs_quota_us"), &quota.v1()));
            } else {
                let value = format!("{quota} {period}");
                self.push(Op::write("cpu.quota", target.dir.join("cpu.max"), &value));
            }
        }
        if let Some(burst) = to.burst_usec
            && let Some(target) = self.wish(Controller::Cpu, "cpu.burst", &burst)
        {
            // After the quota, which bounds it.
            self.push(Op::wish("cpu.burst", target.file("cpu.cfs_burst_us", "cpu.max.burst"), &burst));
        }
        Ok(())
    }

    fn realtime(&mut self, to: &CpuLimits) -> Result<(), CgroupError> {
        let period = to.realtime_period_usec.map(|period| ("cpu.rt_period_us", period.to_string()));
        let runtime = to.realtime_runtime_usec.map(|runtime| ("cpu.rt_runtime_us", runtime.to_string()));
        for (file, value) in period.into_iter().chain(runtime) {
            let target = self.need(Controller::Cpu, "cpu.realtime", &value)?;
            if target.dialect == Dialect::V2 {
                return Err(unenforceable("cpu.realtime", &value, "version 2 has no real-time budgets"));
            }
            self.push(Op::write("cpu.realtime", target.dir.join(file), &value));
        }
        Ok(())
    }

    pub(super) fn cpuset(&mut self, to: &CpuLimits) -> Result<(), CgroupError> {
        // Memory nodes first: on version 1 a set with CPUs but without memory takes no process.
        let files = [("cpu.mems", "cpuset.mems", &to.mems), ("cpu.cpus", "cpuset.cpus", &to.cpus)];
        for (key, file, value) in files {
            if let Some(value) = value {
                let target = self.need(Controller::Cpuset, key, &value)?;
                self.push(Op::write(key, target.dir.join(file), &value));
            }
        }
        Ok(())
    }
}

fn check_bandwidth(quota: Ceiling, period: u64) -> Result<(), CgroupError> {
    if !PERIODS.contains(&period) {
        return Err(invalid("cpu.period", &period, "it must be between 1000 and 1000000 µs"));
    }
    if quota < Ceiling::At(LEAST_QUOTA) {
        let rule = "it must be at least 1000 µs of a period (0.01 CPUs in the usual 100 ms)";
        return Err(invalid("cpu.quota", &quota, rule));
    }
    Ok(())
}
