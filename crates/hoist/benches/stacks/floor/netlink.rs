//! One request: a veth pair, one end a port of the bridge and up, the other in a process's network namespace.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

pub(super) struct Socket {
    socket: netlink_sys::Socket,
    bridge: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket of this network namespace, for ports of `bridge`.
    pub(super) fn open(bridge: &str) -> Self {
        let socket =
            netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_ROUTE).expect("a netlink socket");
        socket.connect(&netlink_sys::SocketAddr::new(0, 0)).expect("the kernel is there");
        let bridge = nix::net::if_::if_nametoindex(bridge).expect("the bridge is there");
        Self { socket, bridge, buffer: vec![0; 16 << 10] }
    }

    /// Makes the pair.
    pub(super) fn veth(&mut self, name: &str, process: u32) {
        let mut far = LinkMessage::default();
        far.attributes = vec![LinkAttribute::IfName("eth0".to_owned()), LinkAttribute::NetNsPid(process)];
        let mut near = LinkMessage::default();
        near.header.flags = LinkFlags::Up;
        near.header.change_mask = LinkFlags::Up;
        near.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Controller(self.bridge),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
            ]),
        ];
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewLink(near));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        request.finalize();
        request.serialize(&mut self.buffer);
        self.socket.send(&self.buffer[..request.buffer_len()], 0).expect("the kernel takes a request");
        let (answer, _) = self.socket.recv_from_full().expect("the kernel answers");
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).expect("an answer");
        let refused = matches!(&answer.payload, NetlinkPayload::Error(error) if error.code.is_some());
        assert!(!refused, "veth {name}: {answer:?}");
    }
}
