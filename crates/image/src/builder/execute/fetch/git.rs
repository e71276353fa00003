//! Git repositories, by the host's own `git`.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};

use rustix::process::{Pid, Signal, kill_process_group};

use super::PATIENCE;
use crate::builder::execute::mounted::Mounted;
use crate::builder::execute::{StepError, Work};
use crate::builder::graph::Source;

/// What a repository, or one that it names as a part of itself, may be fetched by: nothing that runs a command or reads
/// this host's files (git(1), `GIT_ALLOW_PROTOCOL`).
const PROTOCOLS: &str = "git:http:https:ssh";
/// Never the host's settings, templates and questions; a server that says nothing for a minute is gone.
const SETTINGS: [&str; 8] = [
    "-c",
    "advice.detachedHead=false",
    "-c",
    "init.defaultBranch=main",
    "-c",
    "http.lowSpeedLimit=1",
    "-c",
    "http.lowSpeedTime=60",
];

/// Checks a repository out.
pub(in crate::builder::execute) fn git(work: &Work<'_>, source: &Source) -> Result<Mounted, StepError> {
    let Source::Git { url, reference, folder, keep_git_dir, checksum } = source else {
        return Err(StepError::Refused("no git repository".to_owned()));
    };
    let checkout = Checkout { work, url, folder: work.session.fresh_directory()? };
    let wanted = reference.as_deref().unwrap_or("HEAD");
    if wanted.starts_with('-') || wanted.contains([':', '+', '*', '^', '~', ' ']) {
        return Err(checkout.failed(format!("{wanted:?} is not a branch, tag or commit")));
    }
    checkout.fetch(wanted)?;
    let commit = checkout.run(&["rev-parse", "HEAD"])?;
    if let Some(wanted) = checksum.as_deref().filter(|wanted| !commit.starts_with(*wanted)) {
        return Err(checkout.failed(format!("its commit is {commit}, not {wanted}")));
    }
    checkout.submodules()?;
    if !keep_git_dir {
        let git = checkout.folder.join(".git");
        std::fs::remove_dir_all(&git).map_err(StepError::io("removing", &git))?;
    }
    let root = Mounted::directory(&checkout.folder)?;
    match folder.as_deref().filter(|folder| !folder.is_empty()) {
        None => Ok(root),
        Some(folder) => {
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
            let inside =
                root.at(Path::new(folder), flags).map_err(StepError::errno("opening", Path::new(folder)))?;
            Ok(Mounted::new(inside))
        }
    }
}

struct Checkout<'a> {
    work: &'a Work<'a>,
    url: &'a str,
    folder: PathBuf,
}

impl Checkout<'_> {
    fn fetch(&self, wanted: &str) -> Result<(), StepError> {
        self.run(&["init", "--quiet", "--template="])?;
        self.run(&["remote", "add", "--", "origin", self.url])?;
        // A commit can be fetched by its whole name only, and not from every server; a short one needs all there is.
        match self.run(&["fetch", "--quiet", "--depth=1", "--", "origin", wanted]) {
            Ok(_) => self.run(&["checkout", "--quiet", "--detach", "FETCH_HEAD"])?,
            Err(StepError::Cancelled) => return Err(StepError::Cancelled),
            Err(_) => {
                self.run(&["fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"])?;
                match wanted {
                    "HEAD" => {
                        self.run(&["fetch", "--quiet", "--", "origin", "HEAD"])?;
                        self.run(&["checkout", "--quiet", "--detach", "FETCH_HEAD"])?
                    }
                    _ => self.run(&["checkout", "--quiet", "--detach", wanted])?,
                }
            }
        };
        Ok(())
    }

    fn submodules(&self) -> Result<(), StepError> {
        let update = ["submodule", "update", "--quiet", "--init", "--recursive"];
        match self.run(&[&update[..], &["--depth=1"]].concat()) {
            Ok(_) => Ok(()),
            Err(StepError::Cancelled) => Err(StepError::Cancelled),
            // Not every server can give a part of the history.
            Err(_) => self.run(&update).map(drop),
        }
    }

    fn failed(&self, text: String) -> StepError {
        StepError::Fetch { url: self.url.to_owned(), source: text.into() }
    }

    /// What git prints.
    fn run(&self, arguments: &[&str]) -> Result<String, StepError> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder).args(SETTINGS).args(arguments);
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", PROTOCOLS);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
        if let Some(socket) = self.work.build.ssh.get("default") {
            command.env("SSH_AUTH_SOCK", socket);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                self.failed("this host has no git: install it, or add an archive instead".to_owned())
            }
            _ => self.failed(error.to_string()),
        })?;
        let out = finish(self.work, child).map_err(|error| self.failed(error.to_string()))?;
        if self.work.is_cancelled() {
            return Err(StepError::Cancelled);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(self.failed(text(&out.stderr))) }
    }
}

/// Waits for the command, and ends it and what it started when the build is cancelled.
fn finish(work: &Work<'_>, child: Child) -> io::Result<Output> {
    let group = Pid::from_child(&child);
    let (sender, ended) = channel();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.send(child.wait_with_output()));
        loop {
            match ended.recv_timeout(PATIENCE) {
                Ok(output) => return output,
                Err(RecvTimeoutError::Timeout) if work.is_cancelled() => {
                    // It is not waited for yet: the number is still its own.
                    let _ = kill_process_group(group, Signal::KILL);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    })
}
