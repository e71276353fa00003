//! Finding again what ran when the last keeper ended, and taking back what only the agent still has.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use hoist_runtime::identity::{ProcessIdentity, boot_id};

use super::Keeper;
use super::exec::{ExecProcess, ExecStage};
use super::handover::{Handed, Handover};
use super::instance::{Instance, Stage, open_writers};
use super::poll::Token;
use super::requests::{Answer, Refused, refuse, unknown};
use super::unfinished;
use crate::protocol::{HandBack, Refusal, Reply, TakeUp};
use crate::state::{Begun, Found, Inventory, Record};
use crate::stdio::{self, StdioKind, terminal::Terminal};

impl Keeper {
    /// Takes up every instance that has a record, and what a former program of this process handed over.
    pub(super) fn adopt(&mut self, mut handover: Handover) -> io::Result<()> {
        let Inventory { instances, begun, complaints } = self.state.load()?;
        let boot_id = boot_id()?;
        for begun in begun {
            self.end_unfinished(&begun);
        }
        for found in instances {
            let key = found.record.key.clone();
            let handed = handover.take_instance(key.as_str());
            if let Err(error) = self.adopt_one(found, handed, &boot_id) {
                self.note(format!("can't adopt {key}: {error}"));
            }
        }
        for complaint in complaints {
            self.note(complaint);
        }
        for (key, name, pid, pidfd) in handover.take_execs() {
            let id = self.next_id();
            self.poller.watch(pidfd.as_fd(), Token::Exec(id))?;
            self.children.insert(pid, Token::Exec(id));
            self.execs.insert(id, ExecProcess { key, name, pid, stage: ExecStage::Running { pidfd } });
        }
        self.held = handover.take_held();
        if let Some(pidfd) = handover.take_agent() {
            self.watch_agent(Some(pidfd));
        }
        Ok(())
    }

    /// The last keeper was killed before the process went on to its program. Nobody was
    /// told that it runs, so it is ended; whoever asked for it asks again.
    fn end_unfinished(&mut self, begun: &Begun) {
        let key = &begun.key;
        self.note(match unfinished::end(&begun.cgroup_dirs) {
            0 => format!("the launch of {key} had only begun"),
            ended => format!("the launch of {key} had only begun; {ended} of its processes were killed"),
        });
        if let Err(error) = self.state.forget(key) {
            self.note(format!("can't remove the record of {key}: {error}"));
        }
    }

    /// The last keeper was killed about when it let a launch go on. Its word is said or never will be, so this
    /// is decided in a moment: what the process waits for is at most the end of another's setting up.
    fn comes_to_execute(&self, record: &Record) -> io::Result<bool> {
        let Some(pidfd) = record.identity.open_verified()? else {
            return Ok(self.state.has_executed(&record.key));
        };
        unfinished::wait(pidfd.as_fd(), || self.state.has_executed(&record.key));
        Ok(self.state.has_executed(&record.key))
    }

    fn adopt_one(&mut self, found: Found, handed: Handed<OwnedFd>, boot_id: &str) -> io::Result<()> {
        let Found { record, exit, executed } = found;
        let ended = exit.filter(|exit| exit.attempt == record.attempt);
        let is_of_this_boot = record.identity.boot_id == boot_id;
        if !executed && ended.is_none() && handed.pidfd.is_none() && !self.comes_to_execute(&record)? {
            self.end_unfinished(&Begun { key: record.key, cgroup_dirs: record.cgroup_dirs });
            return Ok(());
        }
        let stage = match ended {
            Some(exit) => Stage::Exited(exit),
            None => {
                match handed.pidfd.map_or_else(|| record.identity.open_verified(), |pidfd| Ok(Some(pidfd)))? {
                    Some(pidfd) => Stage::Running { pidfd, ended_ns: None },
                    None => Stage::Lost,
                }
            }
        };
        let id = self.next_id();
        let mut instance = Instance::new(record, stage);
        let has_exited = matches!(instance.stage, Stage::Exited(_));
        if !has_exited && is_of_this_boot {
            self.reconnect(&mut instance, handed.terminal, handed.stdin);
        }
        if let Stage::Running { pidfd, .. } = &instance.stage {
            self.poller.watch(pidfd.as_fd(), Token::Process(id))?;
        }
        let is_lost = matches!(instance.stage, Stage::Lost);
        self.insert(id, instance)?;
        if is_lost && !is_of_this_boot {
            self.finish_unknown(id); // It ended with the machine.
        }
        Ok(())
    }

    /// Opens an instance's ends again. One that can't be opened is a pity, and no reason to let go of the
    /// process.
    fn reconnect(&mut self, instance: &mut Instance, master: Option<OwnedFd>, stdin: Option<OwnedFd>) {
        let record = &instance.record;
        let opened = stdio::reopen(&record.stdio, record.stdin_open).and_then(|kept| {
            let writers = open_writers(record.stdio.streams(), record.log.as_ref())?;
            let terminal = master.map(Terminal::of).transpose()?;
            Ok((stdio::Kept { terminal, stdin: stdin.or(kept.stdin), ..kept }, writers))
        });
        match opened {
            Ok((kept, writers)) => {
                instance.connect(kept, writers);
                instance.go_on_with_run();
            }
            Err(error) => {
                let key = record.key.clone();
                self.note(format!("can't open the streams of {key}: {error}"));
            }
        }
    }

    /// Looks after what runs without a record, as if it had just been found with one.
    pub(super) fn take_up(&mut self, lost: TakeUp, fds: Vec<OwnedFd>) -> Result<Answer, Refused> {
        let key = lost.key.clone();
        let known = self.find(&key).map(|(id, instance)| (id, matches!(instance.stage, Stage::Exited(_))));
        match known {
            Some((_, false)) => return Err(refuse(Refusal::State, format!("{key} is known"))),
            Some((id, true)) => self.remove(id),
            None => {}
        }
        let take = || -> io::Result<()> {
            let pidfd = fds.into_iter().next().ok_or(io::ErrorKind::InvalidInput)?;
            let identity = ProcessIdentity::of(pidfd.as_fd(), lost.pid, lost.cgroup)?;
            let TakeUp { key, attempt, stdio, log, cgroup_dirs, .. } = lost;
            let stdin_open = matches!(stdio.kind, StdioKind::Pipes { stdin: true });
            let record = Record { key, attempt, identity, stdio, log, cgroup_dirs, stdin_open, marks: false };
            self.state.found(&record)?;
            let handed = Handed { pidfd: Some(pidfd), terminal: None, stdin: None };
            self.adopt_one(Found { record, exit: None, executed: true }, handed, &boot_id()?)
        };
        take().map_err(|error| refuse(Refusal::System, format!("can't take up {key}: {error}")))?;
        self.note(format!("{key} ran without a record; it is looked after again"));
        Ok(Answer::Now(Reply::Done, Vec::new()))
    }

    pub(super) fn take_back(&mut self, back: &HandBack, fds: Vec<OwnedFd>) -> Result<Answer, Refused> {
        let mut fds = fds.into_iter();
        let pidfd = if back.pidfd { fds.next() } else { None };
        let master = if back.terminal { fds.next() } else { None };
        let Some((id, instance)) = self.find_mut(&back.key) else { return Err(unknown(&back.key)) };
        let failed = |error: io::Error| refuse(Refusal::System, format!("can't take it back: {error}"));
        if let (Some(master), None, true) = (master, &instance.terminal, instance.is_live()) {
            let terminal = Terminal::of(master).map_err(failed)?;
            self.poller.watch(terminal.master(), Token::Terminal(id)).map_err(failed)?;
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.terminal = Some(terminal);
            }
        }
        let Some(instance) = self.instances.get_mut(&id) else { return Err(unknown(&back.key)) };
        if matches!(instance.stage, Stage::Lost) {
            match pidfd {
                Some(pidfd) => {
                    instance.stage = Stage::Running { pidfd, ended_ns: None };
                    self.on_process(id);
                }
                None => self.finish_unknown(id),
            }
        }
        Ok(Answer::Now(Reply::Done, Vec::new()))
    }
}
