//! The agent's hold on the network fabric: makes it when the first network is wanted, brings it to what the planner
//! wants, keeps reservations and the name server's sockets, removes it with the last network.
//!
//! Changes are made one after the other; attaching instances goes on beside them.

mod convert;
mod flows;
mod mend;
mod ports;
pub(crate) mod ranges;
mod routes;
pub(crate) mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hoist_keeper::protocol::{Reply, Request};
use hoist_model::{InstanceUid, NetworkId, NetworkReport, NetworkSpec};
use hoist_netfabric as net;
use hoist_netfabric::dns::{DnsSockets, bind_sockets};
use hoist_planner::cluster::Pool;
use hoist_planner::host::{Application, FabricSeen, FabricWanted, Input, StepError};
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};

use crate::chain::chain;
use crate::control::clock::monotonic;
use crate::control::inbox::{Inbox, Message};
use crate::fabric::ranges::{Claim, Ranges};
use crate::instances::steps::context::InstanceContext;
use crate::layout::Layout;
use crate::loops::{Loops, without_error};
use crate::outcome::{blocking, failed, refused};
use crate::processes::dns_process;
use crate::processes::link::Link;
use ports::Reservations;

/// The keeper's name for the sockets that claim the root's address ranges.
const RANGES: &str = "address-ranges";
/// The keeper's name for the name server's sockets.
const DNS: &str = "dns-sockets";
/// How often the kernel's state is looked at without a reason.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How often the links to instances are counted: one question to the kernel.
const COUNT: Duration = Duration::from_secs(2);

/// A fabric that may be there or not. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FabricLink {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    config: net::FabricConfig,
    /// The root's short name.
    tag: String,
    claim: Claim,
    inbox: Inbox,
    /// The newest wanted fabric that isn't applied yet: older ones are skipped.
    next: Mutex<Option<(u64, FabricWanted)>>,
    news: Notify,
    state: AsyncMutex<State>,
    /// What others read without waiting for a change to end.
    handle: Mutex<Option<Arc<net::Fabric>>>,
    networks: Mutex<BTreeMap<NetworkId, NetworkSpec>>,
    sockets: watch::Sender<Vec<Arc<OwnedFd>>>,
    link: Mutex<Option<Link>>,
    /// Instances that are gone, whose flows are to be ended.
    gone: Mutex<Vec<flows::Departure>>,
    departures: Notify,
    /// Something went wrong with the fabric, or may have: it should be looked at anew.
    doubt: Arc<Notify>,
    /// Links to instances are gone, with the instances or without.
    ports: Arc<Notify>,
}

#[derive(Default)]
struct State {
    fabric: Option<Arc<net::Fabric>>,
    /// Mends the fabric while it is there.
    mending: Option<tokio::task::AbortHandle>,
    wanted: FabricWanted,
    reservations: Reservations,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The fabric's own ranges out of the root's: service addresses, and the last of them for the pair of links that joins
/// host and fabric.
pub(crate) fn config(layout: &Layout, tag: &str, pool: &Pool) -> net::FabricConfig {
    // The range behind that of the service addresses, of the same size, is the fabric's own.
    let last = u32::from(pool.services4.broadcast()) + pool.services4.size();
    let uplink4 = Ipv4Network::new((last - 3).into(), 30).expect("30 is a prefix length");
    let ula = u128::from(pool.ula.network());
    let subnet = |number: u128, prefix: u8| {
        Ipv6Network::new((ula + (number << 64)).into(), prefix).expect("a prefix below 129 is valid")
    };
    net::FabricConfig {
        netns_path: layout.fabric_netns(),
        tag: net::Tag::new(tag).expect("eight hexadecimal digits are a tag"),
        uplink4,
        uplink6: Some(subnet(0xfffe, 126)),
        services4: pool.services4,
        services6: Some(pool.services6()),
        mtu: 1500,
    }
}

impl FabricLink {
    /// Starts the task that applies changes. Nothing is made before the first network is wanted.
    pub(crate) fn start(layout: &Layout, tag: &str, ranges: Ranges, inbox: Inbox, loops: &mut Loops) -> Self {
        let inner = Arc::new(Inner {
            layout: layout.clone(),
            config: config(layout, tag, &ranges.pool),
            tag: tag.to_owned(),
            claim: ranges.claim,
            inbox,
            next: Mutex::default(),
            news: Notify::new(),
            state: AsyncMutex::default(),
            handle: Mutex::default(),
            networks: Mutex::default(),
            sockets: watch::Sender::default(),
            link: Mutex::default(),
            gone: Mutex::default(),
            departures: Notify::new(),
            doubt: Arc::default(),
            ports: Arc::default(),
        });
        loops.spawn(without_error(apply_all(Arc::downgrade(&inner))));
        loops.spawn(without_error(flows::end(Arc::downgrade(&inner))));
        Self { inner }
    }

    /// Networks that exist.
    pub(crate) fn networks(&self) -> BTreeMap<NetworkId, NetworkReport> {
        let networks = lock(&self.inner.networks);
        networks
            .iter()
            .map(|(id, spec)| (id.clone(), NetworkReport { subnets: spec.subnets.clone() }))
            .collect()
    }

    /// An address of the host that its instances reach: the host's end of the link that joins it to the fabric.
    pub(crate) fn host_address(&self) -> Option<IpAddr> {
        self.inner.config.uplink_pair(net::Family::V4).map(|pair| pair.host.ip())
    }

    /// What the host's own routes and links use, but what is ours.
    pub(crate) async fn routes(&self) -> Vec<IpNetwork> {
        let tag = self.inner.tag.clone();
        let found = tokio::task::spawn_blocking(move || ranges::foreign(&tag).unwrap_or_default()).await;
        found.unwrap_or_default()
    }

    /// Tells the loop whenever the host's routes change.
    pub(crate) fn watch_routes(&self, loops: &mut Loops) {
        loops.spawn(without_error(routes::follow(Arc::downgrade(&self.inner))));
    }

    /// The newest wanted fabric; an older one that isn't applied yet is skipped.
    pub(crate) fn apply(&self, number: u64, wanted: FabricWanted) {
        *lock(&self.inner.next) = Some((number, wanted));
        self.inner.news.notify_one();
    }

    /// Makes a network, and the fabric with the first.
    pub(crate) async fn ensure_network(&self, id: &NetworkId, spec: &NetworkSpec) -> Result<(), StepError> {
        let mut state = self.inner.state.lock().await;
        self.inner.open(&mut state).await?;
        lock(&self.inner.networks).insert(id.clone(), spec.clone());
        let applied = self.inner.reconcile(&mut state).await;
        if applied.is_err() {
            lock(&self.inner.networks).remove(id);
        }
        applied
    }

    /// Removes a network, and the fabric with the last.
    pub(crate) async fn remove_network(&self, id: &NetworkId) -> Result<(), StepError> {
        let mut state = self.inner.state.lock().await;
        let last = {
            let mut networks = lock(&self.inner.networks);
            networks.remove(id);
            networks.is_empty()
        };
        if last { self.inner.close(&mut state).await } else { self.inner.reconcile(&mut state).await }
    }

    /// Removes everything; what is still wanted comes back with the next agent.
    pub(crate) async fn close(&self) -> Result<(), StepError> {
        let mut state = self.inner.state.lock().await;
        lock(&self.inner.networks).clear();
        self.inner.close(&mut state).await
    }

    /// A TCP socket in the fabric's namespace, for a connection to an instance.
    pub(crate) async fn socket(&self, to: IpAddr) -> std::io::Result<std::net::TcpStream> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
        let fabric = lock(&self.inner.handle).clone();
        let fabric = fabric.ok_or_else(|| std::io::Error::other("the fabric is not there"))?;
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let open = move || {
            fabric
                .enter(move || socket_with(family, SocketType::STREAM, flags, None))
                .map_err(std::io::Error::other)
        };
        let socket = tokio::task::spawn_blocking(open).await.map_err(std::io::Error::other)??;
        Ok(socket?.into())
    }

    /// Wires an instance's namespace.
    pub(crate) async fn attach(
        &self,
        netns: &OwnedFd,
        uid: InstanceUid,
        instance: &InstanceContext,
    ) -> Result<(), StepError> {
        let attachments = convert::attachments(instance)?;
        if attachments.is_empty() {
            return Ok(());
        }
        let fabric = lock(&self.inner.handle).clone();
        let fabric = fabric.ok_or_else(|| StepError {
            what: "its networks are not there yet".to_owned(),
            hint: None,
            permanent: false,
        })?;
        let netns = netns.try_clone().map_err(|error| failed(&error))?;
        let known = lock(&self.inner.networks).clone();
        let networks =
            known.iter().map(|(id, spec)| (convert::network_id(id), convert::network(id, spec))).collect();
        blocking(move || {
            let instance = uid.short();
            let request = net::AttachRequest {
                netns: netns.as_fd(),
                instance: &instance,
                networks: &networks,
                attachments: &attachments,
            };
            fabric.attach(&request).map(drop).map_err(|error| failed(&error))
        })
        .await
    }

    /// Takes up what an agent before this one left: the fabric, its networks, reservations, the name server's sockets.
    pub(crate) async fn adopt(&self, link: &Link, spec: &hoist_model::HostSpec) -> Result<(), StepError> {
        *lock(&self.inner.link) = Some(link.clone());
        let mut state = self.inner.state.lock().await;
        state.reservations = Reservations::restore(link).await;
        self.inner.keep_claim(link).await;
        if !self.inner.config.netns_path.exists() {
            return Ok(());
        }
        if spec.networks.is_empty() {
            // What an agent that was killed while it removed the last network left.
            return self.inner.close(&mut state).await;
        }
        self.inner.open(&mut state).await?;
        let Some(fabric) = state.fabric.clone() else { return Ok(()) };
        let there = blocking(move || fabric.observe().map_err(|error| failed(&error))).await?;
        let bridge = |id: &NetworkId| there.fabric.links.contains_key(convert::bridge(id).as_str());
        let known = spec.networks.iter().filter(|(id, _)| bridge(id));
        *lock(&self.inner.networks) = known.map(|(id, spec)| (id.clone(), spec.clone())).collect();
        Ok(())
    }

    /// Gives a keeper that was restarted the descriptors that it should hold.
    pub(crate) async fn keep_descriptors(&self, link: &Link) {
        let state = self.inner.state.lock().await;
        state.reservations.keep(link).await;
        self.inner.keep_claim(link).await;
        let sockets = self.inner.sockets.borrow().clone();
        let copies: Vec<OwnedFd> = sockets.iter().filter_map(|socket| socket.try_clone().ok()).collect();
        if !copies.is_empty() {
            let _ = link.tell(Request::Hold { name: DNS.to_owned() }, copies).await;
        }
    }

    /// The name server's sockets, once there is a fabric.
    pub(crate) async fn dns_sockets(&self) -> Vec<Arc<OwnedFd>> {
        let mut sockets = self.inner.sockets.subscribe();
        let there = sockets.wait_for(|sockets| !sockets.is_empty()).await.map(|sockets| sockets.clone());
        match there {
            Ok(sockets) => sockets,
            Err(_) => std::future::pending().await,
        }
    }

    /// Resolves once the sockets are others than these.
    pub(crate) async fn until_sockets_change(&self, known: &[Arc<OwnedFd>]) {
        let mut sockets = self.inner.sockets.subscribe();
        let same = |now: &Vec<Arc<OwnedFd>>| {
            now.len() == known.len() && now.iter().zip(known).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        let _ = sockets.wait_for(|now| !same(now)).await;
    }
}

/// Applies what is wanted, the newest only, for as long as the agent lives.
async fn apply_all(inner: std::sync::Weak<Inner>) {
    let mut looked = tokio::time::Instant::now();
    while let Some(inner) = inner.upgrade() {
        let quiet = tokio::select! {
            () = inner.news.notified() => false,
            () = inner.ports.notified() => true,
            () = tokio::time::sleep(COUNT) => true,
        };
        if quiet && looked.elapsed() > LOOK_AGAIN {
            inner.repair().await;
            looked = tokio::time::Instant::now();
        }
        let mut state = inner.state.lock().await;
        let next = lock(&inner.next).take();
        let applied = match next {
            Some((number, wanted)) => Some(inner.bring_about(&mut state, number, wanted).await),
            None => None,
        };
        let detached = inner.detached(&state).await;
        if applied.is_some() || !detached.is_empty() {
            let seen = FabricSeen { applied, published: state.reservations.seen(), detached };
            let _ = inner.inbox.send(Message::Input(Input::FabricApplied(seen)));
        }
    }
}

impl Inner {
    /// So that the ranges stay claimed while the agent is restarted. Without sockets the keeper has them already.
    async fn keep_claim(&self, link: &Link) {
        let copies: Vec<OwnedFd> = self.claim.0.iter().filter_map(|socket| socket.try_clone().ok()).collect();
        if !copies.is_empty() {
            let _ = link.tell(Request::Hold { name: RANGES.to_owned() }, copies).await;
        }
    }

    /// What may change of a network while it is there.
    fn agree_networks(&self, wanted: &FabricWanted) {
        let mut networks = lock(&self.networks);
        for (id, wanted) in &wanted.networks {
            if let Some(network) = networks.get_mut(id) {
                (network.internal, network.unchecked) = (wanted.internal, wanted.unchecked);
            }
        }
    }

    /// Makes reservations and the fabric what is wanted.
    async fn bring_about(&self, state: &mut State, number: u64, wanted: FabricWanted) -> Application {
        self.agree_networks(&wanted);
        state.wanted = wanted;
        let link = lock(&self.link).clone();
        if let Some(link) = link {
            let State { wanted, reservations, .. } = &mut *state;
            reservations.agree(&wanted.published, &link).await;
        }
        let outcome = self.reconcile(state).await;
        match &outcome {
            Ok(()) => tracing::debug!(number, monotonic = ?monotonic(), "the network is as planned"),
            Err(error) => tracing::error!("the network can't be brought up to date: {}", error.what),
        }
        Application { number, outcome }
    }

    /// Running instances that lack an interface. One that has just ended may be among them.
    async fn detached(&self, state: &State) -> BTreeSet<InstanceUid> {
        let Some(fabric) = state.fabric.clone().filter(|_| !state.wanted.attached.is_empty()) else {
            return BTreeSet::new();
        };
        let links = blocking(move || fabric.host_ends().map_err(|error| failed(&error))).await;
        let Ok(links) = links else { return BTreeSet::new() };
        let there: BTreeSet<String> = links.iter().map(ToString::to_string).collect();
        let has = |uid: &InstanceUid, index: usize| {
            net::HostEnd::new(&uid.short(), index).is_ok_and(|end| there.contains(&end.to_string()))
        };
        let lacking =
            state.wanted.attached.iter().filter(|(uid, count)| !(0..**count).all(|index| has(uid, index)));
        lacking.map(|(uid, _)| *uid).collect()
    }

    /// Looks at the kernel's state anew and repairs what others changed (`nft flush ruleset`, a firewall's reload).
    async fn repair(&self) {
        let mut state = self.state.lock().await;
        let Some(fabric) = &state.fabric else { return };
        fabric.distrust();
        if let Err(error) = self.reconcile(&mut state).await {
            tracing::error!("the network can't be repaired: {}", error.what);
        }
    }

    async fn open(&self, state: &mut State) -> Result<(), StepError> {
        if state.fabric.is_some() {
            return Ok(());
        }
        let config = self.config.clone();
        let opened = blocking(move || {
            net::Fabric::open(config).map_err(|error| {
                refused(
                    format!("can't make the network: {}", chain(&error)),
                    "hoist needs root and a kernel with bridges, veth and nftables",
                )
            })
        });
        let fabric = Arc::new(opened.await?);
        state.mending = Some(mend::start(&fabric, Arc::clone(&self.doubt), Arc::clone(&self.ports)));
        state.fabric = Some(Arc::clone(&fabric));
        *lock(&self.handle) = Some(fabric);
        self.bind_dns(state).await
    }

    async fn bind_dns(&self, state: &State) -> Result<(), StepError> {
        let Some(fabric) = &state.fabric else { return Ok(()) };
        let link = lock(&self.link).clone();
        let kept = match &link {
            Some(link) => match link.call(Request::Take { name: DNS.to_owned() }, Vec::new()).await {
                Ok((Reply::Taken, fds)) => fds,
                _ => Vec::new(),
            },
            None => Vec::new(),
        };
        let fds = if kept.is_empty() {
            // The dns of an agent that was killed together with the keeper has them still.
            dns_process::end(&self.layout).await;
            let bound: DnsSockets = bind_sockets(fabric.netns()).map_err(|error| failed(&error))?;
            bound.into_descriptors().collect()
        } else {
            kept
        };
        if let Some(link) = &link {
            let copies = fds.iter().filter_map(|fd| fd.try_clone().ok()).collect();
            let _ = link.tell(Request::Hold { name: DNS.to_owned() }, copies).await;
        }
        self.sockets.send_replace(fds.into_iter().map(Arc::new).collect());
        Ok(())
    }

    async fn reconcile(&self, state: &mut State) -> Result<(), StepError> {
        let Some(fabric) = &state.fabric else { return Ok(()) };
        let networks = lock(&self.networks).clone();
        let spec = convert::spec(&networks, &state.wanted, &state.reservations.ports());
        let fabric = Arc::clone(fabric);
        let converged = blocking(move || {
            fabric.converge(&spec).map_err(|error| {
                // Somebody else changed what is ours: the next round looks at all of it again.
                fabric.distrust();
                failed(&error)
            })
        });
        let converged = converged.await.inspect_err(|_| self.doubt.notify_one());
        converged?.notices.iter().for_each(|notice| tracing::warn!("{notice}"));
        Ok(())
    }

    async fn close(&self, state: &mut State) -> Result<(), StepError> {
        let link = lock(&self.link).clone();
        self.sockets.send_replace(Vec::new());
        if let Some(link) = &link {
            state.reservations.release(link).await;
            let _ = link.tell(Request::Drop { name: DNS.to_owned() }, Vec::new()).await;
        }
        lock(&self.handle).take();
        if let Some(mending) = state.mending.take() {
            mending.abort();
        }
        if let Some(fabric) = state.fabric.take() {
            // What is removed now is not to be repaired.
            blocking(move || {
                fabric.stop_mending();
                Ok(())
            })
            .await?;
        }
        let config = self.config.clone();
        blocking(move || {
            net::remove(&config).map_err(|error| {
                let failures: Vec<String> = error.failures.iter().map(|failure| chain(&**failure)).collect();
                StepError { what: format!("{error}: {}", failures.join("; ")), hint: None, permanent: false }
            })
        })
        .await
    }
}
