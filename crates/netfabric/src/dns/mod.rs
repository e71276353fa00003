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
mod server;
mod sockets;
mod stream;
mod turns;
mod upstream;
mod waiter;
mod watch;
mod zone;

pub use explain::explain;
pub use resolv_conf::ResolvConf;
pub use resolve::{Answer, Kind, Origin, Question, Withheld, resolve};
pub use server::{Config, Notice, ServeError, serve};
pub use sockets::{BindError, DnsSockets, bind_sockets};
pub use upstream::Resolvers;
pub use zone::{FORMAT, Instance, Network, Record, Table, Upstream, Zone, ZoneError};
