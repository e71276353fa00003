//! Which namespaces are new, joined or the caller's.

use std::os::fd::OwnedFd;
use std::path::Path;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType as Type, Spec};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::launch::PrepareError;
use crate::op::JoinNamespace;

/// What becomes of each kind of namespace.
#[derive(Debug)]
pub(crate) struct Namespaces {
    pub(crate) pid: PidNamespace,
    pub(crate) joins: Vec<JoinNamespace>,
    pub(crate) unshare: Vec<(UnshareFlags, &'static str)>,
}

/// The PID namespace can't be changed by a process for itself, only for its children: the clone does it.
#[derive(Debug)]
pub(crate) enum PidNamespace {
    New,
    Callers,
    Joined(OwnedFd),
}

/// In the order they print; the kernel does not care.
const NEW: [(Type, UnshareFlags, &str); 5] = [
    (Type::Mount, UnshareFlags::NEWNS, "mount"),
    (Type::Cgroup, UnshareFlags::NEWCGROUP, "cgroup"),
    (Type::Uts, UnshareFlags::NEWUTS, "uts"),
    (Type::Ipc, UnshareFlags::NEWIPC, "ipc"),
    (Type::Network, UnshareFlags::NEWNET, "network"),
];

const JOINED: [(Type, LinkNameSpaceType); 4] = [
    (Type::Cgroup, LinkNameSpaceType::ControlGroup),
    (Type::Uts, LinkNameSpaceType::HostNameAndNISDomainName),
    (Type::Ipc, LinkNameSpaceType::InterProcessCommunication),
    (Type::Network, LinkNameSpaceType::Network),
];

impl Namespaces {
    /// Reads the specification and opens the namespaces that it names by path.
    pub(crate) fn open(spec: &Spec, netns: Option<OwnedFd>) -> Result<Self, PrepareError> {
        let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
        let listed = listed.map(Vec::as_slice).unwrap_or_default();
        check(listed)?;
        let find = |typ| listed.iter().find(|namespace| namespace.typ() == typ);
        let mut namespaces = Self { pid: open_pid(find(Type::Pid))?, joins: Vec::new(), unshare: Vec::new() };
        for (typ, kind) in JOINED {
            let Some(path) = find(typ).and_then(|namespace| namespace.path().as_ref()) else { continue };
            if typ == Type::Network && netns.is_some() {
                continue;
            }
            let from = path.display().to_string();
            namespaces.joins.push(JoinNamespace { kind, namespace: open(path)?, from });
        }
        let is_new = |typ| find(typ).is_some_and(|namespace| namespace.path().is_none());
        let new = NEW.into_iter().filter(|(typ, _, _)| is_new(*typ));
        let new = new.filter(|(typ, _, _)| *typ != Type::Network || netns.is_none());
        namespaces.unshare = new.map(|(_, flag, name)| (flag, name)).collect();
        if let Some(namespace) = netns {
            let from = "the sandbox".to_owned();
            namespaces.joins.push(JoinNamespace { kind: LinkNameSpaceType::Network, namespace, from });
        }
        Ok(namespaces)
    }

    pub(crate) fn has_own_uts(&self) -> bool {
        self.has_own(UnshareFlags::NEWUTS, LinkNameSpaceType::HostNameAndNISDomainName)
    }

    pub(crate) fn has_own_ipc(&self) -> bool {
        self.has_own(UnshareFlags::NEWIPC, LinkNameSpaceType::InterProcessCommunication)
    }

    pub(crate) fn has_own_network(&self) -> bool {
        self.has_own(UnshareFlags::NEWNET, LinkNameSpaceType::Network)
    }

    pub(crate) fn has_own_cgroup(&self) -> bool {
        self.has_own(UnshareFlags::NEWCGROUP, LinkNameSpaceType::ControlGroup)
    }

    /// Whether it is not the caller's: new, or another container's.
    fn has_own(&self, new: UnshareFlags, joined: LinkNameSpaceType) -> bool {
        self.unshare.iter().any(|(flag, _)| *flag == new) || self.joins.iter().any(|join| join.kind == joined)
    }
}

fn check(listed: &[LinuxNamespace]) -> Result<(), PrepareError> {
    const FIELD: &str = "linux.namespaces";
    for (index, namespace) in listed.iter().enumerate() {
        let typ = namespace.typ();
        if listed.iter().skip(index + 1).any(|other| other.typ() == typ) {
            return Err(PrepareError::invalid(FIELD, format!("{typ} is there twice")));
        }
        if matches!(typ, Type::User | Type::Time) {
            return Err(PrepareError::unsupported(format!("{FIELD}: {typ}")));
        }
    }
    match listed.iter().find(|namespace| namespace.typ() == Type::Mount) {
        Some(mount) if mount.path().is_none() => Ok(()),
        _ => Err(PrepareError::unsupported(format!("{FIELD}: a container without a new mount namespace"))),
    }
}

fn open_pid(listed: Option<&LinuxNamespace>) -> Result<PidNamespace, PrepareError> {
    match listed.map(LinuxNamespace::path) {
        None => Ok(PidNamespace::Callers),
        Some(None) => Ok(PidNamespace::New),
        Some(Some(path)) => Ok(PidNamespace::Joined(open(path)?)),
    }
}

fn open(path: &Path) -> Result<OwnedFd, PrepareError> {
    let opened = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|source| PrepareError::Open { path: path.to_owned(), source })
}
