//! Whether what was heard contradicts what is known. Pure.
//!
//! Our own changes are heard like those of others, but what they lead to is what is known; so only the last that was
//! said of each thing counts, and nobody has to know who did it.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::family::{Family, canonical, with_prefix};
use crate::guard::Guard;
use crate::netlink::link::{Kind, Listed};
use crate::observed::{LinkObserved, RouteObserved, SideObserved};
use crate::side::{Side, UPLINK};
use crate::spec::HostEnd;
use crate::watch::heard::Heard;

/// What a look at the kernel's state showed of a link, as the plan needs it.
pub(crate) fn observed_link(link: &Listed, master: Option<String>) -> LinkObserved {
    LinkObserved {
        bridge: link.kind == Kind::Bridge,
        up: link.up,
        mtu: link.mtu,
        master,
        guard: link.alias.as_deref().and_then(Guard::parse),
    }
}

/// Takes note of ports that are gone with their instances, and tells whether there were any. That needs no look at the
/// rest: what was written down for them is wanted no more, which the next round sees.
pub(crate) fn forget_ports(heard: &Heard, known: &mut SideObserved) -> bool {
    let gone = heard.links.iter().filter(|(name, link)| link.is_none() && HostEnd::parse(name).is_some());
    let mut any = false;
    for (name, _) in gone {
        any = true;
        known.forget_link(name);
    }
    any
}

/// What of a side isn't as it was last known, in words; `None` when all is. `own` is the name of our link on the host.
pub(crate) fn contradiction(heard: &Heard, side: Side, known: &SideObserved, own: &str) -> Option<String> {
    let ours = |link: &str| side == Side::Fabric || link == own;
    let what = link_drift(heard, known, &ours).or_else(|| ip_drift(heard, known, &ours)).or_else(|| {
        let parameter =
            |(key, value): &(&String, &String)| known.sysctls.get(*key).is_some_and(|known| known != *value);
        if let Some((key, value)) = heard.sysctls.iter().find(parameter) {
            return Some(format!("{key} is {value}"));
        }
        if let Some((rule, there)) =
            heard.policy.iter().find(|(rule, there)| known.policy.contains(rule) != **there)
        {
            return Some(format!("rule {rule} {}", state(*there)));
        }
        let tables = heard.tables.then(|| "tables of nftables were changed".to_owned());
        tables.or_else(|| heard.lost.then(|| "more changed than could be heard".to_owned()))
    });
    what.map(|what| format!("{side}: {what}"))
}

fn link_drift(heard: &Heard, known: &SideObserved, ours: &impl Fn(&str) -> bool) -> Option<String> {
    let differs = |(name, link): &(&String, &Option<(Listed, Option<String>)>)| {
        let heard = link.as_ref().map(|(link, master)| observed_link(link, master.clone()));
        ours(name) && heard.as_ref() != known.links.get(*name)
    };
    let interrupted = |name: &&String| ours(name) && was_interrupted(name, known);
    if let Some((name, link)) = heard.links.iter().find(differs) {
        return Some(format!("link {name} {}", if link.is_some() { "is changed" } else { "is gone" }));
    }
    heard.interrupted.iter().find(interrupted).map(|name| format!("link {name} was gone or down"))
}

fn ip_drift(heard: &Heard, known: &SideObserved, ours: &impl Fn(&str) -> bool) -> Option<String> {
    let address =
        |(at, there): &(&(String, IpNetwork), &bool)| ours(&at.0) && known.addresses.contains(*at) != **there;
    let route = |(route, there): &(&RouteObserved, &bool)| {
        ours(&route.link) && known.routes.contains(*route) != **there
    };
    let own_route = |((link, to), there): &(&(String, IpNetwork), &bool)| {
        !**there && ours(link) && belongs(link, *to, known)
    };
    let neighbour = |((link, address), mac): &(&(String, IpAddr), &Option<[u8; 6]>)| {
        let found = known.neighbours.iter().find(|other| other.link == *link && other.address == *address);
        found.map(|known| known.mac) != **mac
    };
    if let Some(((link, address), there)) = heard.addresses.iter().find(address) {
        return Some(format!("address {address} of {link} {}", state(*there)));
    }
    if let Some((route, there)) = heard.routes.iter().find(route) {
        return Some(format!("route {route} {}", state(*there)));
    }
    if let Some(((link, to), _)) = heard.own_routes.iter().find(own_route) {
        return Some(format!("route {to} on {link} is gone"));
    }
    let ((link, address), _) = heard.neighbours.iter().find(neighbour)?;
    Some(format!("neighbour {address} on {link} is changed"))
}

fn state(there: bool) -> &'static str {
    if there { "is new" } else { "is gone" }
}

/// Routes by a link that was down are gone without a word, even when it is up again. Ports have none.
fn was_interrupted(name: &str, known: &SideObserved) -> bool {
    known.links.get(name).is_some_and(|link| link.bridge || name == UPLINK || HostEnd::parse(name).is_none())
}

/// Whether the kernel made the route to `to` for an address that is there.
fn belongs(link: &str, to: IpNetwork, known: &SideObserved) -> bool {
    known.addresses.iter().any(|(at, address)| {
        let whole = with_prefix(address.ip(), Family::of(address.ip()).bits());
        at == link && (to == whole || to == canonical(*address))
    })
}
