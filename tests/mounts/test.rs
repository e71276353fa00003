//! What is mounted into an instance, and what can't be reached over it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hoist_tests::{Host, SOON, Stack, eventually};

/// Far below the time for which a start that may pass is tried.
const AT_ONCE: Duration = Duration::from_secs(15);

/// A folder of the host with a file system of its own in it.
fn with_inner(host: &Host) -> PathBuf {
    let source = host.root("source");
    host.shell(&format!(
        "set -e; mkdir -p {0}/inner; mount -t tmpfs t {0}/inner; echo host > {0}/inner/seen
        printf '#!/bin/sh\n' > {0}/inner/program; chmod 755 {0}/inner/program",
        source.display()
    ))
    .ok();
    source
}

/// Runs a service to its end and gives what it printed, warnings and names apart.
fn output(stack: &Stack<'_>, service: &str) -> String {
    stack.up(&[service]);
    stack.wait_for_instance(service, "has ended", |row| row.state == "exited");
    let printed = || stack.logs(service);
    eventually("its last words", SOON, || !printed().is_empty());
    printed()
}

/// Starts a service that can't ever run, and gives what is said about it.
fn refusal(stack: &Stack<'_>, service: &str) -> String {
    let began = Instant::now();
    let outcome = stack.hoist(&["up", "-d", "--no-deps", service]);
    assert_ne!(outcome.code, 0, "{outcome}");
    assert!(began.elapsed() < AT_ONCE, "{outcome}");
    outcome.stderr
}

#[test]
fn a_subpath_does_not_leave_its_volume() {
    let Some(host) = Host::new() else { return };
    let outside = host.root("outside");
    host.shell(&format!("mkdir {0} && echo secret > {0}/secret", outside.display())).ok();
    let stack = host.stack("mounts/subpath.yaml").with("OUT", outside.to_str().unwrap());
    stack.up(&["tenant"]);
    stack.wait_for_instance("tenant", "has ended", |row| row.state == "exited" && row.exit_code == 0);
    for (service, subpath) in
        [("absolute", "absolute"), ("up", "up"), ("dots", "../../.."), ("slash", outside.to_str().unwrap())]
    {
        let said = refusal(&stack, service);
        assert!(said.contains(&format!("the subpath {subpath}")), "{said}");
        assert!(said.contains("leads out of the volume"), "{said}");
        assert_eq!(stack.logs(service), "", "{service} has not run");
    }
    let said = refusal(&stack, "missing");
    assert!(said.contains("the subpath no/such of volume subpath_data is not there"), "{said}");
    host.shell(&format!("test \"$(ls {})\" = secret", outside.display())).ok();
    assert_eq!(output(&stack, "inside"), "data\n");
    stack.down();
}

#[test]
fn what_is_read_only_is_so_all_the_way_down() {
    let Some(host) = Host::new() else { return };
    let source = with_inner(&host);
    let stack = host.stack("mounts/binds.yaml").with("SOURCE", source.to_str().unwrap());
    let seen = output(&stack, "host");
    assert!(seen.contains("host\n") && seen.contains("Read-only file system"), "{seen}");
    assert!(!["written\n", "opened\n", "own\n"].iter().any(|word| seen.contains(word)), "{seen}");
    for (service, expected) in [
        ("read-only", "/m/inner\n"),
        ("forced", "/m/inner\n"),
        ("writable-below", "inner\n/m/inner\n"),
        ("alone", "outer\ninner\n/m/inner\n"),
        ("no-programs", "refused\n1\n"),
        ("read-only-root", "1\n"),
    ] {
        assert_eq!(output(&stack, service), expected, "{service}");
    }
    host.shell(&format!("test -e {0}/x && test -e {0}/inner/x", source.display())).ok();
    stack.down();
    host.shell(&format!("umount {}/inner", source.display())).ok();
}

#[test]
fn sharing_a_private_mount_is_an_error_of_the_file() {
    let Some(host) = Host::new() else { return };
    let source = with_inner(&host).join("inner");
    host.shell(&format!("mount --make-private {}", source.display())).ok();
    let stack = host.stack("mounts/shared.yaml").with("SOURCE", source.to_str().unwrap());
    let refused = stack.hoist(&["up", "-d"]).ended_with(2);
    let advice = format!("run `mount --make-rshared {}` on the host", source.display());
    assert!(refused.stderr.contains(&advice) && refused.stderr.contains("shared.yaml:11:"), "{refused}");
    host.shell(&format!("mount --make-rshared {}", source.display())).ok();
    assert_eq!(output(&stack, "a"), "up\n");
    stack.down();
    host.shell(&format!("umount {}", source.display())).ok();
}

#[test]
fn devices_are_given_as_they_are_declared() {
    let Some(host) = Host::new() else { return };
    let links = host.root("links");
    host.shell(&format!(
        "set -e; mkdir {0}; ln -s /dev/fuse {0}/fuse; mknod {0}/of-mine c 10 229; : > {0}/file",
        links.display()
    ))
    .ok();
    let stack = host.stack("mounts/devices.yaml").with("LINKS", links.to_str().unwrap());
    let text = output(&stack, "none");
    assert!(text.starts_with("refused\n") && text.contains("No such file"), "{text}");
    assert_eq!(output(&stack, "read"), "reads\nrefused\na:e5 600\n");
    assert_eq!(output(&stack, "write"), "writes\nrefused\nreads\n");
    assert_eq!(output(&stack, "make"), "refused\nmade\nrefused\n");
    assert_eq!(output(&stack, "several"), "both\n1:7\na:e5\nof-mine\n");
    let said = refusal(&stack, "missing");
    assert!(said.contains("device /dev/nosuch: No such file"), "{said}");
    assert!(refusal(&stack, "file").contains("/etc/passwd is not a device"));
    assert_eq!(output(&stack, "privileged"), "opens\ned\n0\npts/ptmx\nsysctl\n1\n1\n");
    stack.down();
}

#[test]
fn a_start_that_can_not_work_fails_at_once() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("mounts/never.yaml");
    let said = refusal(&stack, "sysctl");
    assert!(said.contains("kernel.panic belongs to the host"), "{said}");
    assert!(refusal(&stack, "folder").contains("it is a directory"));
    stack.down();
}

#[test]
fn a_link_in_a_volume_leads_no_mount_over_proc() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("mounts/never.yaml");
    stack.up(&["over-proc"]);
    stack.wait_for_instance("over-proc", "has run", |row| {
        row.json["RestartCount"] != 0 || row.state == "exited"
    });
    let said = refusal(&stack, "through-link");
    assert!(said.contains("/proc or /sys"), "{said}");
    stack.down();
}

#[test]
fn low_ports_and_ping_are_for_every_user() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("mounts/ports.yaml");
    stack.up(&[]);
    for (service, expected) in [
        ("own", "port yes\nping yes\n"),
        ("none", "port yes\nping yes\n"),
        ("declared", "port no\nping no\n"),
        ("shares", "port no\nping no\n"),
    ] {
        eventually(service, SOON, || stack.logs(service).lines().count() == 2);
        assert_eq!(stack.logs(service), expected, "{service}");
    }
    stack.down();
}

/// Made up: where a host keeps what is nobody's business, each before the start and some after it.
const SECRETS: [&str; 24] = [
    "etc/shadow",
    "etc/krb5.keytab",
    "etc/letsencrypt/live/x/privkey.pem",
    "etc/nginx/ssl/server.key",
    "etc/pki/tls/private/k",
    "etc/ssh/ssh_host_rsa_key",
    "etc/NetworkManager/system-connections/w",
    "etc/wireguard/wg0.conf",
    "etc/docker/key.json",
    "etc/machine-id",
    "root/.bash_history",
    "root/.config/hoist/auth.json",
    "home/ann/.ssh/id",
    "home/ann/notes",
    "srv/hoist2/store.redb",
    "var/lib/kubelet/pki/k",
    "var/lib/hoist/store.redb",
    "var/lib/postgresql/data",
    "var/spool/cron/root",
    "var/backups/shadow.bak",
    "opt/hoist/agent.lock",
    "run/user/token",
    "tmp/dump",
    "backup/all.tar",
];

const LATER: [&str; 8] = [
    "home/bob/.ssh/id",
    "home/ann/.aws/credentials",
    "root/.netrc",
    "etc/gshadow",
    "var/lib/hoist/ledger.json",
    "var/lib/new/state",
    "srv/late",
    "late/key",
];

#[test]
fn a_base_shows_what_is_installed_and_not_what_is_kept() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let base = host.root("base");
    let put = |paths: &[&str], word: &str| {
        for path in paths {
            let path = base.join(path);
            host.shell(&format!("mkdir -p $(dirname {0}) && echo {word} > {0}", path.display())).ok();
        }
    };
    host.shell(&format!(
        "set -e; mkdir -p {0}/bin; cp $(command -v busybox) {0}/bin/busybox
        for applet in sh cat sleep find touch; do ln -s busybox {0}/bin/$applet; done",
        base.display()
    ))
    .ok();
    put(&SECRETS, "secret");
    put(
        &["etc/passwd", "etc/nginx/nginx.conf", "opt/app/conf", "usr/share/data", "var/lib/dpkg/status"],
        "shown",
    );
    let stack = host.stack("mounts/rootfs.yaml").with("BASE", base.to_str().unwrap());
    stack.up(&[]);
    put(&LATER, "secret");
    // A file system that is mounted later as well.
    host.shell(&format!(
        "mkdir -p {0}/mnt; mount -t tmpfs t {0}/mnt; echo secret > {0}/mnt/key",
        base.display()
    ))
    .ok();
    let script = r#"find / -path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -type f -not -name busybox -print | while read f; do
        case "$(cat $f 2>/dev/null)" in secret | shown) echo "$f $(cat $f)";; esac; done; touch /tmp/x /etc/x && echo writable"#;
    let seen = stack.hoist(&["exec", "-T", "a", "sh", "-c", script]).success().stdout;
    let mut lines: Vec<&str> = seen.lines().collect();
    lines.sort_unstable();
    let expected = [
        "/etc/nginx/nginx.conf shown",
        "/etc/passwd shown",
        "/opt/app/conf shown",
        "/usr/share/data shown",
        "/var/lib/dpkg/status shown",
        "writable",
    ];
    assert_eq!(lines, expected);
    host.shell(&format!("umount {}/mnt", base.display())).ok();
    stack.down();
}
