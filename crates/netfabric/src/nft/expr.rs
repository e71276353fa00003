//! Expressions: the steps of a rule.
//!
//! A rule loads values into registers, compares or looks them up, and ends in a verdict or statement.
//! Values occupy 32-bit registers, numbered from 0 here; the parts of a concatenated key lie in
//! consecutive ones, each part padded to four bytes.

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};
use netlink_packet_netfilter::nftables::{ExpressionAttribute, Expressions, ListAttribute};

use crate::family::Family;

/// `NFT_REG32_00`: the kernel's number of our register 0.
const FIRST_REGISTER: u32 = 8;
/// Of every hash: what two rules make of the same bytes must agree.
const HASH_SEED: u32 = 0x686f_6973;

/// Where a header field is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// 0 link layer header, 1 network header, 2 transport header (`enum nft_payload_bases`).
    pub(crate) base: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

impl Field {
    /// The source port of TCP and UDP.
    pub(crate) const SOURCE_PORT: Self = Self { base: 2, offset: 0, len: 2 };
    /// The destination port of TCP and UDP.
    pub(crate) const DESTINATION_PORT: Self = Self { base: 2, offset: 2, len: 2 };
    /// The flags of TCP.
    pub(crate) const TCP_FLAGS: Self = Self { base: 2, offset: 13, len: 1 };
    /// The type of an ICMP or ICMPv6 message.
    pub(crate) const ICMP_TYPE: Self = Self { base: 2, offset: 0, len: 1 };

    /// The Ethernet header's source address.
    pub(crate) const ETHER_SOURCE: Self = Self { base: 0, offset: 6, len: 6 };
    /// The Ethernet header's type; that of a VLAN tag where there is one, also when the kernel has taken the
    /// tag out of the frame.
    pub(crate) const ETHER_TYPE: Self = Self { base: 0, offset: 12, len: 2 };
    /// ARP: hardware type, protocol type and the lengths of their addresses.
    pub(crate) const ARP_TYPES: Self = Self { base: 1, offset: 0, len: 6 };
    /// ARP over Ethernet for IPv4: the sender's hardware address.
    pub(crate) const ARP_SENDER_MAC: Self = Self { base: 1, offset: 8, len: 6 };
    /// ARP over Ethernet for IPv4: the sender's address.
    pub(crate) const ARP_SENDER: Self = Self { base: 1, offset: 14, len: 4 };
    /// The target of a neighbour solicitation or advertisement, RFC 4861.
    pub(crate) const ND_TARGET: Self = Self { base: 2, offset: 8, len: 16 };
    /// Source and destination port of TCP and UDP.
    pub(crate) const PORTS: Self = Self { base: 2, offset: 0, len: 4 };

    /// The IP header's source address.
    pub(crate) const fn source(family: Family) -> Self {
        match family {
            Family::V4 => Self { base: 1, offset: 12, len: 4 },
            Family::V6 => Self { base: 1, offset: 8, len: 16 },
        }
    }

    /// The IP header's destination address.
    pub(crate) const fn destination(family: Family) -> Self {
        match family {
            Family::V4 => Self { base: 1, offset: 16, len: 4 },
            Family::V6 => Self { base: 1, offset: 24, len: 16 },
        }
    }
}

/// Facts about a packet that are not in its headers (`enum nft_meta_keys`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meta {
    /// The name of the link it came in by; 16 bytes.
    InName,
    /// The name of the link it goes out by; 16 bytes.
    OutName,
    /// The transport protocol's number; one byte.
    Protocol,
}

/// What connection tracking knows (`enum nft_ct_keys`); both are host-order bit sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ct {
    State,
    Status,
}

impl Ct {
    /// Bits of [`Ct::State`] (`NF_CT_STATE_BIT`).
    pub(crate) const INVALID: u32 = 1;
    pub(crate) const ESTABLISHED: u32 = 1 << 1;
    pub(crate) const RELATED: u32 = 1 << 2;
    pub(crate) const UNTRACKED: u32 = 1 << 6;
    /// A bit of [`Ct::Status`]: the destination is translated (`IPS_DST_NAT`).
    pub(crate) const DNAT: u32 = 1 << 5;
}

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    /// Loads a header field.
    Load { field: Field, to: u32 },
    /// Loads a fact.
    Meta { key: Meta, to: u32 },
    /// Loads what connection tracking knows.
    Ct { key: Ct, to: u32 },
    /// Loads the route type of the destination address (`RTN_*`, host order).
    DestinationType { to: u32 },
    /// A random number below `modulus`. A counter would be shared by all service addresses, and steps in time with
    /// whoever asks for two in turn: one of two backends then never gets a connection.
    Random { modulus: u32, to: u32 },
    /// A number below `modulus` that follows from `len` bytes of registers: the same for the same bytes, in every rule.
    Hash { from: u32, len: u32, modulus: u32, to: u32 },
    /// Shifts a register's bits by 16, so that its last two bytes come first.
    SecondHalf { register: u32 },
    /// Has what the packet begins tracked in the zone that the first two bytes of a register name. Its answers are found
    /// without one.
    Zone { register: u32 },
    /// Has the packet not tracked.
    NoTrack,
    /// Keeps the bits of `mask`.
    Mask { register: u32, mask: Vec<u8> },
    /// Goes on when the register holds the value.
    Equal { register: u32, value: Vec<u8> },
    /// Goes on when it doesn't.
    NotEqual { register: u32, value: Vec<u8> },
    /// Goes on when the key is in the set; loads the data when it is a map.
    Lookup { set: &'static str, key: u32, data: Option<u32> },
    /// Goes on when the key is not in the set.
    NotIn { set: &'static str, key: u32 },
    /// Loads a host-order number.
    Number { value: u32, to: u32 },
    /// Translates the destination to the address, and the port, in registers. Final.
    Dnat { family: Family, address: u32, port: Option<u32> },
    /// Translates the source to the address of the link it goes out by. Final.
    Masquerade,
    /// Refuses with a TCP reset. Final.
    Reset,
    /// Refuses with an ICMP "unreachable" of the rule's family and this code. Final.
    Unreachable { code: u8 },
    /// Counts packets and bytes.
    Counter,
    /// Final.
    Accept,
    /// Final.
    Drop,
}

impl Expr {
    /// The element of a rule's expression list.
    pub(crate) fn attribute(&self) -> ListAttribute<ExpressionAttribute> {
        let (expression_type, attributes) = self.encode();
        ListAttribute::from(Expressions::Other { expression_type: expression_type.to_owned(), attributes })
    }

    fn encode(&self) -> (&'static str, Vec<DefaultNla>) {
        match self {
            Self::Load { field, to } => (
                "payload",
                vec![register(1, *to), word(2, field.base), word(3, field.offset), word(4, field.len)],
            ),
            Self::Meta { key, to } => ("meta", vec![register(1, *to), word(2, meta_key(*key))]),
            Self::Ct { key, to } => ("ct", vec![register(1, *to), word(2, ct_key(*key))]),
            // NFT_FIB_RESULT_ADDRTYPE of NFTA_FIB_F_DADDR.
            Self::DestinationType { to } => ("fib", vec![register(1, *to), word(2, 3), word(3, 2)]),
            // NFT_NG_RANDOM.
            Self::Random { modulus, to } => ("numgen", vec![register(1, *to), word(2, *modulus), word(3, 1)]),
            Self::Hash { from, len, modulus, to } => (
                "hash",
                // Without a seed given, the kernel takes another one for each rule.
                vec![
                    register(1, *from),
                    register(2, *to),
                    word(3, *len),
                    word(4, *modulus),
                    word(5, HASH_SEED),
                ],
            ),
            Self::NoTrack => ("notrack", Vec::new()),
            Self::SecondHalf { register: reg } => ("bitwise", encode_shift(*reg)),
            // NFT_CT_ZONE, IP_CT_DIR_ORIGINAL.
            Self::Zone { register: reg } => {
                ("ct", vec![word(2, 17), DefaultNla::new(3, vec![0]), register(4, *reg)])
            }
            Self::Mask { register: reg, mask } => ("bitwise", encode_mask(*reg, mask)),
            Self::Equal { register: reg, value } => ("cmp", encode_cmp(*reg, 0, value)),
            Self::NotEqual { register: reg, value } => ("cmp", encode_cmp(*reg, 1, value)),
            Self::Lookup { set, key, data } => ("lookup", encode_lookup(set, *key, *data)),
            // NFT_LOOKUP_F_INV.
            Self::NotIn { set, key } => ("lookup", vec![text(1, set), register(2, *key), word(5, 1)]),
            Self::Number { value, to } => (
                "immediate",
                vec![register(1, *to), nested(2, &[DefaultNla::new(1, value.to_ne_bytes().to_vec())])],
            ),
            Self::Dnat { family, address, port } => ("nat", encode_dnat(*family, *address, *port)),
            Self::Masquerade => ("masq", Vec::new()),
            // NFT_REJECT_TCP_RST, and NFT_REJECT_ICMP_UNREACH.
            Self::Reset => ("reject", vec![word(1, 1)]),
            Self::Unreachable { code } => ("reject", vec![word(1, 0), DefaultNla::new(2, vec![*code])]),
            Self::Counter => {
                ("counter", vec![DefaultNla::new(1, vec![0; 8]), DefaultNla::new(2, vec![0; 8])])
            }
            Self::Accept => ("immediate", encode_verdict(1)),
            Self::Drop => ("immediate", encode_verdict(0)),
        }
    }
}

/// An interface name as the kernel compares it: 16 bytes, padded with NUL.
pub(crate) fn link_name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn meta_key(key: Meta) -> u32 {
    match key {
        Meta::InName => 6,
        Meta::OutName => 7,
        Meta::Protocol => 16,
    }
}

fn ct_key(key: Ct) -> u32 {
    match key {
        Ct::State => 0,
        Ct::Status => 2,
    }
}

fn encode_mask(reg: u32, mask: &[u8]) -> Vec<DefaultNla> {
    let length = u32::try_from(mask.len()).unwrap_or_default();
    vec![
        register(1, reg),
        register(2, reg),
        word(3, length),
        nested(4, &[DefaultNla::new(1, mask.to_vec())]),
        nested(5, &[DefaultNla::new(1, vec![0; mask.len()])]),
    ]
}

fn encode_shift(reg: u32) -> Vec<DefaultNla> {
    // NFT_BITWISE_RSHIFT; the number of bits is in the host's order.
    let bits = nested(7, &[DefaultNla::new(1, 16_u32.to_ne_bytes().to_vec())]);
    vec![register(1, reg), register(2, reg), word(3, 4), word(6, 2), bits]
}

fn encode_cmp(reg: u32, operator: u32, value: &[u8]) -> Vec<DefaultNla> {
    vec![register(1, reg), word(2, operator), nested(3, &[DefaultNla::new(1, value.to_vec())])]
}

fn encode_lookup(set: &str, key: u32, data: Option<u32>) -> Vec<DefaultNla> {
    let mut attributes = vec![text(1, set), register(2, key)];
    attributes.extend(data.map(|data| register(3, data)));
    attributes
}

fn encode_dnat(family: Family, address: u32, port: Option<u32>) -> Vec<DefaultNla> {
    let family = match family {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    let mut attributes = vec![word(1, 1), word(2, family), register(3, address)];
    attributes.extend(port.map(|port| register(5, port)));
    attributes
}

fn encode_verdict(code: u32) -> Vec<DefaultNla> {
    // NFT_REG_VERDICT, then NFTA_DATA_VERDICT { NFTA_VERDICT_CODE }.
    vec![word(1, 0), nested(2, &[nested(2, &[word(1, code)])])]
}

fn word(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

fn register(kind: u16, number: u32) -> DefaultNla {
    word(kind, FIRST_REGISTER + number)
}

fn text(kind: u16, value: &str) -> DefaultNla {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    DefaultNla::new(kind, bytes)
}

fn nested(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    DefaultNla::new(kind | NLA_F_NESTED, bytes)
}
