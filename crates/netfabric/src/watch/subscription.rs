//! The sockets that hear what changes in one namespace.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use netlink_sys::{Socket, SocketAddr};
use rtnetlink::MulticastGroup;

use super::heard::Heard;
use crate::netlink::datagrams::{SLOTS, receive};
use crate::netlink::link::Listed;
use crate::side::Side;

/// `NETLINK_ROUTE` and `NETLINK_NETFILTER`.
const ROUTE: isize = 0;
const NETFILTER: isize = 12;
/// `NFNLGRP_NFTABLES`, as a bit.
const NFTABLES: u32 = 1 << 6;
/// `RTM_NEWNETCONF`, and `RTM_DELNETCONF`, which says that a link is gone.
const NEW_NETCONF: u16 = 80;
const DELETE_NETCONF: u16 = 81;
/// `NFNL_SUBSYS_NFTABLES`, and its `NFT_MSG_NEWGEN`, which only ends a transaction.
const NF_TABLES: u16 = 10;
const NEW_GENERATION: u16 = 15;
/// `NFT_MSG_NEWCHAIN` to `NFT_MSG_DELRULE`, and `NFT_MSG_DELTABLE`: of others' tables, only these matter.
const CHAINS_AND_RULES: std::ops::RangeInclusive<u16> = 2..=8;
/// Every nf_tables message names its table in the attribute of this number.
const TABLE: u16 = 1;
/// Room for what a burst of our own says, about 2 KiB for each change of a link.
const RECEIVE_BUFFER: usize = 4 << 20;

/// See the module.
pub(crate) struct Subscription {
    side: Side,
    route: Socket,
    nft: Socket,
    /// The number of the socket by which we change nf_tables ourselves.
    own_nft: u32,
    /// The name of our tables.
    table: String,
    /// Links by index: what is said of addresses and routes names no links.
    links: BTreeMap<u32, Known>,
}

/// What the last message said of a link.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) up: bool,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("side", &self.side).finish_non_exhaustive()
    }
}

impl Subscription {
    /// Subscribes in the namespace of the calling thread; everything that changes from now on is heard.
    pub(crate) fn open(side: Side, own_nft: u32, table: String) -> io::Result<Self> {
        let (route, nft) = (open(ROUTE, groups(side))?, open(NETFILTER, NFTABLES)?);
        Ok(Self { side, route, nft, own_nft, table, links: BTreeMap::new() })
    }

    /// Copies of the sockets, to wait for.
    pub(crate) fn sockets(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([borrow(&self.route).try_clone_to_owned()?, borrow(&self.nft).try_clone_to_owned()?])
    }

    /// Takes over what a listing says.
    pub(crate) fn learn(&mut self, links: &[Listed]) {
        let known = |link: &Listed| (link.index, Known { name: link.name.clone(), up: link.up });
        self.links = links.iter().map(known).collect();
    }

    /// Everything that was said since the last call.
    pub(crate) fn heard(&mut self) -> Heard {
        let mut heard = Heard::default();
        let side = self.side;
        let links = &mut self.links;
        let said = read_all(&self.route, |message| match message.message_type() {
            NEW_NETCONF => heard.netconf(message.payload()),
            DELETE_NETCONF => {}
            _ => heard.route(message.into_inner(), links),
        });
        heard.lost |= said.is_err();
        let said = read_all(&self.nft, |message| {
            let ours = message.port_number() == self.own_nft;
            heard.tables |= !ours && concerns(side, message.message_type(), message.payload(), &self.table);
        });
        heard.lost |= said.is_err();
        heard
    }
}

/// Whether a change of nf_tables by somebody else concerns us: in the fabric everything does, on the host our tables,
/// and the chains that our packets may have to pass.
fn concerns(side: Side, message_type: u16, payload: &[u8], ours: &str) -> bool {
    let kind = message_type & 0xff;
    if message_type >> 8 != NF_TABLES || kind == NEW_GENERATION {
        return false;
    }
    // Behind the header of four bytes.
    let attributes = NlasIterator::new(payload.get(4..).unwrap_or_default());
    let table = attributes.flatten().find(|attribute| attribute.kind() == TABLE);
    let is_ours = table.is_some_and(|table| table.value().strip_suffix(&[0]) == Some(ours.as_bytes()));
    side == Side::Fabric || is_ours || CHAINS_AND_RULES.contains(&kind)
}

fn groups(side: Side) -> u32 {
    use MulticastGroup::{
        Ipv4Ifaddr, Ipv4Netconf, Ipv4Route, Ipv4Rule, Ipv6Ifaddr, Ipv6Netconf, Ipv6Route, Ipv6Rule, Link,
        Neigh,
    };
    let both = [Link, Ipv4Ifaddr, Ipv4Netconf, Ipv4Route, Ipv6Ifaddr, Ipv6Netconf, Ipv6Route];
    let fabric = [Neigh, Ipv4Rule, Ipv6Rule];
    let groups = both.into_iter().chain(fabric.into_iter().filter(|_| side == Side::Fabric));
    groups.fold(0, |bits, group| bits | 1 << (group as u32 - 1))
}

fn open(protocol: isize, groups: u32) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    // Without CAP_NET_ADMIN in the initial user namespace the default stays: more is lost, and looked at.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(borrow(&socket), RECEIVE_BUFFER);
    socket.set_non_blocking(true)?;
    socket.bind(&SocketAddr::new(0, groups))?;
    Ok(socket)
}

fn borrow(socket: &Socket) -> BorrowedFd<'_> {
    // SAFETY: the socket is open as long as the borrow of it lives.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

/// Reads until there is nothing more.
///
/// # Errors
/// Something was lost, or can't be read.
fn read_all(socket: &Socket, mut take: impl FnMut(NetlinkBuffer<&[u8]>)) -> io::Result<()> {
    let mut lost = Ok(());
    loop {
        let read = receive(borrow(socket), |mut datagram| {
            while let Ok(message) = NetlinkBuffer::new_checked(datagram) {
                let length = (message.length() as usize).next_multiple_of(4);
                take(message);
                datagram = datagram.get(length..).unwrap_or_default();
            }
        });
        match read {
            Ok(SLOTS) => {}
            Ok(_) => return lost,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return lost,
            // What came after the loss can still be read.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => lost = Err(error),
            Err(error) => return Err(error),
        }
    }
}
