//! Why a name leads where it leads, in words.

use std::fmt;
use std::net::IpAddr;

use super::resolve::{Answer, Kind, Origin, Question, Withheld, resolve};
use super::zone::{Table, Upstream};

/// Says what the instance at `source` is told when it looks up the addresses of `name`, and why. The
/// decision itself is [`resolve`]'s, so the words can't differ from the answer.
pub fn explain(table: &Table, source: IpAddr, name: &str) -> String {
    let question = Question::new(name, Kind::Any);
    let answer = resolve(table, source, &question);
    let generation = table.zone().generation;
    format!("{} for {source}: {} (zone generation {generation})", question.name(), Words(&answer))
}

struct Words<'a>(&'a Answer<'a>);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Answer::Addresses { addresses, rotate, origin } => {
                match addresses.as_slice() {
                    [] => f.write_str("exists, without an address")?,
                    addresses => f.write_str(&joined(addresses))?,
                }
                if *rotate {
                    f.write_str(", starting with another one each time")?;
                }
                match origin {
                    Origin::Own => f.write_str(", its own name"),
                    Origin::Networks(ids) => write!(f, ", from network {}", ids.join(", then ")),
                    Origin::Loopback => f.write_str(", itself by definition"),
                }
            }
            Answer::Pointer(name) => write!(f, "is the address of {name}"),
            Answer::NoSuchName(why) => write!(f, "no such name, because {}", Reason(why)),
            Answer::Refused(why) => write!(f, "refused, because {}", Reason(why)),
            Answer::Forward(Upstream::Servers(servers)) => {
                write!(f, "not a name of its networks, asked of {}", joined(servers))
            }
            Answer::Forward(_) => f.write_str("not a name of its networks, asked of the host's resolvers"),
        }
    }
}

struct Reason<'a>(&'a Withheld<'a>);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Withheld::UnknownAsker => f.write_str("no instance has this source address"),
            Withheld::NoUpstream => f.write_str("it is attached to internal networks only"),
            Withheld::SingleLabel => {
                f.write_str("none of its networks has it, and names without a dot are not asked outside")
            }
            Withheld::Domain(domain) => {
                write!(f, "none of its networks has it, and {domain} is the fabric's")
            }
            Withheld::Subnet(network) => {
                write!(f, "the address belongs to network {network} and has no name its asker sees")
            }
        }
    }
}

fn joined(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
