//! Elements of sets and maps.

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList, SetElementMessage,
};

use super::{family_name, message, protocol_family};
use crate::family::TableFamily;
use crate::netlink::Request;

/// A list attribute holds at most 64 KiB, and an element at most 88 bytes.
const PER_MESSAGE: usize = 500;

/// The set that elements belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SetRef<'a> {
    pub(crate) family: TableFamily,
    pub(crate) table: &'a str,
    pub(crate) set: &'a str,
}

/// A key with, in a map, what it leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Raw {
    pub(crate) key: Vec<u8>,
    pub(crate) data: Option<Vec<u8>>,
}

/// Messages that add elements.
pub(crate) fn add(set: SetRef<'_>, elements: &[Raw]) -> Vec<Request<NetfilterMessage>> {
    elements
        .chunks(PER_MESSAGE)
        .map(|chunk| {
            let elements = chunk.iter().map(|element| attributes(element, true)).collect();
            request(set, "add to", NfTablesMessage::NewSetElement(list(set, elements)), NLM_F_CREATE)
        })
        .collect()
}

/// Messages that remove elements, which must be there.
pub(crate) fn remove(set: SetRef<'_>, elements: &[Raw]) -> Vec<Request<NetfilterMessage>> {
    elements
        .chunks(PER_MESSAGE)
        .map(|chunk| {
            let elements = chunk.iter().map(|element| attributes(element, false)).collect();
            request(set, "remove from", NfTablesMessage::DeleteSetElement(list(set, elements)), 0)
        })
        .collect()
}

/// The message that asks for a set's elements.
pub(crate) fn get(set: SetRef<'_>) -> Request<NetfilterMessage> {
    let attributes =
        vec![SetElementList::Table(set.table.to_owned()), SetElementList::Set(set.set.to_owned())];
    request(set, "list", NfTablesMessage::GetSetElement(SetElementMessage { attributes }), 0)
}

/// The elements in an answer to [`get`].
pub(crate) fn read(message: &NfTablesMessage) -> Vec<Raw> {
    let NfTablesMessage::NewSetElement(message) = message else { return Vec::new() };
    let lists = message.attributes.iter().filter_map(|attribute| match attribute {
        SetElementList::Elements(elements) => Some(elements),
        _ => None,
    });
    lists.flatten().filter_map(read_one).collect()
}

fn read_one(element: &ListAttribute<SetElementAttribute>) -> Option<Raw> {
    let ListAttribute::Element(attributes) = element else { return None };
    let mut key = None;
    let mut data = None;
    for attribute in attributes {
        match attribute {
            SetElementAttribute::Key(DataAttribute::Value(value)) => key = Some(value.clone()),
            SetElementAttribute::Data(DataAttribute::Value(value)) => data = Some(value.clone()),
            _ => {}
        }
    }
    Some(Raw { key: key?, data })
}

fn attributes(element: &Raw, with_data: bool) -> ListAttribute<SetElementAttribute> {
    let mut attributes = vec![SetElementAttribute::Key(DataAttribute::Value(element.key.clone()))];
    let data = element.data.as_ref().filter(|_| with_data);
    attributes.extend(data.map(|data| SetElementAttribute::Data(DataAttribute::Value(data.clone()))));
    ListAttribute::Element(attributes)
}

fn list(set: SetRef<'_>, elements: Vec<ListAttribute<SetElementAttribute>>) -> SetElementMessage {
    SetElementMessage {
        attributes: vec![
            SetElementList::Table(set.table.to_owned()),
            SetElementList::Set(set.set.to_owned()),
            SetElementList::Elements(elements),
        ],
    }
}

fn request(set: SetRef<'_>, verb: &str, inner: NfTablesMessage, flags: u16) -> Request<NetfilterMessage> {
    let family = protocol_family(set.family);
    let what = format!("{verb} {} of nftables table {} {}", set.set, family_name(family), set.table);
    Request::new(what, message(family, inner), flags)
}
