//! How long from nothing to the program: our launch beside the bare system calls, in turns, in one run.
//!
//! Both make an overlay, a network namespace and all the others, mount `/proc`, pivot and execute
//! `/bin/true` of busybox; the time ends when execve has closed a pipe. "default" is what a container of
//! Docker's defaults has on top: devices, `/sys`, masked and read-only paths, capabilities, limits.
//!
//! `cargo bench -p hoist-runtime` (root; `busybox-static`). Medians, and the ratio to the bare calls. Below that, the
//! processor time that Docker's seccomp profile costs a launch: parent and child, the profile's way through JSON to
//! the keeper and the kernel's work on the filter included, each launch paired with one without.

#[path = "launch/bare.rs"]
mod bare;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hoist_runtime::launch::{self, LaunchInput, Launcher, Launching, Progress, Running, Shortfall};
use hoist_runtime::rootfs::{self, Layers, Rootfs};
use hoist_runtime::seccomp::{Circumstances, default_profile};
use hoist_runtime::{capabilities, defaults, sandbox};
use oci_spec::runtime::{Linux, Process, Spec};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};

const ROUNDS: usize = 200;
const WARM_UP: usize = 10;
/// Launches under way at once in the parallel rows.
const PARALLEL: usize = 20;

type Failure = Box<dyn std::error::Error>;
type Row<'a> = (&'a str, &'a dyn Fn() -> Result<Duration, Failure>);

fn main() -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() || !Path::new("/bin/busybox").exists() {
        println!("skipped launch, because it needs root and busybox-static");
        return Ok(());
    }
    let world = World::new()?;
    let rows: [Row<'_>; 4] = [
        ("bare system calls", &|| bare::launch(&world.fresh()?)),
        ("same set-up, ours", &|| world.launch(&minimal())),
        ("default, ours", &|| world.launch(&default())),
        ("default, ours, 20 at once, each", &|| world.launch_many(&default())),
    ];
    let mut times = rows.each_ref().map(|_| Vec::with_capacity(ROUNDS));
    for round in 0..WARM_UP + ROUNDS {
        for ((_, run), times) in rows.iter().zip(&mut times) {
            let time = run()?;
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    let floor = median(&mut times[0].clone());
    for ((name, _), times) in rows.iter().zip(&mut times) {
        let median = median(times);
        let ratio = median.as_secs_f64() / floor.as_secs_f64();
        println!("{name:32} {:8.3} ms  {ratio:5.2} x", median.as_secs_f64() * 1e3);
    }
    seccomp(&world)
}

/// What the filter costs, in processor time.
fn seccomp(world: &World) -> Result<(), Failure> {
    let (without, with) = (default(), filtered()?);
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..WARM_UP + ROUNDS {
        // By turns first and second, as what runs second finds warmer caches.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            let time = world.processor_time(if which == 0 { &without } else { &with })?;
            if round >= WARM_UP {
                times[which].push(time);
            }
        }
    }
    let pairs = times[0].iter().zip(&times[1]);
    let mut differences: Vec<_> =
        pairs.map(|(without, with)| with.as_secs_f64() - without.as_secs_f64()).collect();
    differences.sort_by(f64::total_cmp);
    let difference = differences.get(differences.len() / 2).copied().unwrap_or_default();
    let [without, with] = times.each_mut().map(|times| median(times).as_secs_f64() * 1e3);
    println!("processor time, without a filter {without:8.3} ms");
    println!("processor time, Docker's profile {with:8.3} ms");
    println!("median of the paired differences {:8.3} ms", difference * 1e3);
    Ok(())
}

/// Of this process and of its children that have been waited for.
fn processor_time() -> Duration {
    let of = |who| {
        // SAFETY: a struct of integers, for which zero is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: fills in the struct.
        unsafe { libc::getrusage(who, &raw mut usage) };
        let time = |time: libc::timeval| {
            Duration::new(time.tv_sec.unsigned_abs(), time.tv_usec.unsigned_abs() as u32 * 1000)
        };
        time(usage.ru_utime) + time(usage.ru_stime)
    };
    of(libc::RUSAGE_SELF) + of(libc::RUSAGE_CHILDREN)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A root of busybox, and a fresh writable layer on it for each launch.
struct World {
    dir: tempfile::TempDir,
    next: std::cell::Cell<usize>,
    launcher: Launcher,
}

impl World {
    fn new() -> Result<Self, Failure> {
        // In memory: what a disk takes for its directories is not what is measured.
        let dir = tempfile::tempdir_in("/dev/shm")?;
        let world = Self { dir, next: 0.into(), launcher: Launcher::of_this_process() };
        let base = world.base();
        for directory in ["bin", "proc", "dev", "sys"] {
            fs::create_dir_all(base.join(directory))?;
        }
        fs::copy("/bin/busybox", base.join("bin/true"))?;
        Ok(world)
    }

    fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    fn fresh(&self) -> Result<Layers, Failure> {
        let number = self.next.replace(self.next.get() + 1);
        let own = self.dir.path().join(number.to_string());
        let layers = Layers { lower: vec![self.base()], upper: own.join("upper"), work: own.join("work") };
        fs::create_dir_all(&layers.upper)?;
        fs::create_dir_all(&layers.work)?;
        Ok(layers)
    }

    fn start(&self, spec: &Spec, layers: Layers) -> Result<Launching, Failure> {
        let null = || fs::File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
        let input = LaunchInput {
            spec: spec.clone(),
            rootfs: rootfs::assemble(&Rootfs::Layers(layers))?,
            netns: Some(sandbox::network_namespace()?),
            cgroups: Vec::new(),
            stdio: [null()?, null()?, null()?],
            terminal: None,
            devpts: None,
            executable: None,
            init: false,
            shortfall: Shortfall::Warn,
        };
        let mut launching = launch::prepare(input, &self.launcher)?.spawn()?;
        launching.release();
        Ok(launching)
    }

    fn launch(&self, spec: &Spec) -> Result<Duration, Failure> {
        let layers = self.fresh()?;
        let start = Instant::now();
        let running = settle(self.start(spec, layers)?)?;
        let time = start.elapsed();
        reap(&running)?;
        Ok(time)
    }

    fn processor_time(&self, spec: &Spec) -> Result<Duration, Failure> {
        let layers = self.fresh()?;
        let before = processor_time();
        // As the agent writes it and the keeper reads it.
        let spec: Spec = serde_json::from_slice(&serde_json::to_vec(spec)?)?;
        let running = settle(self.start(&spec, layers)?)?;
        reap(&running)?;
        Ok(processor_time() - before)
    }

    fn launch_many(&self, spec: &Spec) -> Result<Duration, Failure> {
        let layers = (0..PARALLEL).map(|_| self.fresh()).collect::<Result<Vec<_>, _>>()?;
        let start = Instant::now();
        let under_way =
            layers.into_iter().map(|layers| self.start(spec, layers)).collect::<Result<Vec<_>, _>>()?;
        let running = under_way.into_iter().map(settle).collect::<Result<Vec<_>, _>>()?;
        let time = start.elapsed() / PARALLEL as u32;
        running.iter().try_for_each(reap)?;
        Ok(time)
    }
}

fn settle(mut launching: Launching) -> Result<Running, Failure> {
    loop {
        match launching.poll() {
            Progress::Pending => _ = poll(&mut [PollFd::new(&launching.fd(), PollFlags::IN)], None)?,
            Progress::Running(running) => return Ok(running),
            Progress::Failed(error) => return Err(error.into()),
        }
    }
}

fn reap(running: &Running) -> Result<(), Failure> {
    waitid(WaitId::PidFd(running.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    Ok(())
}

/// No more than what [`bare::launch`] does.
fn minimal() -> Spec {
    let mut process = Process::default();
    process
        .set_args(Some(vec!["/bin/true".to_owned()]))
        .set_env(Some(Vec::new()))
        .set_cwd("/".into())
        .set_rlimits(None)
        .set_capabilities(Some(defaults::capabilities(capabilities::DEFAULT, 0)));
    let mut linux = Linux::default();
    linux.set_namespaces(Some(defaults::namespaces())).set_masked_paths(None).set_readonly_paths(None);
    let mut spec = Spec::default();
    spec.set_process(Some(process))
        .set_linux(Some(linux))
        .set_root(None)
        .set_hostname(None)
        .set_mounts(Some(defaults::mounts(0).into_iter().take(1).collect()));
    spec
}

fn default() -> Spec {
    let mut spec = minimal();
    let paths = |paths: &[&str]| Some(paths.iter().map(ToString::to_string).collect());
    if let Some(linux) = spec.linux_mut() {
        linux.set_masked_paths(paths(&defaults::MASKED_PATHS));
        linux.set_readonly_paths(paths(&defaults::READONLY_PATHS));
    }
    spec.set_mounts(Some(defaults::mounts(defaults::SHM_SIZE))).set_hostname(Some("bench".to_owned()));
    spec
}

/// The default with Docker's profile for it.
fn filtered() -> Result<Spec, Failure> {
    let mut spec = default();
    let here =
        Circumstances::here(capabilities::DEFAULT.into_iter().collect()).ok_or("no table of system calls")?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(Some(default_profile().resolve(&here)));
    }
    Ok(spec)
}
