//! Links: veth pairs, bridges, and what the kernel lists of them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgeBooleanOptionFlags, BridgeBooleanOptions, BridgePortState, InfoBridge, InfoBridgePort, InfoData,
    InfoKind, InfoPortData, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State,
};

use super::{KernelError, Request, Socket};

/// A link as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) up: bool,
    pub(crate) mtu: u32,
    /// Index of the bridge it is a port of.
    pub(crate) master: Option<u32>,
    /// What was noted down at it.
    pub(crate) alias: Option<String>,
    /// For a veth: index of its other end, in the namespace that has it.
    pub(crate) peer: Option<u32>,
    /// Packets pass: the kernel has noticed that the other end is there and, for a port of a bridge,
    /// forwards through it. It does so on a work queue, a moment after the link was set up.
    pub(crate) passes: bool,
}

/// The kinds of links that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bridge,
    Veth,
    Other,
}

/// Where the second end of a veth pair appears, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer<'a> {
    pub(crate) name: &'a str,
    pub(crate) netns: BorrowedFd<'a>,
    pub(crate) mac: Option<[u8; 6]>,
}

/// The first end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Veth<'a> {
    pub(crate) name: &'a str,
    pub(crate) mtu: u32,
}

/// Lists every link of the namespace.
pub(crate) fn list(socket: &mut Socket) -> Result<Vec<Listed>, KernelError> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let messages = socket.dump(Request::new("list links", request, 0))?;
    Ok(messages.into_iter().filter_map(listed).collect())
}

/// A link by name; `None` when there is none.
pub(crate) fn find(socket: &mut Socket, name: &str) -> Result<Option<Listed>, KernelError> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let request = Request::new(format!("find link {name}"), RouteNetlinkMessage::GetLink(message), 0);
    match socket.request(request) {
        Ok(replies) => Ok(replies.into_iter().find_map(listed)),
        Err(error) if error.is(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The index of a link that must be there.
pub(crate) fn index(socket: &mut Socket, name: &str) -> Result<u32, KernelError> {
    let missing =
        || KernelError::new(format!("find link {name}"), io::Error::from_raw_os_error(libc::ENODEV));
    find(socket, name)?.map(|link| link.index).ok_or_else(missing)
}

/// Makes a veth pair in one message: it is there with both ends or not at all. The first end is up; the
/// peer can't be, since it is made before there is anything to connect it to.
pub(crate) fn veth(veth: Veth<'_>, peer: Peer<'_>) -> Request<RouteNetlinkMessage> {
    let mut far = LinkMessage::default();
    far.attributes.extend([
        LinkAttribute::IfName(peer.name.to_owned()),
        LinkAttribute::Mtu(veth.mtu),
        LinkAttribute::NetNsFd(peer.netns.as_raw_fd()),
    ]);
    far.attributes.extend(peer.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
    let mut near = LinkMessage::default();
    near.header.flags = LinkFlags::Up;
    near.header.change_mask = LinkFlags::Up;
    near.attributes.extend([
        LinkAttribute::IfName(veth.name.to_owned()),
        LinkAttribute::Mtu(veth.mtu),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
        ]),
    ]);
    create(format!("add link {} to {}", veth.name, peer.name), near)
}

/// Makes a bridge, up, with a hardware address that no port changes.
///
/// It learns no address from the frames that are for the bridge alone (LLDP and its like): those are never
/// filtered, so an instance could lead its neighbours' frames to itself by them. And it doesn't learn who listens to which multicast group: without a querier the kernel's guess only
/// loses neighbour discovery.
pub(crate) fn bridge(name: &str, mac: [u8; 6], mtu: u32) -> Request<RouteNetlinkMessage> {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message.attributes.extend([
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::Address(mac.to_vec()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![
                InfoBridge::MulticastSnooping(false),
                InfoBridge::MultiBoolOpt(BridgeBooleanOptions {
                    value: BridgeBooleanOptionFlags::NoLinkLocalLearn,
                    mask: BridgeBooleanOptionFlags::NoLinkLocalLearn,
                }),
            ])),
        ]),
    ]);
    create(format!("add bridge {name}"), message)
}

/// Sets a link up, and its MTU when given.
pub(crate) fn set_up(name: &str, mtu: Option<u32>) -> Request<RouteNetlinkMessage> {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    Request::new(format!("set link {name} up"), RouteNetlinkMessage::SetLink(message), 0)
}

/// Notes something down at a link, where it stays as long as the link does.
pub(crate) fn note(name: &str, alias: String) -> Request<RouteNetlinkMessage> {
    let mut message = LinkMessage::default();
    message.attributes.extend([LinkAttribute::IfName(name.to_owned()), LinkAttribute::IfAlias(alias)]);
    Request::new(format!("note the addresses of {name}"), RouteNetlinkMessage::SetLink(message), 0)
}

/// Makes a link a port of a bridge, which learns who is behind it.
pub(crate) fn join(name: &str, bridge: u32) -> Request<RouteNetlinkMessage> {
    let mut message = LinkMessage::default();
    message.attributes.extend([LinkAttribute::IfName(name.to_owned()), LinkAttribute::Controller(bridge)]);
    Request::new(format!("join {name} to its bridge"), RouteNetlinkMessage::SetLink(message), 0)
}

/// Cuts a bridge port off from the other ports that are cut off; only the bridge itself is left.
pub(crate) fn isolate(name: &str, isolated: bool) -> Request<RouteNetlinkMessage> {
    let mut message = LinkMessage::default();
    let data = InfoPortData::BridgePort(vec![InfoBridgePort::Isolated(isolated)]);
    message.attributes.extend([
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(netlink_packet_route::link::InfoPortKind::Bridge),
            LinkInfo::PortData(data),
        ]),
    ]);
    Request::new(format!("isolate port {name}"), RouteNetlinkMessage::SetLink(message), 0)
}

/// Removes a link and, for a veth, its other end. A link that isn't there is no error.
pub(crate) fn remove(socket: &mut Socket, name: &str) -> Result<(), KernelError> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let request = Request::new(format!("remove link {name}"), RouteNetlinkMessage::DelLink(message), 0);
    match socket.request(request) {
        Err(error) if !error.is(libc::ENODEV) => Err(error),
        _ => Ok(()),
    }
}

fn create(what: String, message: LinkMessage) -> Request<RouteNetlinkMessage> {
    Request::new(what, RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

fn listed(message: RouteNetlinkMessage) -> Option<Listed> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Listed {
        index: message.header.index,
        name: String::new(),
        kind: Kind::Other,
        up: message.header.flags.contains(LinkFlags::Up),
        mtu: 0,
        master: None,
        alias: None,
        peer: None,
        passes: false,
    };
    let (mut operational, mut forwarding) = (false, true);
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::OperState(state) => operational = state == State::Up,
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(master) => link.master = Some(master),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::Link(peer) => link.peer = Some(peer),
            LinkAttribute::LinkInfo(info) => forwarding = read_info(&mut link, info),
            _ => {}
        }
    }
    link.passes = operational && forwarding;
    Some(link)
}

/// Reads the kind, and returns whether a bridge port forwards; what is no port does.
fn read_info(link: &mut Listed, info: Vec<LinkInfo>) -> bool {
    let mut forwarding = true;
    for item in info {
        match item {
            LinkInfo::Kind(InfoKind::Bridge) => link.kind = Kind::Bridge,
            LinkInfo::Kind(InfoKind::Veth) => link.kind = Kind::Veth,
            LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                forwarding = port.contains(&InfoBridgePort::State(BridgePortState::Forwarding));
            }
            _ => {}
        }
    }
    forwarding
}
