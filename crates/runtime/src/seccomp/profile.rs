//! Profiles whose rules depend on what the container may do and on where it runs: Docker's form, as values.

use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSyscall,
};

use super::Architecture;
use crate::capabilities;

/// A profile with conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Of calls that no rule fits.
    pub default_action: LinuxSeccompAction,
    /// What it returns.
    pub default_errno: Option<u32>,
    /// Whose calls are known.
    pub architectures: Architectures,
    /// How the filter is installed; none: as usual.
    pub flags: Option<Vec<LinuxSeccompFilterFlag>>,
    /// In order.
    pub rules: Vec<Rule>,
}

/// Architectures of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Architectures {
    /// The same everywhere.
    Fixed(Vec<Arch>),
    /// For each machine, the further ones whose programs it runs.
    ByMachine(Vec<(Arch, Vec<Arch>)>),
}

/// A rule, and when it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Calls, arguments, action.
    pub rule: LinuxSyscall,
    /// All must hold.
    pub includes: Conditions,
    /// None may hold.
    pub excludes: Conditions,
}

/// What may be asked of the circumstances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Machines, as Docker names them (`amd64`, `arm64`).
    pub machines: Vec<String>,
    /// Capabilities (`CAP_SYS_ADMIN`).
    pub capabilities: Vec<String>,
    /// At least this version of the kernel.
    pub kernel: Option<(u32, u32)>,
}

/// What the conditions are held against.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The machine.
    pub native: Architecture,
    /// What the container's programs can come to have: its bounding set.
    pub capabilities: Capabilities,
    /// The kernel's version.
    pub kernel: (u32, u32),
}

impl Circumstances {
    /// Those of this machine; none where it has no table of calls.
    pub fn here(capabilities: Capabilities) -> Option<Self> {
        let release = rustix::system::uname();
        let kernel = version(&release.release().to_string_lossy()).unwrap_or((0, 0));
        Some(Self { native: Architecture::NATIVE?, capabilities, kernel })
    }

    fn has(&self, name: &str) -> bool {
        capabilities::by_name(name).is_some_and(|capability| self.capabilities.contains(&capability))
    }
}

/// The first two numbers of a release: `6.1` of `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl Profile {
    /// The specification's form, with the rules that count here.
    pub fn resolve(&self, here: &Circumstances) -> LinuxSeccomp {
        let rules = self.rules.iter().filter(|rule| rule.includes.all(here) && !rule.excludes.any(here));
        let mut resolved = LinuxSeccomp::default();
        resolved
            .set_default_action(self.default_action)
            .set_default_errno_ret(self.default_errno)
            .set_architectures(Some(self.architectures.resolve(here.native)))
            .set_flags(self.flags.clone())
            .set_syscalls(Some(rules.map(|rule| rule.rule.clone()).collect()));
        resolved
    }
}

impl Architectures {
    fn resolve(&self, native: Architecture) -> Vec<Arch> {
        match self {
            Self::Fixed(architectures) => architectures.clone(),
            Self::ByMachine(machines) => {
                let own = machines.iter().find(|(machine, _)| *machine == native.oci());
                let all = own.map(|(machine, further)| std::iter::once(machine).chain(further).copied());
                all.map(Iterator::collect).unwrap_or_default()
            }
        }
    }
}

impl Conditions {
    /// Kinds that ask for nothing hold.
    fn all(&self, here: &Circumstances) -> bool {
        (self.machines.is_empty() || self.names_machine(here))
            && self.capabilities.iter().all(|name| here.has(name))
            && self.kernel.is_none_or(|kernel| here.kernel >= kernel)
    }

    fn any(&self, here: &Circumstances) -> bool {
        self.names_machine(here)
            || self.capabilities.iter().any(|name| here.has(name))
            || self.kernel.is_some_and(|kernel| here.kernel >= kernel)
    }

    fn names_machine(&self, here: &Circumstances) -> bool {
        self.machines.iter().any(|machine| machine == here.native.docker_name())
    }
}
