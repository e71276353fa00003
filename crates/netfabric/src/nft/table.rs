//! Tables as values, and the messages that make them.

use netlink_packet_core::{Emitable, NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, InetHookNumber, NfTablesMessage, RuleAttribute,
    RuleMessage, SetAttribute, SetFlags, SetMessage, TableAttribute, TableMessage,
};

use super::expr::Expr;
use super::{family_name, message, protocol_family};
use crate::family::TableFamily;
use crate::netlink::Request;

/// A table: its sets stand before its rules, which look things up in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) family: TableFamily,
    pub(crate) name: String,
    pub(crate) sets: Vec<Set>,
    pub(crate) chains: Vec<Chain>,
}

/// A set or map; always with single keys, which the kernel looks up by hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [Datatype],
    /// Empty for a set.
    pub(crate) data: &'static [Datatype],
}

/// A base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    pub(crate) kind: ChainKind,
    pub(crate) hook: InetHookNumber,
    pub(crate) priority: i32,
    pub(crate) rules: Vec<Vec<Expr>>,
}

/// What a chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainKind {
    Filter,
    Nat,
}

/// Types of keys and data: `nft`'s numbers, which the kernel only stores, and lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Datatype {
    Ipv4,
    Ipv6,
    Protocol,
    Port,
    /// A host-order number (`nft` calls the type a mark).
    Number,
    Mac,
    LinkName,
}

impl Datatype {
    const fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Mac => 9,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Number => 19,
            Self::LinkName => 41,
        }
    }

    /// Bytes, padded to a register's four.
    const fn padded_len(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Protocol | Self::Port | Self::Number => 4,
            Self::Mac => 8,
            Self::Ipv6 | Self::LinkName => 16,
        }
    }
}

impl Table {
    /// Messages that put this table, without elements, in the place of whatever has its name.
    ///
    /// The first adds the table when it is missing, so that its removal can't fail.
    pub(crate) fn replace(&self) -> Vec<Request<NetfilterMessage>> {
        let mut requests =
            vec![self.add(None), remove(self.family, &self.name), self.add(Some(self.digest()))];
        requests.extend(self.content());
        requests
    }

    /// A number that changes whenever the table's sets, chains or rules do; the table carries it.
    pub(crate) fn digest(&self) -> u64 {
        // FNV-1a, 64 bits: stable, and nobody gains anything by a collision.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for request in self.content() {
            let mut bytes = vec![0; request.payload.buffer_len()];
            request.payload.emit(&mut bytes);
            for byte in bytes {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        hash
    }

    /// How many rules it has.
    pub(crate) fn rules(&self) -> usize {
        self.chains.iter().map(|chain| chain.rules.len()).sum()
    }

    fn add(&self, digest: Option<u64>) -> Request<NetfilterMessage> {
        let mut attributes = vec![TableAttribute::Name(self.name.clone())];
        attributes.extend(digest.map(|digest| TableAttribute::UserData(comment(&comment_text(digest)))));
        self.request("table", NfTablesMessage::NewTable(TableMessage { attributes }), NLM_F_CREATE)
    }

    fn content(&self) -> Vec<Request<NetfilterMessage>> {
        let mut requests = Vec::new();
        for (id, set) in self.sets.iter().enumerate() {
            requests.push(self.add_set(set, id));
        }
        for chain in &self.chains {
            requests.push(self.add_chain(chain));
            requests.extend(chain.rules.iter().map(|rule| self.add_rule(chain, rule)));
        }
        requests
    }

    fn add_set(&self, set: &Set, id: usize) -> Request<NetfilterMessage> {
        let mut flags = SetFlags::empty();
        let mut attributes = vec![
            SetAttribute::Table(self.name.clone()),
            SetAttribute::Name(set.name.to_owned()),
            SetAttribute::KeyType(concat_type(set.key)),
            SetAttribute::KeyLen(concat_len(set.key)),
            SetAttribute::Id(u32::try_from(id).unwrap_or_default() + 1),
        ];
        if !set.data.is_empty() {
            flags |= SetFlags::Map;
            attributes.push(SetAttribute::DataType(concat_type(set.data)));
            attributes.push(SetAttribute::DataLen(concat_len(set.data)));
        }
        attributes.push(SetAttribute::Flags(flags));
        self.request(set.name, NfTablesMessage::NewSet(SetMessage { attributes }), NLM_F_CREATE)
    }

    fn add_chain(&self, chain: &Chain) -> Request<NetfilterMessage> {
        let kind = match chain.kind {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
        };
        let attributes = vec![
            ChainAttribute::Table(self.name.clone()),
            ChainAttribute::Name(chain.name.to_owned()),
            ChainAttribute::Hook(vec![
                Hook::Number(HookNumber::Inet(chain.hook)),
                Hook::Priority(chain.priority.cast_unsigned()),
            ]),
            ChainAttribute::Type(kind.to_owned()),
        ];
        self.request(chain.name, NfTablesMessage::NewChain(ChainMessage { attributes }), NLM_F_CREATE)
    }

    fn add_rule(&self, chain: &Chain, rule: &[Expr]) -> Request<NetfilterMessage> {
        let attributes = vec![
            RuleAttribute::Table(self.name.clone()),
            RuleAttribute::Chain(chain.name.to_owned()),
            RuleAttribute::Expressions(rule.iter().map(Expr::attribute).collect()),
        ];
        let message = NfTablesMessage::NewRule(RuleMessage { attributes });
        self.request(chain.name, message, NLM_F_CREATE | NLM_F_APPEND)
    }

    fn request(&self, what: &str, inner: NfTablesMessage, flags: u16) -> Request<NetfilterMessage> {
        let family = protocol_family(self.family);
        let what = format!("add {what} to nftables table {} {}", family_name(family), self.name);
        Request::new(what, message(family, inner), flags)
    }
}

/// Removes a table with everything in it.
pub(crate) fn remove(family: TableFamily, name: &str) -> Request<NetfilterMessage> {
    let family = protocol_family(family);
    let attributes = vec![TableAttribute::Name(name.to_owned())];
    Request::new(
        format!("remove nftables table {} {name}", family_name(family)),
        message(family, NfTablesMessage::DeleteTable(TableMessage { attributes })),
        0,
    )
}

/// Wraps a comment as `nft` does: type 0, length, text with its NUL.
pub(crate) fn comment(text: &str) -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)];
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes
}

/// The text of a comment; `None` when the user data is something else.
pub(crate) fn read_comment(bytes: &[u8]) -> Option<&str> {
    let (&[0, length], text) = bytes.split_first_chunk()? else { return None };
    let text = text.get(..usize::from(length))?;
    std::str::from_utf8(text.strip_suffix(&[0]).unwrap_or(text)).ok()
}

fn comment_text(digest: u64) -> String {
    format!("hoist {digest:016x}")
}

/// The digest that [`Table::replace`] left in a table.
pub(crate) fn read_digest(user_data: &[u8]) -> Option<u64> {
    u64::from_str_radix(read_comment(user_data)?.strip_prefix("hoist ")?, 16).ok()
}

fn concat_type(parts: &[Datatype]) -> u32 {
    // `nft` packs the types of a concatenation six bits each, the first one highest.
    parts.iter().fold(0, |packed, part| packed << 6 | part.number())
}

fn concat_len(parts: &[Datatype]) -> u32 {
    parts.iter().map(|part| part.padded_len()).sum()
}
