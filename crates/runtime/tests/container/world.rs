//! A place to run containers in: a root of busybox, a specification to change, a process to wait for.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use hoist_runtime::exec::{self, ExecInput};
use hoist_runtime::launch::{
    self, Launch, LaunchError, LaunchInput, Launcher, Launching, PrepareError, Progress, Running, Shortfall,
};
use hoist_runtime::rootfs::{self, Layers, Rootfs};
use hoist_runtime::{capabilities, defaults, sandbox};
use oci_spec::runtime::{Linux, Process, Root, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Longest wait for anything, far above what is needed.
pub(crate) const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

const APPLETS: [&str; 25] = [
    "sh", "cat", "ls", "id", "mount", "hostname", "sleep", "stat", "readlink", "touch", "mkdir", "env", "ps",
    "kill", "grep", "head", "echo", "true", "false", "test", "tty", "wc", "sort", "ip", "find",
];

/// A root file system to launch in, private to the calling test.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    /// None, with the reason printed, where the kernel would refuse.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if !is_root(test) {
            return None;
        }
        let Some(busybox) = static_busybox() else {
            println!("skipped {test}, because busybox-static is not installed");
            return None;
        };
        // SAFETY: FILES is not unshared; the test's own thread only.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let world = Self { dir: tempfile::tempdir().unwrap() };
        world.unpack(&busybox);
        Some(world)
    }

    fn unpack(&self, busybox: &Path) {
        let base = self.base();
        for directory in ["bin", "etc", "tmp", "proc", "sys", "dev", "../upper", "../work"] {
            fs::create_dir_all(base.join(directory)).unwrap();
        }
        fs::copy(busybox, base.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", base.join("bin").join(applet)).unwrap();
        }
        fs::write(base.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n")
            .unwrap();
        fs::write(base.join("etc/group"), "root:x:0:\napp:x:1001:\nvideo:x:44:app\n").unwrap();
    }

    /// The image: read-only under the overlay, so tests write to it before they launch.
    pub(crate) fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    pub(crate) fn layers(&self) -> Layers {
        let path = |name| self.dir.path().join(name);
        Layers { lower: vec![self.base()], upper: path("upper"), work: path("work") }
    }

    pub(crate) fn root(&self) -> OwnedFd {
        rootfs::assemble(&Rootfs::Layers(self.layers())).unwrap()
    }

    /// Launches, waits for the end, and gives what was printed and the exit code.
    pub(crate) fn run(&self, spec: Spec) -> Output {
        let (mut input, output) = self.input(spec);
        input.netns = Some(sandbox::network_namespace().unwrap());
        finish(prepare(input).unwrap(), output)
    }

    /// An input whose standard output and error are a pipe, and the pipe.
    pub(crate) fn input(&self, spec: Spec) -> (LaunchInput, OwnedFd) {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let input = LaunchInput {
            spec,
            rootfs: self.root(),
            netns: None,
            cgroups: Vec::new(),
            stdio: stdio(&writing),
            terminal: None,
            devpts: None,
            executable: None,
            init: false,
            shortfall: Shortfall::Warn,
        };
        (input, reading)
    }
}

/// Prepares as a process that has just begun does.
pub(crate) fn prepare(input: LaunchInput) -> Result<Launch, PrepareError> {
    launch::prepare(input, &Launcher::of_this_process())
}

pub(crate) fn prepare_exec(input: ExecInput) -> Result<Launch, PrepareError> {
    exec::prepare(input, &Launcher::of_this_process())
}

/// Whether this is root of the host; prints that the test is skipped if not.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped {test}, because it needs root");
    }
    root
}

fn static_busybox() -> Option<PathBuf> {
    let candidates = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    candidates.into_iter().find(|path| {
        fs::read(path).is_ok_and(|content| !content.windows(12).any(|window| window == b"/ld-linux-x8"))
    })
}

/// Nothing to read, and one pipe to write to.
pub(crate) fn stdio(output: &OwnedFd) -> [OwnedFd; 3] {
    let null = File::open("/dev/null").unwrap().into();
    [null, output.try_clone().unwrap(), output.try_clone().unwrap()]
}

/// A specification as the agent makes them: Docker's defaults, a shell script to run.
pub(crate) fn shell(script: &str) -> Spec {
    command(&["/bin/sh", "-c", script])
}

pub(crate) fn command(args: &[&str]) -> Spec {
    let mut linux = Linux::default();
    let paths = |paths: &[&str]| Some(paths.iter().map(ToString::to_string).collect());
    linux
        .set_namespaces(Some(defaults::namespaces()))
        .set_masked_paths(paths(&defaults::MASKED_PATHS))
        .set_readonly_paths(paths(&defaults::READONLY_PATHS))
        .set_resources(None);
    let mut spec = Spec::default();
    spec.set_process(Some(process(args)))
        .set_mounts(Some(defaults::mounts(defaults::SHM_SIZE)))
        .set_linux(Some(linux))
        .set_root(Some(Root::default()))
        .set_hostname(Some("box".to_owned()));
    if let Some(root) = spec.root_mut() {
        root.set_readonly(Some(false));
    }
    spec
}

pub(crate) fn process(args: &[&str]) -> Process {
    let mut process = Process::default();
    process
        .set_args(Some(args.iter().map(ToString::to_string).collect()))
        .set_env(Some(vec![format!("PATH={}", defaults::PATH)]))
        .set_cwd("/".into())
        .set_capabilities(Some(defaults::capabilities(capabilities::DEFAULT, 0)))
        .set_rlimits(None)
        .set_no_new_privileges(Some(false));
    process
}

/// The parts of a specification that tests change.
pub(crate) fn edit_process(spec: &mut Spec, edit: impl FnOnce(&mut Process)) {
    edit(spec.process_mut().as_mut().unwrap());
}

pub(crate) fn edit_linux(spec: &mut Spec, edit: impl FnOnce(&mut Linux)) {
    edit(spec.linux_mut().as_mut().unwrap());
}

pub(crate) fn add_mount(spec: &mut Spec, mount: oci_spec::runtime::Mount) {
    spec.mounts_mut().get_or_insert_default().push(mount);
}

/// What a finished process left.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) text: String,
    pub(crate) code: i32,
}

impl Output {
    /// The text of one that succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.text);
        self.text
    }
}

pub(crate) fn finish(launch: Launch, output: OwnedFd) -> Output {
    let running = start(launch).unwrap();
    let text = read_all(output);
    Output { text, code: wait(&running) }
}

/// A running process that does not outlive its test, however that ends.
#[derive(Debug)]
pub(crate) struct Started(Running);

impl std::ops::Deref for Started {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

/// Spawns and waits for the execve.
pub(crate) fn start(launch: Launch) -> Result<Started, LaunchError> {
    let mut launching = launch.spawn().unwrap();
    launching.release();
    settle(launching)
}

pub(crate) fn settle(mut launching: Launching) -> Result<Started, LaunchError> {
    loop {
        match launching.poll() {
            Progress::Pending => until_readable(launching.fd()),
            Progress::Running(running) => return Ok(Started(running)),
            Progress::Failed(error) => return Err(error),
        }
    }
}

pub(crate) fn until_readable(fd: impl AsFd) {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&PATIENCE)).unwrap(), 1, "nothing happened for a long time");
}

/// The exit code, 128 and the signal for one that was killed.
pub(crate) fn wait(running: &Running) -> i32 {
    until_readable(&running.pidfd);
    let status = waitid(WaitId::PidFd(running.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap()
}

pub(crate) fn read_all(fd: OwnedFd) -> String {
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text).unwrap();
    text
}

/// Reads one line, leaving the rest.
pub(crate) fn read_line(fd: &OwnedFd) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        until_readable(fd);
        match rustix::io::read(fd, &mut byte).unwrap() {
            0 => break,
            _ => line.push(byte[0]),
        }
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// Runs a tool of the host on a process, for a second opinion.
pub(crate) fn tool(name: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(name).args(args).output().unwrap();
    assert!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A field of `/proc/PID/status`.
pub(crate) fn status(running: &Running, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find(|line| line.starts_with(&format!("{field}:"))).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}
