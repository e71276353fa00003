//! Replacing the program in place: execve(2) in the same process, with descriptors kept open.
//!
//! The children stay children, so no exit is lost. What has a name is found again as after a kill
//! ([`super::adopt`]); here is what has none. Which descriptor means what stands in a memory file, whose
//! own number is in the environment.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};

use super::Keeper;
use super::exec::ExecStage;
use super::instance::Stage;
use super::requests::{Answer, Refused, refuse};
use crate::clean::Inherited;
use crate::protocol::{Key, Refusal};
use crate::stdio::terminal::Terminal;

const VARIABLE: &str = "HOIST_KEEPER_HANDOVER";

/// What there is to hand over, with descriptors as `F`: borrowed, as numbers, or owned.
#[derive(Debug, Serialize, Deserialize)]
struct Listing<F> {
    inherited: Inherited,
    lock: F,
    listener: F,
    agent: Option<F>,
    #[serde(default = "BTreeMap::new")]
    held: BTreeMap<String, Vec<F>>,
    #[serde(default = "BTreeMap::new")]
    instances: BTreeMap<String, Handed<F>>,
    #[serde(default = "Vec::new")]
    execs: Vec<(Key, String, i32, F)>,
}

impl<F> Listing<F> {
    fn map<G>(self, mut to: impl FnMut(F) -> G) -> Listing<G> {
        let to = &mut to;
        Listing {
            inherited: self.inherited,
            lock: to(self.lock),
            listener: to(self.listener),
            agent: self.agent.map(&mut *to),
            held: self
                .held
                .into_iter()
                .map(|(name, fds)| (name, fds.into_iter().map(&mut *to).collect()))
                .collect(),
            instances: self.instances.into_iter().map(|(key, handed)| (key, handed.map(&mut *to))).collect(),
            execs: self.execs.into_iter().map(|(key, name, pid, fd)| (key, name, pid, to(fd))).collect(),
        }
    }

    fn fds(&self) -> Vec<&F> {
        let mut all: Vec<&F> = [&self.lock, &self.listener].into_iter().chain(&self.agent).collect();
        all.extend(self.held.values().flatten());
        all.extend(self.instances.values().flat_map(Handed::fds));
        all.extend(self.execs.iter().map(|(.., fd)| fd));
        all
    }
}

/// What there is to hand over of one instance.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Handed<F> {
    pub(super) pidfd: Option<F>,
    pub(super) terminal: Option<F>,
    pub(super) stdin: Option<F>,
}

impl<F> Handed<F> {
    fn map<G>(self, mut to: impl FnMut(F) -> G) -> Handed<G> {
        let to = &mut to;
        Handed {
            pidfd: self.pidfd.map(&mut *to),
            terminal: self.terminal.map(&mut *to),
            stdin: self.stdin.map(&mut *to),
        }
    }

    fn fds(&self) -> impl Iterator<Item = &F> {
        [&self.pidfd, &self.terminal, &self.stdin].into_iter().flatten()
    }
}

/// What a former program of this process left. Empty after a normal start.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    listing: Option<Listing<Option<OwnedFd>>>,
}

impl Handover {
    /// Takes what a former program of this process left.
    pub(crate) fn receive() -> io::Result<Handover> {
        let Some(number) = std::env::var(VARIABLE).ok().and_then(|number| number.parse::<RawFd>().ok())
        else {
            return Ok(Handover::default());
        };
        // SAFETY: the variable is set only by `Keeper::upgrade`, for this very process, with a descriptor
        // that it left open for us and that nobody else here knows of.
        let mut file = File::from(unsafe { OwnedFd::from_raw_fd(number) });
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        let listing = serde_json::from_slice::<Listing<RawFd>>(&text)?;
        // SAFETY: as above, for each number the list has, and each stands in it once.
        let listing = listing.map(|number| unsafe { OwnedFd::from_raw_fd(number) });
        for fd in listing.fds() {
            fcntl_setfd(fd, FdFlags::CLOEXEC)?;
        }
        Ok(Handover { listing: Some(listing.map(Some)) })
    }

    /// The descriptors that must not be closed as foreign ones.
    pub(crate) fn numbers(&self) -> Vec<RawFd> {
        let listing = self.listing.iter().flat_map(Listing::fds);
        listing.flatten().map(AsRawFd::as_raw_fd).collect()
    }

    /// What containers get as it was before the first keeper changed it.
    pub(crate) fn inherited(&self) -> Option<Inherited> {
        self.listing.as_ref().map(|listing| listing.inherited.clone())
    }

    pub(crate) fn take_lock(&mut self) -> Option<OwnedFd> {
        self.listing.as_mut()?.lock.take()
    }

    pub(super) fn take_listener(&mut self) -> Option<OwnedFd> {
        self.listing.as_mut()?.listener.take()
    }

    pub(super) fn take_agent(&mut self) -> Option<OwnedFd> {
        self.listing.as_mut()?.agent.take().flatten()
    }

    pub(super) fn take_held(&mut self) -> BTreeMap<String, Vec<OwnedFd>> {
        let held = self.listing.as_mut().map(|listing| std::mem::take(&mut listing.held)).unwrap_or_default();
        held.into_iter().map(|(name, fds)| (name, fds.into_iter().flatten().collect())).collect()
    }

    pub(super) fn take_instance(&mut self, key: &str) -> Handed<OwnedFd> {
        match self.listing.as_mut().and_then(|listing| listing.instances.remove(key)) {
            Some(Handed { pidfd, terminal, stdin }) => {
                Handed { pidfd: pidfd.flatten(), terminal: terminal.flatten(), stdin: stdin.flatten() }
            }
            None => Handed { pidfd: None, terminal: None, stdin: None },
        }
    }

    pub(super) fn take_execs(&mut self) -> Vec<(Key, String, i32, OwnedFd)> {
        let execs =
            self.listing.as_mut().map(|listing| std::mem::take(&mut listing.execs)).unwrap_or_default();
        execs.into_iter().filter_map(|(key, name, pid, fd)| Some((key, name, pid, fd?))).collect()
    }
}

impl Keeper {
    /// Becomes another program. Returns only when that failed; then nothing has changed.
    pub(super) fn upgrade(&mut self, program: &Path, args: &[String]) -> Result<Answer, Refused> {
        if self.is_launching() {
            return Err(refuse(Refusal::State, "a launch is under way"));
        }
        let failed = |error: io::Error| refuse(Refusal::System, format!("can't upgrade: {error}"));
        let error = match self.execute(program, args) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        for fd in self.listing().fds() {
            fcntl_setfd(fd, FdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        }
        Err(failed(error))
    }

    fn is_launching(&self) -> bool {
        self.instances.values().any(|instance| matches!(instance.stage, Stage::Launching { .. }))
            || self.execs.values().any(|exec| matches!(exec.stage, ExecStage::Launching { .. }))
    }

    fn listing(&self) -> Listing<BorrowedFd<'_>> {
        let instances = self.instances.values().map(|instance| {
            let handed = Handed {
                pidfd: instance.pidfd(),
                terminal: instance.terminal.as_ref().map(Terminal::master),
                stdin: instance.stdin.as_ref().map(AsFd::as_fd),
            };
            (instance.record.key.to_string(), handed)
        });
        let execs = self.execs.values().filter_map(|exec| match &exec.stage {
            ExecStage::Running { pidfd } => {
                Some((exec.key.clone(), exec.name.clone(), exec.pid, pidfd.as_fd()))
            }
            ExecStage::Launching { .. } => None,
        });
        Listing {
            inherited: self.inherited.clone(),
            lock: self.lock.as_fd(),
            listener: self.listener.as_fd(),
            agent: self.agent.pidfd().filter(|_| !self.agent.is_leaving()),
            held: self
                .held
                .iter()
                .map(|(name, fds)| (name.clone(), fds.iter().map(AsFd::as_fd).collect()))
                .collect(),
            instances: instances.collect(),
            execs: execs.collect(),
        }
    }

    fn execute(&self, program: &Path, args: &[String]) -> io::Result<std::convert::Infallible> {
        let listing = self.listing();
        let file = memfd_create(c"handover", MemfdFlags::empty())?;
        for fd in listing.fds() {
            fcntl_setfd(fd, FdFlags::empty())?;
        }
        let mut file = File::from(file);
        file.write_all(&serde_json::to_vec(&listing.map(|fd| fd.as_raw_fd()))?)?;
        let program = CString::new(program.as_os_str().as_bytes())?;
        let args: Vec<CString> =
            args.iter().map(|arg| CString::new(arg.as_str())).collect::<Result<_, _>>()?;
        let variable = CString::new(format!("{VARIABLE}={}", file.as_raw_fd()))?;
        Ok(nix::unistd::execve(&program, &args, &[variable])?)
    }
}

#[cfg(test)]
mod tests {
    use hoist_goldens::Golden;

    use super::*;

    /// A keeper that replaces itself hands over to a later build.
    #[test]
    fn what_a_former_build_hands_over_is_read() {
        let handed = Handed { pidfd: Some(7), terminal: Some(8), stdin: Some(9) };
        let listing = Listing {
            inherited: serde_json::from_str(r#"{"oom_score_adj":-5,"open_files":[1024,4096]}"#).unwrap(),
            lock: 3,
            listener: 4,
            agent: Some(5),
            held: BTreeMap::from([("ports".to_owned(), vec![6])]),
            instances: BTreeMap::from([("web-1".to_owned(), handed)]),
            execs: vec![(Key::new("web-1").unwrap(), "probe".to_owned(), 4711, 10)],
        };
        let golden = Golden::new(env!("CARGO_MANIFEST_DIR"), "v1/handover.json");
        golden.is_written_for(&listing);
        golden.is_written_for(&golden.read::<Listing<RawFd>>());
        golden.bends_as_ever::<Listing<RawFd>>();
    }
}
