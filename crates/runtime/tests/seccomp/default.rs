//! What Docker's default profile lets a container do.

use hoist_runtime::seccomp::{Architecture, compile};
use oci_spec::runtime::{Capability, LinuxSeccomp};

use crate::interpreter::{Call, check, run};
use crate::profiles::{docker, docker_with};

const NATIVE: Architecture = Architecture::X86_64;
const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn said(profile: &LinuxSeccomp, name: &str, arguments: [u64; 6]) -> u32 {
    said_on(profile, NATIVE, name, arguments)
}

fn said_on(profile: &LinuxSeccomp, architecture: Architecture, name: &str, arguments: [u64; 6]) -> u32 {
    let native = if architecture == Architecture::Arm { Architecture::Aarch64 } else { NATIVE };
    let filter = compile(profile, native).unwrap();
    check(filter.program());
    let number = architecture.number(name).unwrap_or_else(|| panic!("{name}"));
    run(filter.program(), &Call::new(architecture, number, arguments))
}

fn first(value: u64) -> [u64; 6] {
    [value, 0, 0, 0, 0, 0]
}

#[test]
fn what_reaches_into_the_kernel_is_refused() {
    let profile = docker_with(NATIVE, &[]);
    for name in [
        "mount",
        "umount2",
        "unshare",
        "setns",
        "keyctl",
        "add_key",
        "request_key",
        "bpf",
        "perf_event_open",
        "init_module",
        "kexec_load",
        "open_by_handle_at",
        "userfaultfd",
        "io_uring_setup",
        "open_tree",
        "move_mount",
        "fsopen",
        "mount_setattr",
        "swapon",
        "reboot",
        "settimeofday",
        "pivot_root",
        "acct",
        "iopl",
        "syslog",
    ] {
        assert_eq!(said(&profile, name, [0; 6]), EPERM, "{name}");
    }
    for name in
        ["read", "write", "execve", "ptrace", "chroot", "clock_gettime", "statx", "openat2", "close_range"]
    {
        assert_eq!(said(&profile, name, [0; 6]), ALLOW, "{name}");
    }
}

#[test]
fn arguments_are_looked_at() {
    let profile = docker_with(NATIVE, &[]);
    // New namespaces, the user's own above all, are for who has CAP_SYS_ADMIN; threads and processes are for all.
    for (flags, expected) in [
        (0x003d_0f00, ALLOW),
        (17, ALLOW),
        (libc::CLONE_NEWUSER as u64, EPERM),
        (libc::CLONE_NEWNS as u64 | 17, EPERM),
        (libc::CLONE_NEWCGROUP as u64, EPERM),
        (1 << 40, ALLOW),
    ] {
        assert_eq!(said(&profile, "clone", first(flags)), expected, "{flags:x}");
    }
    assert_eq!(said(&profile, "clone3", [0; 6]), ENOSYS, "programs fall back on clone");
    for (domain, expected) in [
        (libc::AF_INET, ALLOW),
        (libc::AF_UNIX, ALLOW),
        (libc::AF_NETLINK, ALLOW),
        (libc::AF_ALG, EPERM),
        (39, ALLOW),
        (libc::AF_VSOCK, EPERM),
        (41, ALLOW),
    ] {
        assert_eq!(said(&profile, "socket", first(domain as u64)), expected, "{domain}");
    }
    for (persona, expected) in [
        (0, ALLOW),
        (8, ALLOW),
        (0x20000, ALLOW),
        (0x20008, ALLOW),
        (0xffff_ffff, ALLOW),
        (0x0004_0000, EPERM),
        (1, EPERM),
        (0x1_0000_0000, EPERM),
    ] {
        assert_eq!(said(&profile, "personality", first(persona)), expected, "{persona:x}");
    }
}

#[test]
fn capabilities_open_what_is_theirs() {
    let admin = docker_with(NATIVE, &[Capability::SysAdmin]);
    for name in ["mount", "unshare", "setns", "clone3", "bpf", "umount2"] {
        assert_eq!(said(&admin, name, [0; 6]), ALLOW, "{name}");
    }
    assert_eq!(said(&admin, "clone", first(libc::CLONE_NEWUSER as u64)), ALLOW);
    assert_eq!(said(&admin, "reboot", [0; 6]), EPERM);
    for (capability, name) in [
        (Capability::SysBoot, "reboot"),
        (Capability::SysModule, "init_module"),
        (Capability::SysTime, "settimeofday"),
        (Capability::SysPtrace, "kcmp"),
        (Capability::DacReadSearch, "open_by_handle_at"),
        (Capability::Syslog, "syslog"),
        (Capability::Bpf, "bpf"),
        (Capability::Perfmon, "perf_event_open"),
        (Capability::SysNice, "mbind"),
    ] {
        assert_eq!(said(&docker(NATIVE, &[]), name, [0; 6]), EPERM, "{name}");
        assert_eq!(said(&docker(NATIVE, &[capability]), name, [0; 6]), ALLOW, "{name}");
    }
    assert_eq!(said(&docker(NATIVE, &[]), "chroot", [0; 6]), EPERM);
}

#[test]
fn ptrace_is_for_kernels_that_check_after_it() {
    let mut here = hoist_runtime::seccomp::Circumstances {
        native: NATIVE,
        capabilities: [Capability::Chown].into_iter().collect(),
        kernel: (4, 8),
    };
    let resolve = |here: &_| hoist_runtime::seccomp::default_profile().resolve(here);
    assert_eq!(said(&resolve(&here), "ptrace", [0; 6]), ALLOW);
    here.kernel = (4, 7);
    assert_eq!(said(&resolve(&here), "ptrace", [0; 6]), EPERM);
    here.kernel = (10, 0);
    assert_eq!(said(&resolve(&here), "ptrace", [0; 6]), ALLOW);
}

#[test]
fn calls_younger_than_the_profile_do_not_exist() {
    let filter = compile(&docker_with(NATIVE, &[]), NATIVE).unwrap();
    let call = |architecture, number| run(filter.program(), &Call::new(architecture, number, [0; 6]));
    assert_eq!(call(Architecture::X86_64, 999), ENOSYS);
    assert_eq!(call(Architecture::X86, 999), ENOSYS);
    assert_eq!(call(Architecture::X32, 0x4000_0000 | 999), ENOSYS);
    // A hole in the numbers is a call that is refused, as elsewhere.
    assert_eq!(call(Architecture::X86_64, 350), EPERM);
    assert_eq!(call(Architecture::Arm, 3), 0, "programs of another machine are ended");
}

#[test]
fn other_conventions_of_the_machine_are_no_way_around() {
    let profile = docker_with(NATIVE, &[]);
    assert_eq!(said_on(&profile, Architecture::X86, "mount", [0; 6]), EPERM);
    assert_eq!(said_on(&profile, Architecture::X32, "mount", [0; 6]), EPERM);
    assert_eq!(said_on(&profile, Architecture::X86, "read", [0; 6]), ALLOW);
    assert_eq!(said_on(&profile, Architecture::X32, "read", [0; 6]), ALLOW);
    let arm = docker_with(Architecture::Aarch64, &[]);
    assert_eq!(said_on(&arm, Architecture::Arm, "set_tls", [0; 6]), ALLOW);
    assert_eq!(said_on(&arm, Architecture::Arm, "mount", [0; 6]), EPERM);
}
