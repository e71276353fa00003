//! Resource limits and the OOM score.

use oci_spec::runtime::{PosixRlimit, PosixRlimitType as Type, Process};
use rustix::process::Resource;

use super::{Launcher, Plan};
use crate::launch::{PrepareError, Shortfall};
use crate::op::{OomScoreAdj, ResourceLimit};

/// The limits that have a rustix name, as the specification, people and the kernel call them.
pub(super) const RESOURCES: [(Type, &str, Resource); 15] = [
    (Type::RlimitCpu, "cpu", Resource::Cpu),
    (Type::RlimitFsize, "fsize", Resource::Fsize),
    (Type::RlimitData, "data", Resource::Data),
    (Type::RlimitStack, "stack", Resource::Stack),
    (Type::RlimitCore, "core", Resource::Core),
    (Type::RlimitRss, "rss", Resource::Rss),
    (Type::RlimitNproc, "nproc", Resource::Nproc),
    (Type::RlimitNofile, "nofile", Resource::Nofile),
    (Type::RlimitMemlock, "memlock", Resource::Memlock),
    (Type::RlimitAs, "as", Resource::As),
    (Type::RlimitLocks, "locks", Resource::Locks),
    (Type::RlimitSigpending, "sigpending", Resource::Sigpending),
    (Type::RlimitMsgqueue, "msgqueue", Resource::Msgqueue),
    (Type::RlimitNice, "nice", Resource::Nice),
    (Type::RlimitRtprio, "rtprio", Resource::Rtprio),
];

/// RLIM_INFINITY, which the specification writes as this number.
const UNLIMITED: u64 = u64::MAX;

pub(super) fn resource_limits(
    plan: &mut Plan,
    process: &Process,
    shortfall: Shortfall,
    launcher: &Launcher,
) -> Result<(), PrepareError> {
    let mut seen = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        if seen.contains(&limit.typ()) {
            return Err(PrepareError::invalid(
                "process.rlimits",
                format!("{:?} is there twice", limit.typ()),
            ));
        }
        seen.push(limit.typ());
        let op = resource_limit(plan, *limit, shortfall, launcher)?;
        plan.push(op);
    }
    Ok(())
}

fn resource_limit(
    plan: &mut Plan,
    limit: PosixRlimit,
    shortfall: Shortfall,
    launcher: &Launcher,
) -> Result<ResourceLimit, PrepareError> {
    let known = RESOURCES.iter().find(|(typ, _, _)| *typ == limit.typ());
    let (_, name, resource) =
        *known.ok_or_else(|| PrepareError::unsupported(format!("process.rlimits {:?}", limit.typ())))?;
    let (mut soft, mut hard) = (limit.soft(), limit.hard());
    if soft > hard {
        let problem = format!("{name}: the soft limit {soft} is above the hard limit {hard}");
        return Err(PrepareError::invalid("process.rlimits", problem));
    }
    if let Some(own) = launcher.hard_limit(resource).filter(|own| hard > *own && !launcher.may_raise()) {
        let what = format!(
            "the limit {name} can't be raised to {hard}: this process's own hard limit is {own}, and raising \
             it needs CAP_SYS_RESOURCE"
        );
        plan.lack(shortfall, what)?;
        (soft, hard) = (soft.min(own), own);
    }
    let finite = |limit| Some(limit).filter(|limit| *limit != UNLIMITED);
    Ok(ResourceLimit { name, resource, soft: finite(soft), hard: finite(hard) })
}

pub(super) fn oom_score_adj(
    plan: &mut Plan,
    process: &Process,
    shortfall: Shortfall,
    launcher: &Launcher,
) -> Result<(), PrepareError> {
    let Some(wanted) = process.oom_score_adj() else { return Ok(()) };
    if !(-1000..=1000).contains(&wanted) {
        return Err(PrepareError::invalid("process.oomScoreAdj", format!("{wanted} is not in -1000..=1000")));
    }
    let own = launcher.oom_score_adj;
    if wanted < own && !launcher.may_raise() {
        let what = format!(
            "oom_score_adj can't be lowered to {wanted}: this process's own is {own}, and lowering it needs \
             CAP_SYS_RESOURCE"
        );
        plan.lack(shortfall, what)?;
        return Ok(());
    }
    plan.push(OomScoreAdj(wanted.to_string()));
    Ok(())
}
