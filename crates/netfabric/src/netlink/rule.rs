//! Policy rules: which routing table is asked (ip-rule(8)).

use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion};

use super::KernelError;
use super::rtnl::{Change, Rtnl};
use crate::family::Family;
use crate::observed::RuleObserved;

/// Lists the rules of a family.
pub(crate) fn list(rtnl: &mut Rtnl, family: Family) -> Result<Vec<RuleObserved>, KernelError> {
    let messages =
        rtnl.list(&format!("list {family} rules"), |handle| handle.rule().get(version(family)).execute())?;
    Ok(messages.iter().map(|message| listed(message, family)).collect())
}

/// Has a table asked.
pub(crate) fn add(rule: RuleObserved) -> Change {
    Change::new(format!("add rule {rule}"), move |handle| {
        let mut request = handle.rule().add();
        *request.message_mut() = message(handle, rule);
        request.execute()
    })
}

/// Has it asked no more.
pub(crate) fn remove(rule: RuleObserved) -> Change {
    Change::new(format!("remove rule {rule}"), move |handle| {
        handle.rule().del(message(handle, rule)).execute()
    })
}

fn message(handle: &Handle, rule: RuleObserved) -> RuleMessage {
    let request = handle.rule().add().priority(rule.priority).table_id(rule.table);
    let request = request.action(RuleAction::ToTable);
    match rule.family {
        Family::V4 => request.v4().message_mut().clone(),
        Family::V6 => request.v6().message_mut().clone(),
    }
}

/// What a message tells of a rule.
pub(crate) fn listed(message: &RuleMessage, family: Family) -> RuleObserved {
    let mut rule = RuleObserved { family, priority: 0, table: message.header.table.into() };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Table(table) => rule.table = *table,
            _ => {}
        }
    }
    rule
}

fn version(family: Family) -> IpVersion {
    match family {
        Family::V4 => IpVersion::V4,
        Family::V6 => IpVersion::V6,
    }
}
