//! The one decision: what an asker is told. Pure, and every answer goes through it.
//!
//! Three policies are settled here.
//!
//! *A name is known as a whole.* When the fabric has a name, every type asked of it is answered here,
//! with an empty answer where there is nothing of that type. "No such name" for one family would make
//! resolvers that ask for both families at once (musl) drop the other one, too.
//!
//! *A name of one label does not leave the host.* Stacks use such names for their services, and the
//! one that is not there (not yet, no longer, misspelt) is exactly the one asked for most. Forwarding
//! it would tell strangers the stack's names, would be as slow as the slowest resolver, and could be
//! answered by someone else's wildcard. A host whose resolvers know bare names also has a search
//! domain for them; the resolver in the instance appends it, and that name has two labels. Only
//! questions about a top-level *domain* (NS, SOA, DS, DNSKEY), which validating resolvers need, pass.
//!
//! *A stranger is refused*, whatever it asks: the server is no open resolver.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::zone::{Instance, Record, Table, Upstream, normalise};

/// A question, reduced to what the decision depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Lower case, without a dot at the end; the root is empty.
    name: String,
    pub kind: Kind,
}

impl Question {
    pub fn new(name: &str, kind: Kind) -> Self {
        Self { name: normalise(name), kind }
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Types of question, as far as the decision tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    A,
    Aaaa,
    /// Both families (type ANY; RFC 8482 leaves us the choice of what to include).
    Any,
    Ptr,
    /// NS, SOA, DS, DNSKEY: about a domain, not about a host in it.
    Delegation,
    Other,
}

/// What the asker is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'z> {
    /// The name exists. `addresses` are those of the family asked for, perhaps none.
    Addresses { addresses: Vec<IpAddr>, rotate: bool, origin: Origin<'z> },
    /// The name of an address.
    Pointer(&'z str),
    /// There is no such name, and nobody else is asked.
    NoSuchName(Withheld<'z>),
    /// Nothing is told.
    Refused(Withheld<'z>),
    /// Somebody else knows.
    Forward(&'z Upstream),
}

/// Where addresses were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin<'z> {
    /// The asker's own list.
    Own,
    /// These networks, in this order.
    Networks(Vec<&'z str>),
    /// `localhost` and what is below it (RFC 6761, 6.3).
    Loopback,
}

/// Why a question gets no more than a no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Withheld<'z> {
    UnknownAsker,
    NoUpstream,
    SingleLabel,
    /// Below this domain of the asker's.
    Domain(&'z str),
    /// The address is in a range of this network.
    Subnet(&'z str),
}

/// Decides what the instance at `source` is told.
pub fn resolve<'z>(table: &'z Table, source: IpAddr, question: &Question) -> Answer<'z> {
    let Some(asker) = table.asker(source) else {
        return Answer::Refused(Withheld::UnknownAsker);
    };
    named(table, asker, question)
        .or_else(|| reverse(table, asker, question))
        .or_else(|| kept_here(asker, question))
        .unwrap_or(match &asker.upstream {
            Upstream::Nobody => Answer::Refused(Withheld::NoUpstream),
            upstream => Answer::Forward(upstream),
        })
}

/// The answer for a name the asker sees: its own first, then its networks' together.
fn named<'z>(table: &'z Table, asker: &'z Instance, question: &Question) -> Option<Answer<'z>> {
    let name = question.name.as_str();
    if let Some(own) = asker.own.get(name) {
        return Some(found(own.iter(), false, question.kind, Origin::Own));
    }
    let hits: Vec<(&str, &Record)> =
        table.networks_of(asker).filter_map(|(id, network)| Some((id, network.names.get(name)?))).collect();
    if !hits.is_empty() {
        let rotate = hits.iter().any(|(_, record)| record.rotate);
        let origin = Origin::Networks(hits.iter().map(|(id, _)| *id).collect());
        let addresses = hits.iter().flat_map(|(_, record)| &record.addresses);
        return Some(found(addresses, rotate, question.kind, origin));
    }
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    is_at_or_below(name, "localhost").then(|| found(loopback.iter(), false, question.kind, Origin::Loopback))
}

fn found<'a, 'z>(
    addresses: impl Iterator<Item = &'a IpAddr>,
    rotate: bool,
    kind: Kind,
    origin: Origin<'z>,
) -> Answer<'z> {
    let mut wanted: Vec<IpAddr> = Vec::new();
    for address in addresses {
        let fits = match kind {
            Kind::A => address.is_ipv4(),
            Kind::Aaaa => address.is_ipv6(),
            Kind::Any => true,
            Kind::Ptr | Kind::Delegation | Kind::Other => false,
        };
        if fits && !wanted.contains(address) {
            wanted.push(*address);
        }
    }
    Answer::Addresses { addresses: wanted, rotate, origin }
}

/// The answer for the name of an address in the fabric. Programs look up who connects to them
/// (databases do, by default), and outside nobody could know.
fn reverse<'z>(table: &'z Table, asker: &'z Instance, question: &Question) -> Option<Answer<'z>> {
    let address = address_of_reverse_name(&question.name)?;
    let named = table.networks_of(asker).find_map(|(id, network)| Some((id, network.reverse.get(&address)?)));
    match (named, question.kind) {
        (Some((_, name)), Kind::Ptr | Kind::Any) => Some(Answer::Pointer(name)),
        (Some((id, _)), kind) => Some(found([].iter(), false, kind, Origin::Networks(vec![id]))),
        (None, _) => Some(Answer::NoSuchName(Withheld::Subnet(table.network_around(address)?))),
    }
}

/// The refusal for a name that is nobody else's business.
fn kept_here<'z>(asker: &'z Instance, question: &Question) -> Option<Answer<'z>> {
    let name = question.name.as_str();
    if let Some(domain) = asker.domains.iter().find(|domain| is_at_or_below(name, domain)) {
        return Some(Answer::NoSuchName(Withheld::Domain(domain)));
    }
    let single_label = !name.is_empty() && !name.contains('.');
    (single_label && question.kind != Kind::Delegation).then_some(Answer::NoSuchName(Withheld::SingleLabel))
}

fn is_at_or_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// `4.3.2.1.in-addr.arpa` → 1.2.3.4, and the same for `ip6.arpa` (RFC 1035 3.5, RFC 3596 2.5). None
/// for anything else, shorter names (whole ranges) included.
fn address_of_reverse_name(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let mut labels: Vec<&str> = octets.split('.').collect();
        labels.reverse();
        return labels.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let nibbles: Vec<&str> = name.strip_suffix(".ip6.arpa")?.split('.').collect();
    let is_nibble = |label: &&str| label.len() == 1 && label.as_bytes()[0].is_ascii_hexdigit();
    if nibbles.len() != 32 || !nibbles.iter().all(is_nibble) {
        return None;
    }
    let digits: String = nibbles.into_iter().rev().collect();
    u128::from_str_radix(&digits, 16).ok().map(|bits| IpAddr::V6(bits.into()))
}

#[cfg(test)]
mod tests;
