//! One host's fabric: the way in for everybody else.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::apply::{self, ApplyError, Places};
use crate::conntrack::{self, Flow};
use crate::entry::Entry;
use crate::netlink::{KernelError, link};
use crate::netns::{self, NetnsError};
use crate::notice::{Notice, notices};
use crate::observe::{self, ObserveError};
use crate::observed::{LinkObserved, NeighbourObserved, Observed, RouteObserved};
use crate::op::Op;
use crate::place::{Place, Sockets};
use crate::plan::plan;
use crate::side::Side;
use crate::spec::{FabricConfig, FabricSpec, HostEnd, SpecError};
use crate::watch::Watch;
use crate::{drift, foreign, nft};

/// An open fabric. Dropping it leaves everything in place; [`Fabric::remove`] takes it away.
///
/// Every method is a few system calls and returns when the kernel has carried them out: call them from
/// a thread that may block for milliseconds. They may be called from several threads at once.
#[derive(Debug)]
pub struct Fabric {
    config: FabricConfig,
    host: Place,
    fabric: Place,
    seen: Mutex<Seen>,
    /// Instances are attached under read locks, side by side; whoever looks at the whole and repairs it has it alone,
    /// and never takes what is being attached for a leftover.
    attaching: RwLock<()>,
    /// Ports that were attached since the state was last looked at or changed.
    attached: Mutex<Vec<Port>>,
}

/// The kernel's state when we last looked or changed it, and the spec that it was brought to.
#[derive(Debug, Default)]
struct Seen {
    /// `None` when the state isn't known.
    observed: Option<Observed>,
    spec: FabricSpec,
    /// The spec was brought about once, so that there is something to repair.
    begun: bool,
}

/// A link to an instance, and what was written down for it.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) link: LinkObserved,
    pub(crate) entries: Vec<Entry>,
    pub(crate) neighbours: Vec<NeighbourObserved>,
    pub(crate) routes: Vec<RouteObserved>,
}

impl Port {
    fn project(self, observed: &mut Observed) {
        observed.fabric.links.insert(self.name, self.link);
        observed.fabric.entries.extend(self.entries);
        observed.fabric.neighbours.extend(self.neighbours);
        observed.fabric.routes.extend(self.routes);
    }
}

/// Why a fabric couldn't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration contradicts itself.
    #[error("the fabric's configuration can't be used")]
    Config(#[from] SpecError),
    /// The namespace couldn't be made or entered.
    #[error("can't open the fabric's network namespace")]
    Netns(#[from] NetnsError),
}

/// Why a spec couldn't be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ConvergeError {
    /// It contradicts itself; nothing was changed.
    #[error("the network can't be as asked for")]
    Spec(#[from] SpecError),
    /// The kernel's state couldn't be read; nothing was changed.
    #[error("the network's state can't be read")]
    Observe(#[from] ObserveError),
    /// The kernel refused something; what came before it is done.
    #[error("the network couldn't be changed")]
    Apply(#[from] ApplyError),
}

/// Why something of a fabric is still there. Everything that could be removed is.
#[derive(Debug, thiserror::Error)]
#[error("the fabric couldn't be removed completely")]
pub struct RemoveError {
    /// Each failure, in the order in which they came.
    pub failures: Vec<Box<dyn std::error::Error + Send + Sync>>,
}

/// What [`Fabric::converge`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Converged {
    /// The operations carried out; empty when everything was as wanted.
    pub ops: Vec<Op>,
    /// What a person should be told.
    pub notices: Vec<Notice>,
}

/// What [`Fabric::mend`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// What of what was heard contradicted what was known, in words; then the kernel's state was read anew.
    pub cause: Option<String>,
    /// What was repaired.
    pub repairs: Converged,
    /// Links to instances are gone, with the instances or without.
    pub ports_gone: bool,
}

impl Fabric {
    /// Opens the fabric's namespace, or makes it; nothing is in it before the first
    /// [`Fabric::converge`]. The calling thread's namespace is the host.
    pub fn open(config: FabricConfig) -> Result<Self, OpenError> {
        config.check()?;
        let name = config.tag.name();
        let host = Place::open(Side::Host, netns::current()?, name.clone())?;
        let fabric = Place::open(Side::Fabric, netns::open_or_create(&config.netns_path)?, name)?;
        Ok(Self {
            config,
            host,
            fabric,
            seen: Mutex::default(),
            attaching: RwLock::default(),
            attached: Mutex::default(),
        })
    }

    /// The configuration it was opened with.
    pub fn config(&self) -> &FabricConfig {
        &self.config
    }

    /// The fabric's namespace.
    pub fn netns(&self) -> BorrowedFd<'_> {
        self.fabric.netns()
    }

    /// Runs `work` inside the fabric's namespace, as for opening sockets there, and waits for it.
    pub fn enter<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NetnsError> {
        netns::enter(self.fabric.netns(), work)
    }

    /// Makes the network what `spec` says. When nothing has to change, and this fabric knows the
    /// kernel's state from an earlier round, no system call is made: the cost is that of comparing the spec.
    pub fn converge(&self, spec: &FabricSpec) -> Result<Converged, ConvergeError> {
        let mut seen = self.seen();
        if let Some(observed) = seen.observed.as_ref().filter(|_| seen.spec == *spec) {
            return Ok(Converged { ops: Vec::new(), notices: notices(&self.config, observed, &[]) });
        }
        spec.check(&self.config)?;
        // What a port may send is written by whoever attaches it, so a change of networks looks at all ports anew.
        if seen.spec.networks != spec.networks {
            seen.observed = None;
        }
        let alone = self.alone();
        self.bring(&mut seen, &alone, spec)
    }

    /// Looks at the kernel's state anew and makes it what was wanted last.
    pub(crate) fn repair(&self) -> Result<Converged, ConvergeError> {
        let mut seen = self.seen();
        seen.observed = None;
        let spec = seen.spec.clone();
        let alone = self.alone();
        self.bring(&mut seen, &alone, &spec)
    }

    /// Waits for news of changes, whoever made them; call it inside a tokio runtime, once the fabric is open, and
    /// [`Fabric::mend`] after each.
    ///
    /// # Errors
    /// When the sockets can't be waited for.
    pub fn watch(&self) -> io::Result<Watch> {
        Watch::new(self.host.subscribed()?.into_iter().chain(self.fabric.subscribed()?).collect())
    }

    /// Listens to what changed in both namespaces. Where it contradicts what is known, somebody else has changed what is
    /// ours: the kernel's state is read anew and made what was wanted last. What we changed ourselves contradicts
    /// nothing, and costs no look.
    pub fn mend(&self) -> Result<Mended, ConvergeError> {
        let mut seen = self.seen();
        let alone = self.alone();
        if !seen.begun {
            return Ok(Mended::default());
        }
        let (host, fabric) = (self.host.hear(), self.fabric.hear());
        let name = self.config.tag.name();
        let mut mended = Mended::default();
        if let Some(observed) = &mut seen.observed {
            self.take_attached().into_iter().for_each(|port| port.project(observed));
            mended.ports_gone = drift::forget_ports(&fabric, &mut observed.fabric);
            mended.cause = drift::contradiction(&host, Side::Host, &observed.host, &name)
                .or_else(|| drift::contradiction(&fabric, Side::Fabric, &observed.fabric, &name));
        } else {
            // The last attempt failed.
            mended.cause = Some("the last attempt failed".to_owned());
        }
        if mended.cause.is_some() {
            seen.observed = None;
            let spec = seen.spec.clone();
            mended.repairs = self.bring(&mut seen, &alone, &spec)?;
        }
        Ok(mended)
    }

    /// Mends nothing any more, as before the fabric is removed; one that is under way is waited for.
    pub fn stop_mending(&self) {
        self.seen().begun = false;
    }

    /// While it is held, nothing is attached.
    fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.attaching.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a port; the guard shows that nobody looks at the whole meanwhile.
    pub(crate) fn note(&self, _attaching: &RwLockReadGuard<'_, ()>, port: Port) {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner).push(port);
    }

    fn take_attached(&self) -> Vec<Port> {
        std::mem::take(&mut *self.attached.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn bring(
        &self,
        seen: &mut Seen,
        _alone: &RwLockWriteGuard<'_, ()>,
        spec: &FabricSpec,
    ) -> Result<Converged, ConvergeError> {
        seen.begun = true;
        seen.spec.clone_from(spec);
        let attached = self.take_attached();
        // Taken out: after a failure the state isn't known.
        let known = seen.observed.take();
        let mut observed = match known {
            Some(mut observed) => {
                attached.into_iter().for_each(|port| port.project(&mut observed));
                observed
            }
            None => {
                // What was said until now is in what is read now.
                let _ = (self.host.hear(), self.fabric.hear());
                self.observe()?
            }
        };
        let ops = plan(&self.config, spec, &observed);
        let notices = notices(&self.config, &observed, &ops);
        self.apply(&ops, &mut observed)?;
        seen.observed = Some(observed);
        Ok(Converged { ops, notices })
    }

    /// Forgets what is known of the kernel's state: the next round reads it again, and repairs what
    /// others changed.
    pub fn distrust(&self) {
        self.seen().observed = None;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while an instance is attached.
    pub(crate) fn attaching(&self) -> RwLockReadGuard<'_, ()> {
        self.attaching.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the kernel's state.
    pub fn observe(&self) -> Result<Observed, ObserveError> {
        observe::observe(&self.config, &self.host, &self.fabric)
    }

    /// Carries operations out in order, and brings `observed` up to date. Neighbouring changes of one
    /// side's rules are one atomic transaction. After an error the caller observes anew.
    pub fn apply(&self, ops: &[Op], observed: &mut Observed) -> Result<(), ApplyError> {
        apply::apply(self.places(), ops, observed)
    }

    /// Ends every flow to and from instances that are gone, so that clients notice with their next packet.
    /// One call for several costs what one for one does: up to some 10 ms.
    pub fn forget_instance(&self, addresses: &[IpAddr]) -> Result<(), KernelError> {
        let of_them = |flow: &Flow| addresses.contains(&flow.answered_by) || addresses.contains(&flow.from);
        for place in [&self.fabric, &self.host] {
            conntrack::forget(&mut place.sockets().nft, of_them)?;
        }
        Ok(())
    }

    /// The fabric's ends of the links to instances.
    pub fn host_ends(&self) -> Result<Vec<HostEnd>, KernelError> {
        let links = link::list(&mut self.fabric.sockets().route)?;
        Ok(links.iter().filter_map(|link| HostEnd::parse(&link.name)).collect())
    }

    /// Removes a link to an instance; one that isn't there is no error. The death of the instance's
    /// namespace does the same.
    pub fn detach(&self, end: &HostEnd) -> Result<(), KernelError> {
        link::remove(&mut self.fabric.sockets().route, end.link().as_str())
    }

    /// Removes everything: rules, the link and with it the host's routes, the namespace, its file.
    /// Only `ip_forward` of the host stays as it is, since others may count on it by now.
    pub fn remove(self) -> Result<(), RemoveError> {
        let Self { config, host, fabric, .. } = self;
        drop((host, fabric));
        remove(&config)
    }

    pub(crate) fn places(&self) -> Places<'_> {
        Places { config: &self.config, host: &self.host, fabric: &self.fabric }
    }

    pub(crate) fn fabric_place(&self) -> &Place {
        &self.fabric
    }
}

/// Removes everything of a fabric that may be half there; what isn't there is no error. The calling
/// thread's namespace is the host.
pub fn remove(config: &FabricConfig) -> Result<(), RemoveError> {
    let mut failures: Vec<Box<dyn std::error::Error + Send + Sync>> = Vec::new();
    match netns::current().and_then(|host: OwnedFd| Sockets::open(host.as_fd())) {
        Ok(mut sockets) => {
            // The link goes before the rules: nothing may pass it unguarded.
            failures.extend(link::remove(&mut sockets.route, &config.tag.name()).err().map(Into::into));
            failures.extend(remove_rules(&mut sockets, config).err().map(Into::into));
        }
        Err(error) => failures.push(error.into()),
    }
    failures.extend(netns::remove(&config.netns_path).err().map(Into::into));
    if failures.is_empty() { Ok(()) } else { Err(RemoveError { failures }) }
}

fn remove_rules(sockets: &mut Sockets, config: &FabricConfig) -> Result<(), KernelError> {
    let name = config.tag.name();
    let mut requests = Vec::new();
    for family in nft::dump::tables(&mut sockets.nft, &name)?.into_keys() {
        requests.push(nft::table::remove(family, &name));
    }
    for chain in foreign::list(&mut sockets.nft, &name)?.iter().filter(|chain| chain.ours) {
        requests.extend(foreign::withdraw(&mut sockets.nft, chain, &name)?);
    }
    nft::commit(&mut sockets.nft, requests)
}

impl std::fmt::Display for Converged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.ops.iter().try_for_each(|op| writeln!(f, "{op}"))
    }
}
