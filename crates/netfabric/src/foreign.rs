//! Firewalls of others on the host.
//!
//! Every forwarded packet of the host passes every base chain at its forward hook. One that drops what
//! it doesn't know (Docker's, ufw's, firewalld's) would drop ours; there we keep two tagged rules at
//! the head, one for each direction of our one link. Nothing else of others is ever touched.

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, ExpressionAttribute, Expressions, Hook, HookNumber,
    Immediate, InetHookNumber, ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage, Verdict,
    VerdictAttribute,
};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterProtoFamily};

use crate::netlink::{KernelError, Request, Socket};
use crate::nft::dump::{self, nf_tables};
use crate::nft::expr::{Expr, Meta, link_name};
use crate::nft::table::{comment, read_comment};
use crate::nft::{family_name, message};
use crate::observed::ForeignChain;

pub(crate) mod legacy;

/// `NF_DROP`: as a policy, and as a verdict.
const DROP: u32 = 0;
const FAMILIES: [NetfilterProtoFamily; 3] =
    [NetfilterProtoFamily::IPv4, NetfilterProtoFamily::IPv6, NetfilterProtoFamily::Inet];

/// Lists the base chains of others at the forward hook; `tag` marks our rules in them.
pub(crate) fn list(socket: &mut Socket, tag: &str) -> Result<Vec<ForeignChain>, KernelError> {
    let get = NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() });
    let request = Request::new("list nftables chains", message(NetfilterProtoFamily::Unspec, get), 0);
    let found: Vec<Found> = socket.dump(request)?.iter().filter_map(read_chain).collect();
    let mut chains = Vec::new();
    for chain in found {
        let rules = dump::rules(socket, chain.family, &chain.table, Some(&chain.name))?;
        chains.push(ForeignChain {
            family: family_name(chain.family),
            drops: chain.policy == Some(DROP) || rules.last().is_some_and(|rule| refuses_all(rule)),
            ours: rules.iter().any(|rule| is_ours(rule, tag)),
            table: chain.table,
            chain: chain.name,
        });
    }
    Ok(chains)
}

/// Messages that let our link's packets through a chain.
pub(crate) fn allow(chain: &ForeignChain, link: &str, tag: &str) -> Vec<Request<NetfilterMessage>> {
    [Meta::InName, Meta::OutName]
        .into_iter()
        .map(|direction| {
            // The shape in which iptables writes `-i LINK -j ACCEPT`, so that it can show it.
            let steps = [
                Expr::Meta { key: direction, to: 0 },
                Expr::Equal { register: 0, value: link_name(link) },
                Expr::Counter,
                Expr::Accept,
            ];
            let attributes = vec![
                RuleAttribute::Table(chain.table.clone()),
                RuleAttribute::Chain(chain.chain.clone()),
                RuleAttribute::Expressions(steps.iter().map(Expr::attribute).collect()),
                RuleAttribute::UserData(comment(tag)),
            ];
            let message = message(family(chain), NfTablesMessage::NewRule(RuleMessage { attributes }));
            // Without "append" a rule is put at the head.
            Request::new(format!("let {link} pass {chain}"), message, NLM_F_CREATE)
        })
        .collect()
}

/// Messages that remove our rules from a chain.
pub(crate) fn withdraw(
    socket: &mut Socket,
    chain: &ForeignChain,
    tag: &str,
) -> Result<Vec<Request<NetfilterMessage>>, KernelError> {
    let rules = dump::rules(socket, family(chain), &chain.table, Some(&chain.chain))?;
    let handles = rules.iter().filter(|rule| is_ours(rule, tag)).filter_map(|rule| {
        rule.iter().find_map(|attribute| match attribute {
            RuleAttribute::Handle(handle) => Some(*handle),
            _ => None,
        })
    });
    let remove = |handle| {
        let attributes = vec![
            RuleAttribute::Table(chain.table.clone()),
            RuleAttribute::Chain(chain.chain.clone()),
            RuleAttribute::Handle(handle),
        ];
        let message = message(family(chain), NfTablesMessage::DeleteRule(RuleMessage { attributes }));
        Request::new(format!("remove our rule from {chain}"), message, 0)
    };
    Ok(handles.map(remove).collect())
}

struct Found {
    family: NetfilterProtoFamily,
    table: String,
    name: String,
    policy: Option<u32>,
}

fn family(chain: &ForeignChain) -> NetfilterProtoFamily {
    let named = |family: &NetfilterProtoFamily| family_name(*family) == chain.family;
    FAMILIES.into_iter().find(named).unwrap_or(NetfilterProtoFamily::Unspec)
}

fn read_chain(message: &NetfilterMessage) -> Option<Found> {
    let family = message.header.family;
    let NfTablesMessage::NewChain(chain) = nf_tables(message)? else { return None };
    let mut found = Found { family, table: String::new(), name: String::new(), policy: None };
    let mut forwards = false;
    for attribute in &chain.attributes {
        match attribute {
            ChainAttribute::Table(table) => found.table.clone_from(table),
            ChainAttribute::Name(name) => found.name.clone_from(name),
            ChainAttribute::Policy(policy) => found.policy = Some(*policy),
            ChainAttribute::Hook(hook) => {
                forwards = hook.contains(&Hook::Number(HookNumber::Inet(InetHookNumber::Forward)));
            }
            _ => {}
        }
    }
    // Another fabric's chain drops only what leads to that fabric.
    let foreign = !found.table.starts_with("hoist-");
    (forwards && foreign && FAMILIES.contains(&family)).then_some(found)
}

fn is_ours(rule: &[RuleAttribute], tag: &str) -> bool {
    rule.iter().any(|attribute| match attribute {
        RuleAttribute::UserData(bytes) => read_comment(bytes) == Some(tag),
        _ => false,
    })
}

/// Whether a rule refuses whatever reaches it: it has no condition.
fn refuses_all(rule: &[RuleAttribute]) -> bool {
    let expressions = rule.iter().find_map(|attribute| match attribute {
        RuleAttribute::Expressions(expressions) => Some(expressions),
        _ => None,
    });
    let mut refuses = false;
    for expression in expressions.into_iter().flatten() {
        let ListAttribute::Element(parts) = expression else { return false };
        for part in parts {
            match part {
                ExpressionAttribute::Name(name) if name == "reject" => refuses = true,
                ExpressionAttribute::Name(name)
                    if !matches!(name.as_str(), "counter" | "log" | "immediate") =>
                {
                    return false;
                }
                ExpressionAttribute::Data(Expressions::Immediate(parts)) => refuses |= drops(parts),
                _ => {}
            }
        }
    }
    refuses
}

fn drops(parts: &[Immediate]) -> bool {
    parts.iter().any(|part| match part {
        Immediate::Data(DataAttribute::Verdict(verdict)) => {
            verdict.contains(&VerdictAttribute::Code(Verdict::Other(DROP)))
        }
        _ => false,
    })
}
