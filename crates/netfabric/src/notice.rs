//! What a person should be told about changes to, and obstacles on, their host.

use std::fmt;

use crate::family::Family;
use crate::observed::Observed;
use crate::op::Op;
use crate::side::Side;
use crate::spec::FabricConfig;
use crate::wanted;

/// Something outside the fabric that we changed, or that stands in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The host forwards packets now, for everybody on it.
    ForwardingEnabled {
        /// Of this family.
        family: Family,
    },
    /// The host doesn't forward IPv6, and switching it on would end its own way out, which comes from
    /// router advertisements.
    ForwardingOff {
        /// What a person can run: it keeps the advertisements.
        command: String,
    },
    /// A rule was added to somebody else's chain.
    ForwardAllowed {
        /// The chain.
        chain: String,
    },
    /// The legacy iptables drop our packets, and we don't write them.
    ForwardBlocked {
        /// Packets of this family.
        family: Family,
        /// What a person can run.
        command: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForwardingEnabled { family } => write!(f, "this host forwards {family} packets now"),
            Self::ForwardingOff { command } => write!(
                f,
                "instances have no way out by IPv6: this host doesn't forward it, and would lose its own way \
                 out if it did; to change that run: {command}"
            ),
            Self::ForwardAllowed { chain } => {
                write!(f, "the firewall chain {chain} drops forwarded packets; ours were let through")
            }
            Self::ForwardBlocked { family, command } => write!(
                f,
                "the legacy iptables of this host drop forwarded {family} packets; to let ours through run: \
                 {command}"
            ),
        }
    }
}

/// What to say about a state and the operations that were carried out on it.
pub fn notices(config: &FabricConfig, before: &Observed, ops: &[Op]) -> Vec<Notice> {
    let mut notices: Vec<Notice> = ops.iter().filter_map(about).collect();
    let off = before.host.sysctls.get(wanted::forwarding(Family::V6)).is_some_and(|value| value == "0");
    if off && before.advertised && config.uplink6.is_some() {
        let command = "sysctl -w net.ipv6.conf.all.accept_ra=2 net.ipv6.conf.default.accept_ra=2 && sysctl -w \
                       net.ipv6.conf.all.forwarding=1";
        notices.push(Notice::ForwardingOff { command: command.to_owned() });
    }
    notices.extend(before.legacy_drop.iter().map(|family| {
        let link = config.tag.name();
        let program = match family {
            Family::V4 => "iptables-legacy",
            Family::V6 => "ip6tables-legacy",
        };
        let command =
            format!("{program} -I FORWARD -i {link} -j ACCEPT && {program} -I FORWARD -o {link} -j ACCEPT");
        Notice::ForwardBlocked { family: *family, command }
    }));
    notices
}

fn about(op: &Op) -> Option<Notice> {
    match op {
        Op::SetSysctl { side: Side::Host, key, .. } => {
            let family = Family::ALL.into_iter().find(|family| wanted::forwarding(*family) == key)?;
            Some(Notice::ForwardingEnabled { family })
        }
        Op::AllowForward { chain, .. } => Some(Notice::ForwardAllowed { chain: chain.to_string() }),
        _ => None,
    }
}
