//! Links: veth pairs, bridges, and what the kernel lists of them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::link::{
    BridgePortState, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage, State,
};
use rtnetlink::{LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::KernelError;
use super::rtnl::{Change, Rtnl};

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
pub(crate) fn list(rtnl: &mut Rtnl) -> Result<Vec<Listed>, KernelError> {
    let messages = rtnl.list("list links", |handle| handle.link().get().execute())?;
    Ok(messages.into_iter().map(listed).collect())
}

/// A link by name; `None` when there is none.
pub(crate) fn find(rtnl: &mut Rtnl, name: &str) -> Result<Option<Listed>, KernelError> {
    match rtnl.ask(format!("find link {name}"), |handle| handle.link().get().match_name(name).execute()) {
        Ok(replies) => Ok(replies.into_iter().next().map(listed)),
        Err(error) if error.is(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The index of a link that must be there.
pub(crate) fn index(rtnl: &mut Rtnl, name: &str) -> Result<u32, KernelError> {
    let missing =
        || KernelError::new(format!("find link {name}"), io::Error::from_raw_os_error(libc::ENODEV));
    find(rtnl, name)?.map(|link| link.index).ok_or_else(missing)
}

/// Makes a veth pair in one message: it is there with both ends or not at all. The first end is up; the
/// peer can't be, since it is made before there is anything to connect it to. The peer's namespace must stay open
/// until the change is carried out.
pub(crate) fn veth(veth: Veth<'_>, peer: Peer<'_>) -> Change {
    let far = LinkUnspec::new_with_name(peer.name).mtu(veth.mtu).setns_by_fd(peer.netns.as_raw_fd());
    let far = match peer.mac {
        Some(mac) => far.address(mac.to_vec()),
        None => far,
    };
    let near = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth).name(veth.name);
    let near = near.mtu(veth.mtu).up().set_info_data(InfoData::Veth(InfoVeth::Peer(far.build())));
    create(format!("add link {} to {}", veth.name, peer.name), near.build())
}

/// Makes a bridge, up, with a hardware address that no port changes.
///
/// It learns no address from the frames that are for the bridge alone (LLDP and its like): those are never
/// filtered, so an instance could lead its neighbours' frames to itself by them. And it doesn't learn who listens to which multicast group: without a querier the kernel's guess only
/// loses neighbour discovery.
pub(crate) fn bridge(name: &str, mac: [u8; 6], mtu: u32) -> Change {
    let bridge = LinkBridge::new(name).mtu(mtu).address(mac.to_vec()).up();
    let bridge = bridge.mcast_snooping(false).no_linklocal_learn(true);
    create(format!("add bridge {name}"), bridge.build())
}

/// Sets a link up, and its MTU when given.
pub(crate) fn set_up(name: &str, mtu: Option<u32>) -> Change {
    let link = LinkUnspec::new_with_name(name).up();
    let link = match mtu {
        Some(mtu) => link.mtu(mtu),
        None => link,
    };
    change(format!("set link {name} up"), link.build())
}

/// Notes something down at a link, where it stays as long as the link does.
pub(crate) fn note(name: &str, alias: &str) -> Change {
    let link = LinkUnspec::new_with_name(name).alias(alias);
    change(format!("note the addresses of {name}"), link.build())
}

/// Makes a link a port of a bridge, which learns who is behind it.
pub(crate) fn join(name: &str, bridge: u32) -> Change {
    let link = LinkUnspec::new_with_name(name).controller(bridge);
    change(format!("join {name} to its bridge"), link.build())
}

/// Cuts a bridge port off from the other ports that are cut off; only the bridge itself is left.
pub(crate) fn isolate(name: &str, port: u32) -> Change {
    let link = LinkBridgePort::new(port).isolated(true);
    let message = link.build();
    Change::new(format!("isolate port {name}"), move |handle| handle.link().set_port(message).execute())
}

/// Removes a link and, for a veth, its other end. A link that isn't there is no error.
pub(crate) fn remove(rtnl: &mut Rtnl, name: &str) -> Result<(), KernelError> {
    let message = LinkUnspec::new_with_name(name).build();
    let removal = Change::new(format!("remove link {name}"), |handle| {
        handle.link().del_with_message(message).execute()
    });
    match rtnl.change(removal) {
        Err(error) if !error.is(libc::ENODEV) => Err(error),
        _ => Ok(()),
    }
}

fn create(what: String, message: LinkMessage) -> Change {
    Change::new(what, |handle| handle.link().add(message).execute())
}

fn change(what: String, message: LinkMessage) -> Change {
    Change::new(what, |handle| handle.link().change(message).execute())
}

/// What a message tells of a link.
pub(crate) fn listed(message: LinkMessage) -> Listed {
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
    link
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
