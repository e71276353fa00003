//! Names: the server that answers DNS questions inside the fabric.
//!
//! It runs as a process of its own (`hoist dns`), so that names outlive the agent. The process stays
//! in the host's network namespace, where upstream resolvers are reached, and answers on sockets that
//! were bound inside the fabric namespace and handed to it ([`bind_sockets`]). Others hold duplicates
//! of those sockets: when the process is killed, questions wait in the kernel until the next one reads
//! them.
//!
//! What it knows is one file, the [`Zone`], written whole by the agent ([`Zone::write`]). A zone that
//! was renamed into place before a question was sent is the zone that answers it, so a caller may
//! write the zone, then start the instance, without asking back.
//!
//! The source address of a question names the asker, and what an asker may see is decided in one pure
//! function, [`resolve`]. The module owns neither addresses nor names: it is told both.
//!
//! One thread, one epoll loop, no runtime: the process is one of the two that may never be large.

mod connections;
mod explain;
mod file_identity;
mod forward;
mod link;
mod message;
mod poll;
mod reply;
mod resolv_conf;
mod resolve;
mod scrub;
mod server;
mod sockets;
mod stream;
mod turns;
mod upstream;
mod waiter;
mod walk;
mod watch;
mod zone;

pub use explain::explain;
pub use resolv_conf::ResolvConf;
pub use resolve::{Answer, Kind, Origin, Question, Withheld, resolve};
pub use server::{Config, Notice, ServeError, serve};
pub use sockets::{BindError, DnsSockets, bind_sockets};
pub use upstream::Resolvers;
pub use zone::{FORMAT, Instance, Network, Record, Table, Upstream, Zone, ZoneError};

/// See [`crate::fuzz`].
pub(crate) fn fuzz(data: &[u8]) {
    use hickory_proto::op::Message;
    use hickory_proto::serialize::binary::BinDecodable;

    let Some((&length, rest)) = data.split_first() else { return };
    let (question, answer) = rest.split_at(usize::from(length).min(rest.len()));
    let Ok(query) = message::Query::parse(question) else { return };
    // As if it had come from who was asked: else hardly any input would get further.
    let mut answer = answer.to_vec();
    if let (Some(id), Some(flags)) = (answer.get_mut(..2), question.get(..2)) {
        id.copy_from_slice(flags);
    }
    let scrub::Judged::Usable(clean) = scrub::judge(question, answer) else { return };
    if clean[4..6] == [0, 1] {
        let walked = walk::walk(&clean).expect("what is passed on can be read");
        assert_eq!(walked.end, clean.len(), "nothing follows it");
        assert_eq!(
            scrub::judge(question, clean.clone()),
            scrub::Judged::Usable(clean.clone()),
            "nothing is left to do"
        );
    }
    for transport in [message::Transport::Udp, message::Transport::Tcp] {
        let adopted = query.adopt(&clean, transport);
        assert!(adopted.len() <= query.capacity(transport).max(usize::from(u16::MAX)));
        assert_eq!(adopted[..2], question[..2]);
        let _ = Message::from_bytes(&adopted);
    }
}
