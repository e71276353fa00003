//! Puts an agent together: takes the root, reads what is on disk, finds what runs, starts the loop.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{Guards, HostReport, HostSpec, VolumeId};
use hoist_planner::cluster::{Accepted, Pool};
use hoist_planner::host::{Adopted, HostLoop, Input, Restored, StartedBy};
use hoist_runtime::cgroup::{Anchor, CgroupPath, Hierarchy};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::api::Agent;
use crate::builder::{leftovers, under_way::UnderWay};
use crate::control::clock::Clock;
use crate::control::effects::HostEffects;
use crate::control::inbox::{Inbox, Message};
use crate::control::journal::Journal;
use crate::control::records::{Files, Records};
use crate::control::run::Run;
use crate::control::shell::Shell;
use crate::durable::{self, DocumentError};
use crate::fabric::FabricLink;
use crate::host::Host;
use crate::images::Images;
use crate::instances::answering::Answering;
use crate::instances::ends::Ends;
use crate::instances::execs::Execs;
use crate::instances::health_log::HealthLog;
use crate::instances::probes::{About, Probes};
use crate::instances::watches::Watches;
use crate::instances::{files, volatile};
use crate::layout::Layout;
use crate::loops::{Loops, without_error};
use crate::processes::dns_watch::DnsWatch;
use crate::processes::held::Held;
use crate::processes::ids::Processes;
use crate::processes::keeper_watch::{KeeperWatch, Kept};
use crate::processes::link::Link;
use crate::processes::spawn::Spawner;
use crate::reserve::Reserve;
use crate::root_tag::root_tag;

/// How an agent is to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// The state folder, absolute.
    pub root: PathBuf,
    /// The hoist binary, for keeper and dns.
    pub exe: PathBuf,
    /// Why it starts.
    pub started_by: StartedBy,
    /// Reads the clocks; a test's way to a reboot.
    pub clock: Clock,
    /// What the orchestrator's store says of this host: a ledger that was lost is written anew from it.
    pub planned: Option<Accepted>,
}

/// A command that asks whether an agent owns the root has the lock for an instant: one look could take it for an agent.
const LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_millis(5);

/// Why an agent can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another agent has the root.
    #[error("another agent owns {0}")]
    Owned(PathBuf),
    /// A part could not be set up.
    #[error("can't {what}")]
    SetUp {
        /// What was being done.
        what: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn set_up<E: Into<Box<dyn std::error::Error + Send + Sync>>>(what: &str) -> impl Fn(E) -> StartError + '_ {
    move |error| StartError::SetUp { what: what.to_owned(), source: error.into() }
}

/// The root, owned by this process for as long as this lives.
#[derive(Debug)]
pub struct Ownership {
    _lock: File,
    layout: Layout,
}

impl Ownership {
    /// Takes the root, making it when there is none. Of several agents that start at once, one gets it.
    ///
    /// # Errors
    /// [`StartError::Owned`] when another agent has it.
    pub fn take(root: &Path) -> Result<Self, StartError> {
        let layout = Layout::new(root.to_owned());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(set_up("make the state folder"))?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(layout.agent_lock());
        let lock = lock.map_err(set_up("open the lock file"))?;
        for _ in 0..LOOKS {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _lock: lock, layout }),
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOOK),
                Err(error) => return Err(set_up("lock the state folder")(error)),
            }
        }
        Err(StartError::Owned(root.to_owned()))
    }

    /// Where things are.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// The ranges that the networks of a root come from, once an agent has started on it.
///
/// # Errors
/// When they can't be read.
pub fn pool(layout: &Layout) -> Result<Pool, StartError> {
    crate::fabric::ranges::chosen(layout).map_err(set_up("read the address ranges"))
}

/// Starts an agent on a root that is owned, with everything that goes on for as long as it runs.
///
/// # Errors
/// When a part of it can't be set up; nothing was changed that the next start doesn't find.
pub async fn start(ownership: &Ownership, config: Config, loops: &mut Loops) -> Result<Agent, StartError> {
    let layout = ownership.layout().clone();
    folders(&layout).map_err(set_up("make the state folders"))?;
    let tag = root_tag(&layout).map_err(set_up("tell the state folder from others"))?;
    let groups = CgroupPath::new(Anchor::Root, Path::new("hoist").join(&tag));
    let groups = groups.map_err(set_up("name the control groups"))?;
    let hierarchy = Arc::new(Hierarchy::detect().map_err(set_up("find the control groups of this host"))?);
    // Before the store is opened, which clears the folders that they work in.
    leftovers::end(&hierarchy, &groups);
    let (inbox, messages) = mpsc::unbounded_channel();
    let (link, from_keeper) = Link::new();
    let spawner = Spawner { exe: config.exe.clone(), layout: layout.clone() };
    let processes = Processes::default();
    let reserve = Reserve::of(&layout);
    let accepted = accepted(&layout, &config, &reserve)?;
    let ranges = crate::fabric::ranges::choose(&layout, &tag, &accepted.spec)
        .map_err(set_up("choose address ranges"))?;
    let host = Host {
        images: Images::open(&layout).map_err(set_up("open the image store"))?,
        hostname: hostname(),
        link,
        fabric: FabricLink::start(&layout, &tag, ranges, inbox.clone(), loops),
        held: Held::default(),
        execs: Execs::default(),
        health_log: HealthLog::default(),
        ends: Ends::default(),
        bases: Arc::default(),
        answering: Answering::default(),
        hierarchy,
        groups,
        turns: Arc::new(Semaphore::new(turns())),
        known: Arc::default(),
        builds: UnderWay::default(),
        reserve: reserve.clone(),
        layout,
    };
    let journal = Journal::open(host.layout.journal()).map_err(set_up("read the journal"))?;
    let journalled = journal.kept().runs();
    let (control, effects) = restore(&host, &config, &journal, &accepted);
    let (reports, shown) = watch::channel(None);
    let run = Run {
        shell: Shell::new(control, effects, acting(&host, &config.clock, &inbox, reports)),
        records: Records::start(durable_files(&host, journal))
            .map_err(set_up("start the thread that writes journal and ledger"))?,
        clock: config.clock.clone(),
    };
    let keeper = KeeperWatch {
        host: host.clone(),
        clock: config.clock,
        inbox: inbox.clone(),
        spawner: spawner.clone(),
        events: from_keeper,
        pid: Arc::clone(&processes.keeper),
        journalled,
    };
    let kept = keeper.begin().await.map_err(set_up("start the keeper and adopt what runs"))?;
    let spec = host.known().spec;
    let taken = host.fabric.adopt(&host.link, &spec).await;
    taken.map_err(|error| set_up("adopt the network")(error.what))?;
    host.fabric.watch_routes(loops);
    DnsWatch::start(host.clone(), spawner, Arc::clone(&processes.dns), loops);
    let _ = inbox.send(Message::Input(Input::Adopted(adopted(&host, kept).await)));
    loops.spawn(async move { Ok(run.run(messages).await?) });
    let adopting = host.clone();
    let adopted = move |kept| {
        let host = adopting.clone();
        async move { adopted(&host, kept).await }
    };
    loops.spawn(without_error(keeper.run(adopted)));
    loops.spawn(without_error(reserve.keep_filled()));
    Ok(Agent { host, inbox, reports: shown, processes, accepted: Arc::new(accepted) })
}

fn folders(layout: &Layout) -> std::io::Result<()> {
    for dir in [layout.instances(), layout.volumes(), layout.fabric(), layout.keeper_state()] {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    volatile::open(&layout.volatile())?;
    files::skeleton(&layout.skeleton())
}

/// What the loop acts through.
fn acting(
    host: &Host,
    clock: &Clock,
    inbox: &Inbox,
    reports: watch::Sender<Option<Arc<HostReport>>>,
) -> HostEffects {
    let host = Arc::new(host.clone());
    let probes = |about| Probes::new(Arc::clone(&host), clock.clone(), inbox.clone(), about);
    HostEffects {
        probes: probes(About::Health),
        liveness: probes(About::Liveness),
        watches: Watches::new(clock.clone(), inbox.clone()),
        steps: JoinSet::new(),
        inbox: inbox.clone(),
        reports,
        host,
    }
}

fn durable_files(host: &Host, journal: Journal) -> Files {
    Files {
        journal,
        layout: host.layout.clone(),
        reserve: host.reserve.clone(),
        host_address: host.fabric.host_address(),
    }
}

/// The ledger: what this host has accepted. One that is missing or damaged is written anew from what the orchestrator
/// has planned last, before anything is done by it.
fn accepted(layout: &Layout, config: &Config, reserve: &Reserve) -> Result<Accepted, StartError> {
    let planned = config.planned.clone().unwrap_or_default();
    let spec = durable::read_sound(&layout.ledger()).map_err(set_up("read the ledger"))?;
    let endpoints = durable::read_sound(&layout.endpoints()).map_err(set_up("read the endpoints"))?;
    let lost = spec.is_none() && config.planned.is_some();
    let accepted =
        Accepted { spec: spec.unwrap_or(planned.spec), endpoints: endpoints.unwrap_or(planned.endpoints) };
    if lost {
        write_anew(&layout.ledger(), &accepted.spec, reserve).map_err(set_up("write the ledger anew"))?;
    }
    Ok(accepted)
}

fn write_anew(path: &Path, spec: &HostSpec, reserve: &Reserve) -> Result<(), DocumentError> {
    loop {
        match durable::write(path, spec) {
            Err(error) if error.is_full() && reserve.give() => {}
            written => return written,
        }
    }
}

fn restore(
    host: &Host,
    config: &Config,
    journal: &Journal,
    accepted: &Accepted,
) -> (HostLoop, Vec<hoist_planner::host::Effect>) {
    let kept = journal.kept().clone();
    let restored = Restored {
        host: host.id(),
        boot: config.clock.boot().clone(),
        started_by: config.started_by,
        daemon: kept.daemon,
        spec: Some(accepted.spec.clone()),
        endpoints: Some(accepted.endpoints.clone()),
        instances: kept.instances,
        guards: Guards(hoist_runtime::defaults::GUARDS),
    };
    let spec = Arc::new(accepted.spec.clone());
    host.set_known(|known| known.spec = spec);
    HostLoop::restore(restored, &config.clock.now())
}

/// What exists: the keeper's list, what runs beside it, networks, volumes, and the host's routes.
async fn adopted(host: &Host, Kept { processes, launching, unkept }: Kept) -> Adopted {
    Adopted {
        processes,
        launching,
        unkept,
        networks: host.fabric.networks(),
        volumes: volumes(&host.layout),
        memory: memory(),
        routes: host.fabric.routes().await,
    }
}

/// `MemTotal` of proc_meminfo(5), in bytes.
fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn volumes(layout: &Layout) -> Vec<VolumeId> {
    let entries = fs::read_dir(layout.volumes()).into_iter().flatten().flatten();
    entries.filter_map(|entry| VolumeId::new(entry.file_name().into_string().ok()?).ok()).collect()
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Preparing is kernel work under a few global locks: twice the processors keeps them busy, more only queues.
fn turns() -> usize {
    2 * std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}
