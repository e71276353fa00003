//! Connection tracking: deleting flows that would go on leading where nothing is any more.
//!
//! A flow's original tuple is what the client sent; its reply tuple is what answers look like before
//! they are translated back, so its source is who really answers.

use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, Nla};
use netlink_packet_netfilter::conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, Tuple};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};

use crate::netlink::{KernelError, Request, Socket};

/// `CTA_ID`: tells a flow from a later one with the same tuple.
const ID: u16 = 12;
/// `IPCTNL_MSG_CT_GET_STATS`, which answers for the socket's namespace, and `CTA_STATS_GLOBAL_ENTRIES`.
const GET_STATS: u8 = 5;
const GLOBAL_ENTRIES: u16 = 1;

/// What matters of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Who began it.
    pub(crate) from: IpAddr,
    /// Who answers.
    pub(crate) answered_by: IpAddr,
}

/// Deletes the tracked flows of one namespace that `doomed` picks.
///
/// A listing goes through the kernel's whole table, which all namespaces share and which may have
/// hundreds of thousands of rows: some 10 ms. So there is one for everything, and none when the
/// namespace tracks nothing.
pub(crate) fn forget(socket: &mut Socket, doomed: impl Fn(&Flow) -> bool) -> Result<(), KernelError> {
    if tracked(socket)? == 0 {
        return Ok(());
    }
    let get = message(NetfilterProtoFamily::Unspec, ConntrackMessage::Get(Vec::new()));
    let listed = socket.dump(Request::new("list tracked flows", get, 0))?;
    for found in &listed {
        let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = &found.inner else {
            continue;
        };
        if read(attributes).is_some_and(|flow| doomed(&flow)) {
            delete(socket, found.header.family, attributes)?;
        }
    }
    Ok(())
}

fn delete(
    socket: &mut Socket,
    family: NetfilterProtoFamily,
    attributes: &[ConntrackAttribute],
) -> Result<(), KernelError> {
    let delete = message(family, ConntrackMessage::Delete(identity(attributes)));
    match socket.request(Request::new("delete a tracked flow", delete, 0)) {
        // ENOENT: it ended by itself meanwhile.
        Err(error) if !error.is(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// How many flows the namespace tracks.
fn tracked(socket: &mut Socket) -> Result<u32, KernelError> {
    let get = ConntrackMessage::Other { message_type: GET_STATS, attributes: Vec::new() };
    let request = Request::new("count tracked flows", message(NetfilterProtoFamily::Unspec, get), 0);
    let count = socket.request(request)?.into_iter().find_map(|answer| match answer.inner {
        NetfilterMessageInner::Conntrack(ConntrackMessage::Other { attributes, .. }) => {
            read_count(&attributes)
        }
        _ => None,
    });
    // A kernel that doesn't say may have any number.
    Ok(count.unwrap_or(u32::MAX))
}

fn read_count(attributes: &[DefaultNla]) -> Option<u32> {
    let entries = attributes.iter().find(|attribute| attribute.kind() == GLOBAL_ENTRIES)?;
    let mut value = vec![0; entries.value_len()];
    entries.emit_value(&mut value);
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

fn message(family: NetfilterProtoFamily, inner: ConntrackMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), inner)
}

/// Its tuple with the zone that it is in, and the kernel's number for it.
fn identity(attributes: &[ConntrackAttribute]) -> Vec<ConntrackAttribute> {
    let names = |attribute: &&ConntrackAttribute| match attribute {
        ConntrackAttribute::CtaTupleOrig(_) => true,
        ConntrackAttribute::Other(other) => other.kind() == ID,
        _ => false,
    };
    attributes.iter().filter(names).cloned().collect()
}

fn read(attributes: &[ConntrackAttribute]) -> Option<Flow> {
    let mut original = None;
    let mut reply = None;
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => original = source(tuple),
            ConntrackAttribute::CtaTupleReply(tuple) => reply = source(tuple),
            _ => {}
        }
    }
    Some(Flow { from: original?, answered_by: reply? })
}

/// Who sends in one direction of a flow.
fn source(tuple: &[Tuple]) -> Option<IpAddr> {
    let addresses = tuple.iter().filter_map(|part| match part {
        Tuple::Ip(addresses) => Some(addresses),
        _ => None,
    });
    addresses.flatten().find_map(|address| match address {
        IPTuple::SourceAddress(address) => Some(*address),
        _ => None,
    })
}
