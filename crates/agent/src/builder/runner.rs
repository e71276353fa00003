//! Runs the commands of a build by our own runtime. What an agent that is killed leaves of them, the next one ends
//! ([`super::leftovers`]).
//!
//! Each command has a thread whose mount namespace is its own. What is mounted for the command alone (trees of other
//! stages, a tmpfs with its secrets) is mounted there, so that it is gone with the thread, however that ends.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hoist_image::builder::execute::{Bound, BoundSource, Ended, Job, Listener, Overlay, Root, Runner};
use hoist_image::builder::graph::Network;
use hoist_runtime::cgroup::{self, Cgroup, CgroupPath, Hierarchy};
use hoist_runtime::executable::{self, Search};
use hoist_runtime::launch::{LaunchInput, Launcher, Progress, Shortfall, prepare};
use hoist_runtime::rootfs::{Layers, Rootfs, assemble};
use hoist_runtime::{defaults, sandbox, users};
use oci_spec::runtime::{Mount, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, mount, mount_change, move_mount};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::leftovers::PREFIX;

/// How often it is asked whether the build was cancelled.
const PATIENCE: Duration = Duration::from_millis(200);
/// What a command still writes after its first process has ended comes at once, or never.
const LAST_WORDS: Duration = Duration::from_millis(100);
const PIECE: usize = 16 << 10;

/// What went wrong, with or without a cause further down.
type Failure = Box<dyn Error + Send + Sync>;

/// Commands of builds on this host.
#[derive(Debug, Clone)]
pub(super) struct Containers {
    pub(super) hierarchy: Arc<Hierarchy>,
    /// Where this root's control groups are.
    pub(super) groups: CgroupPath,
}

impl Runner for Containers {
    fn mount(&self, overlay: &Overlay) -> io::Result<OwnedFd> {
        root(&Root::Overlay(overlay.clone())).map_err(io::Error::other)
    }

    fn run(&self, job: &Job, listener: &dyn Listener) -> Result<Ended, Failure> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("build".to_owned());
            let running = thread.spawn_scoped(scope, || {
                own_mounts()?;
                self.run_here(job, listener)
            })?;
            running.join().unwrap_or_else(|_| Err("the thread of the command panicked".into()))
        })
    }
}

/// Leaves the host's mount namespace: what is mounted from here on is this thread's.
fn own_mounts() -> Result<(), Failure> {
    // SAFETY: FILES is not unshared: descriptors stay shared with the other threads.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }?;
    Ok(mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

fn root(root: &Root) -> Result<OwnedFd, Failure> {
    let rootfs = match root {
        Root::Directory(path) => Rootfs::Directory(path.clone()),
        Root::Overlay(Overlay { lower, upper, work }) => {
            Rootfs::Layers(Layers { lower: lower.clone(), upper: upper.clone(), work: work.clone() })
        }
    };
    Ok(assemble(&rootfs)?)
}

impl Containers {
    fn run_here(&self, job: &Job, listener: &dyn Listener) -> Result<Ended, Failure> {
        let rootfs = root(&job.root)?;
        let user = users::resolve(rootfs.as_fd(), job.user.as_deref().unwrap_or_default(), &[])?;
        let mounts = mounts(job)?;
        let hosts = super::hosts::file(job)?;
        let spec = super::spec::spec(job, &user, &mounts, hosts.as_deref())?;
        let path = job.environment.get("PATH").map_or("", String::as_str);
        let argv0 = job.command.first().map_or("", String::as_str);
        let cwd = Path::new(&job.working_dir);
        let search =
            Search { root: rootfs.as_fd(), argv0, path, cwd, identity: &user, mounts: !mounts.is_empty() };
        let executable = if path.is_empty() { None } else { executable::find(&search)? };
        let group = self.group(&spec)?;
        let (reading, writing) = io::pipe()?;
        let stdio = [File::open("/dev/null")?.into(), writing.try_clone()?.into(), writing.into()];
        let netns = match job.network {
            Network::None => Some(sandbox::network_namespace()?),
            Network::Default | Network::Host => None,
        };
        let input = LaunchInput {
            spec,
            rootfs,
            netns,
            cgroups: group.0.entrances(),
            stdio,
            terminal: None,
            devpts: None,
            executable,
            init: false,
            shortfall: Shortfall::Warn,
        };
        let launch = prepare(input, &Launcher::of_this_process())?;
        for lacking in launch.warnings() {
            listener.output(format!("warning: {lacking}\n").as_bytes());
        }
        let mut launched = launch.spawn()?;
        // Nothing has to be noted before it runs: it is this thread's alone.
        launched.release();
        follow(launched, &group.0, reading.into(), listener)
    }

    /// A control group of the command's own: it has its limits, says which devices may be used, and ends with it.
    fn group(&self, spec: &Spec) -> Result<Group, Failure> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
        let (limits, _) = cgroup::Limits::from_oci(&resources)?;
        let name = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.groups.child(name)?;
        let (group, _) = Cgroup::create_contained(&self.hierarchy, &path, &limits)?;
        Ok(Group(group))
    }
}

/// A control group that goes with its last use.
struct Group(Cgroup);

impl Drop for Group {
    fn drop(&mut self) {
        // Empty by now: the end of a PID namespace's first process is that of all.
        let _ = self.0.kill();
        let _ = self.0.remove();
    }
}

fn follow(
    mut launching: hoist_runtime::launch::Launching,
    group: &Cgroup,
    output: OwnedFd,
    listener: &dyn Listener,
) -> Result<Ended, Failure> {
    let running = loop {
        match launching.poll() {
            Progress::Running(running) => break running,
            Progress::Failed(error) => return Err(error.into()),
            Progress::Pending => wait(&[launching.fd()], PATIENCE)?,
        };
    };
    let mut output = File::from(output);
    let (mut buffer, mut open) = (vec![0; PIECE], true);
    rustix::fs::fcntl_setfl(&output, rustix::fs::OFlags::NONBLOCK)?;
    let mut ended = None;
    while ended.is_none() || open {
        if ended.is_none() && listener.is_cancelled() {
            group.kill()?; // Also what has frozen itself.
        }
        open = open && hear(&mut output, &mut buffer, listener)?;
        if ended.is_some() {
            // The pipe may be held open by nobody any more that could write: all have been killed.
            break;
        }
        ended = reap(&running.pidfd)?;
        match (ended, open) {
            (Some(_), true) => wait(&[output.as_fd()], LAST_WORDS)?,
            (None, true) => wait(&[running.pidfd.as_fd(), output.as_fd()], PATIENCE)?,
            (None, false) => wait(&[running.pidfd.as_fd()], PATIENCE)?,
            (Some(_), false) => {}
        }
    }
    ended.ok_or_else(|| "the command's end was not seen".into())
}

/// Takes all that was written; false at the end.
fn hear(output: &mut File, buffer: &mut [u8], listener: &dyn Listener) -> io::Result<bool> {
    loop {
        match output.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(read) => listener.output(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn reap(pidfd: &OwnedFd) -> Result<Option<Ended>, Failure> {
    let Some(status) = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)?
    else {
        return Ok(None);
    };
    Ok(match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => Some(Ended::Status(status)),
        (None, Some(signal)) => Some(Ended::Signal(signal)),
        (None, None) => None,
    })
}

fn wait(files: &[std::os::fd::BorrowedFd<'_>], patience: Duration) -> Result<(), Failure> {
    let mut files: Vec<PollFd<'_>> =
        files.iter().map(|file| PollFd::from_borrowed_fd(*file, PollFlags::IN)).collect();
    match poll(&mut files, Some(&Timespec::try_from(patience)?)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The step's own mounts, made ready below its scratch folder.
fn mounts(job: &Job) -> Result<Vec<Mount>, Failure> {
    let mut list = Vec::new();
    let mut secrets = None;
    for (number, bound) in job.mounts.iter().enumerate() {
        let place = job.scratch.join(number.to_string());
        let source = match &bound.source {
            BoundSource::Path(path) | BoundSource::Socket { path, .. } => path.clone(),
            BoundSource::Tmpfs { size } => {
                list.push(tmpfs(bound, *size));
                continue;
            }
            BoundSource::Tree { root: tree, path } => {
                fs::create_dir(&place)?;
                let tree = root(tree)?;
                move_mount(&tree, c"", rustix::fs::CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
                place.join(path.strip_prefix("/").unwrap_or(path))
            }
            BoundSource::Secret { content, mode, uid, gid } => {
                let folder = match &secrets {
                    Some(folder) => folder,
                    None => secrets.insert(secret_folder(&job.scratch)?),
                };
                let path = folder.join(number.to_string());
                fs::write(&path, content)?;
                chown(&path, Some(*uid), Some(*gid))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                path
            }
        };
        let access = if bound.readonly { "ro" } else { "rw" };
        list.push(defaults::mount(&bound.target, "bind", source, &["bind", "rprivate", access]));
    }
    Ok(list)
}

fn tmpfs(bound: &Bound, size: Option<u64>) -> Mount {
    let size = size.map(|size| format!("size={size}"));
    let options: Vec<&str> = ["nosuid", "nodev", "mode=1777"].into_iter().chain(size.as_deref()).collect();
    defaults::mount(&bound.target, "tmpfs", "tmpfs", &options)
}

/// A folder in memory, seen by this command alone.
fn secret_folder(scratch: &Path) -> Result<PathBuf, Failure> {
    let folder = scratch.join("secrets");
    fs::create_dir(&folder)?;
    mount(c"tmpfs", &folder, c"tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0700")?;
    Ok(folder)
}
