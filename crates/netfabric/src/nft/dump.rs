//! Reading back what the kernel has.

use std::collections::BTreeMap;

use netlink_packet_netfilter::nftables::{
    NfTablesMessage, RuleAttribute, RuleMessage, TableAttribute, TableMessage,
};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};

use super::element::{self, Raw, SetRef};
use super::{message, protocol_family, table};
use crate::family::TableFamily;
use crate::netlink::{KernelError, Request, Socket};

/// A table of ours as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundTable {
    /// What it was made from; `None` when it carries no digest.
    pub(crate) digest: Option<u64>,
    /// How many rules it has now.
    pub(crate) rules: usize,
}

/// Finds the tables called `name`.
pub(crate) fn tables(
    socket: &mut Socket,
    name: &str,
) -> Result<BTreeMap<TableFamily, FoundTable>, KernelError> {
    let mut found = BTreeMap::new();
    for family in TableFamily::ALL {
        let get = NfTablesMessage::GetTable(TableMessage { attributes: Vec::new() });
        let request = Request::new("list nftables tables", message(protocol_family(family), get), 0);
        for message in socket.dump(request)? {
            if let Some(digest) = read_table(&message, name) {
                let rules = count_rules(socket, family, name)?;
                found.insert(family, FoundTable { digest, rules });
            }
        }
    }
    Ok(found)
}

/// The elements of a set; empty when the set isn't there.
pub(crate) fn elements(socket: &mut Socket, set: SetRef<'_>) -> Result<Vec<Raw>, KernelError> {
    match socket.dump(element::get(set)) {
        Ok(messages) => Ok(messages.iter().filter_map(nf_tables).flat_map(element::read).collect()),
        Err(error) if error.is(libc::ENOENT) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Asks for the rules of a table, or of one chain of it.
pub(crate) fn rules(
    socket: &mut Socket,
    family: NetfilterProtoFamily,
    table: &str,
    chain: Option<&str>,
) -> Result<Vec<Vec<RuleAttribute>>, KernelError> {
    let mut attributes = vec![RuleAttribute::Table(table.to_owned())];
    attributes.extend(chain.map(|chain| RuleAttribute::Chain(chain.to_owned())));
    let get = NfTablesMessage::GetRule(RuleMessage { attributes });
    let messages = socket.dump(Request::new("list nftables rules", message(family, get), 0))?;
    let rules = messages.into_iter().filter_map(|message| match message.inner {
        NetfilterMessageInner::NfTables(NfTablesMessage::NewRule(rule)) => Some(rule.attributes),
        _ => None,
    });
    // Kernels before 5.1 give the rules of every table.
    let ours = |rule: &Vec<RuleAttribute>| rule.contains(&RuleAttribute::Table(table.to_owned()));
    Ok(rules.filter(ours).collect())
}

/// The nf_tables part of a message.
pub(crate) fn nf_tables(message: &NetfilterMessage) -> Option<&NfTablesMessage> {
    match &message.inner {
        NetfilterMessageInner::NfTables(inner) => Some(inner),
        _ => None,
    }
}

fn count_rules(socket: &mut Socket, family: TableFamily, name: &str) -> Result<usize, KernelError> {
    rules(socket, protocol_family(family), name, None).map(|rules| rules.len())
}

fn read_table(message: &NetfilterMessage, name: &str) -> Option<Option<u64>> {
    let NfTablesMessage::NewTable(found) = nf_tables(message)? else { return None };
    if !found.attributes.contains(&TableAttribute::Name(name.to_owned())) {
        return None;
    }
    let digest = found.attributes.iter().find_map(|attribute| match attribute {
        TableAttribute::UserData(bytes) => table::read_digest(bytes),
        _ => None,
    });
    Some(digest)
}
