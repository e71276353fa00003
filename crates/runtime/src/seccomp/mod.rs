//! Which system calls a process may make: seccomp(2) filters.
//!
//! Owns the way from the specification's `linux.seccomp` to the program that the kernel runs at each call
//! ([`compile`]), Docker's published default profile as data ([`default_profile`]), and the conditions under
//! which a profile's rules count ([`Profile`]). Installing the program is an operation of the launch
//! ([`crate::op::Seccomp`]); files of profiles and what stacks say about them are for others.
//!
//! Where the specification leaves something open, runc with libseccomp is followed, as Docker's users know it:
//!
//! - Names that no table knows are passed over. Calls numbered above all that the profile names get `ENOSYS`, so
//!   that programs fall back on older ones, unless the default action lets calls happen.
//! - A rule with the default's own action counts for nothing. The first rule without conditions decides alone,
//!   before and after rules with them. Conditions of one rule must all hold, except where two look at one argument:
//!   then any of them will do.
//! - Where arguments have 32 bits, the lower halves are compared. Calls that 32-bit x86 also makes through
//!   `socketcall` and `ipc` are caught there as well.
//! - An architecture that the profile doesn't list ends the thread.

mod architecture;
mod bpf;
mod cache;
mod code;
mod default;
mod profile;
mod rules;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag};

pub use architecture::Architecture;
pub use bpf::Instruction;
pub(crate) use cache::filter;
pub use default::default_profile;
pub use profile::{Architectures, Circumstances, Conditions, Profile, Rule};

/// The longest program that the kernel takes: `BPF_MAXINSNS`.
pub const MOST_INSTRUCTIONS: usize = 4096;

/// A program for the kernel, with how it is to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    program: Vec<Instruction>,
    flags: u32,
}

impl Filter {
    /// The program.
    pub fn program(&self) -> &[Instruction] {
        &self.program
    }

    /// `SECCOMP_FILTER_FLAG_…`.
    pub fn flags(&self) -> u32 {
        self.flags
    }
}

/// Why a profile can't become a filter; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// `SCMP_ACT_NOTIFY`.
    #[error("it passes system calls to a listener (SCMP_ACT_NOTIFY), and there is none here")]
    Notify,
    /// A flag that only a listener gives a meaning.
    #[error("the flag SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a listener, and there is none here")]
    WaitKillable,
    /// An `errnoRet` that no call can return.
    #[error("{0} is not an error number that a system call could return")]
    Errno(u32),
    /// A seventh argument.
    #[error("argument {0} is looked at, but system calls have six, counted from 0")]
    Argument(usize),
    /// More than [`MOST_INSTRUCTIONS`].
    #[error("it comes to more instructions than the kernel takes, which are {MOST_INSTRUCTIONS}")]
    TooLong,
    /// No table of system calls for the machine that this is.
    #[error("this machine's architecture has no table of system calls here")]
    Architecture,
}

/// Compiles a profile for a machine.
///
/// # Errors
///
/// When the profile asks for what can't be done.
pub fn compile(profile: &LinuxSeccomp, native: Architecture) -> Result<Filter, CompileError> {
    let flags = flags(profile.flags().as_deref())?;
    let program = code::program(&rules::decide(profile, native)?)?;
    Ok(Filter { program, flags })
}

/// Whether a profile can become a filter of this machine.
///
/// # Errors
///
/// As [`compile`].
pub fn check(profile: &LinuxSeccomp) -> Result<(), CompileError> {
    filter(profile).map(drop)
}

/// Without any said, speculation isn't held back for the filter's sake, as since Linux 5.16 by itself.
fn flags(given: Option<&[LinuxSeccompFilterFlag]>) -> Result<u32, CompileError> {
    let given = given.unwrap_or(&[LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow]);
    given.iter().try_fold(0, |flags, flag| {
        let flag = match flag {
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => libc::SECCOMP_FILTER_FLAG_TSYNC,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
                return Err(CompileError::WaitKillable);
            }
        };
        Ok(flags | flag as u32)
    })
}
