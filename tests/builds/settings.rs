//! What `build` says of the surroundings of RUN, and of the image.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use hoist_tests::{Host, Outcome, SOON, Stack, eventually};

const STACK: &str = r#"
name: settings
services:
  web:
    build:
      context: web
      extra_hosts: ["db=192.0.2.77", "here=host-gateway"]
      shm_size: 16m
      ulimits: { nofile: { soft: 100, hard: 200 } }
      labels: { org.example.one: "1" }
      tags: ["settings/other:2"]
      isolation: default
      provenance: mode=max
      sbom: false
      entitlements: [network.host, device]
      platforms: [linux/s390x, linux/amd64, linux/arm64]
      secrets: [of_file, of_environment]
secrets:
  of_file: { file: ./token }
  of_environment: { environment: TOKEN }
"#;

/// A build of one command in the image that has nothing but busybox.
fn run(stack: &Stack<'_>, flags: &str, script: &str) -> Outcome {
    let folder = stack.host_folder();
    let text = format!(
        "FROM scratch AS final\nCOPY busybox /bin/busybox\nRUN {flags} [\"/bin/busybox\", \"sh\", \"-c\", \"{script}\"]\n"
    );
    fs::write(folder.join("web/Dockerfile"), text).unwrap();
    stack.hoist(&["build", "web"])
}

/// The same, never as an earlier one left it.
fn run_anew(stack: &Stack<'_>, flags: &str, script: &str) -> Outcome {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    run(stack, flags, &format!("{script}; : {}", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

trait Folder {
    fn host_folder(&self) -> std::path::PathBuf;
}

impl Folder for Stack<'_> {
    /// The folder of its file.
    fn host_folder(&self) -> std::path::PathBuf {
        let words = self.command(&[]);
        let file = words.get_args().skip_while(|word| *word != "-f").nth(1).unwrap();
        std::path::Path::new(file).parent().unwrap().to_owned()
    }
}

#[test]
fn commands_get_hosts_shared_memory_and_limits() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "settings");
    fs::write(folder.join("stack.yaml"), STACK).unwrap();
    let stack = host.stack(folder.to_str().unwrap()).with("TOKEN", "s3cr3t-env1ronment");
    let script = "busybox cat /etc/hosts; busybox df -k /dev/shm; ulimit -Sn; ulimit -Hn; busybox wc -c < /run/secrets/of_file; busybox md5sum /run/secrets/of_environment";
    let flags = "--mount=type=secret,id=of_file --mount=type=secret,id=of_environment";
    let built = run(&stack, flags, script).success();
    for line in ["192.0.2.77\tdb", "127.0.0.1\there", "100", "200", "12"] {
        assert!(built.stderr.contains(&format!("| {line}\n")), "{line}: {built}");
    }
    assert!(built.stderr.lines().any(|line| line.contains("| shm") && line.contains(" 16384 ")), "{built}");
    for warning in [
        "stack.yaml:13:7: warning[no-effect]: `services.web.build.provenance` has no effect: Hoist writes no",
        "stack.yaml:12:7: warning[no-effect]: `services.web.build.isolation` has no effect: it is for Windows",
        "grants nothing: \"device\"",
        "warning[one-platform]: `services.web.build.platforms` names several",
    ] {
        assert!(built.stderr.contains(warning), "{warning}: {built}");
    }
    assert!(!built.stderr.contains("sbom"), "what is switched off is no matter: {built}");
    let shown = stack.hoist(&["image", "inspect", "settings/other:2"]).success();
    assert!(shown.stdout.contains("org.example.one") && !shown.stdout.contains("s390x"), "{shown}");
    let history = stack.hoist(&["image", "history", "--no-trunc", "settings-web"]).success();
    for secret in ["s3cr3t-env1ronment", "s3cr3t-v4lue"] {
        assert!(!format!("{built}{history}").contains(secret), "a secret was shown");
        let found = host.run("grep", &["-rl", secret, stack.root().to_str().unwrap()]);
        assert_eq!(found.stdout, "", "a secret is in a file below the root");
    }

    // Where a name leads is no part of what is compared; that it is there is.
    fs::write(folder.join("stack.yaml"), STACK.replace("192.0.2.77", "192.0.2.78")).unwrap();
    assert!(run(&stack, flags, script).success().stderr.contains("all cached"));
    fs::write(folder.join("stack.yaml"), STACK.replace("db=", "database=")).unwrap();
    assert!(run(&stack, flags, script).success().stderr.contains("| 192.0.2.77\tdatabase\n"));
}

#[test]
fn commands_are_filtered_unless_they_are_insecure() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "filtered");
    let stack = host.stack(folder.to_str().unwrap());
    fs::write(
        folder.join("stack.yaml"),
        "name: n\nservices:\n  web: { build: { context: web, privileged: true } }\n",
    )
    .unwrap();
    for (flags, mode) in [("", 2), ("--security=insecure", 0)] {
        let built = run_anew(&stack, flags, "busybox grep ^Seccomp: /proc/self/status").success();
        assert!(built.stderr.contains(&format!("| Seccomp:\t{mode}\n")), "{built}");
    }
}

#[test]
fn the_network_is_none_or_the_hosts() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "networks");
    let stack = host.stack(folder.to_str().unwrap());
    let write = |network: &str| {
        let text = format!("name: n\nservices:\n  web:\n    build: {{ context: web, network: {network} }}\n");
        fs::write(folder.join("stack.yaml"), text).unwrap();
    };
    let script = "echo net: $(busybox ls /sys/class/net); busybox test -e /etc/resolv.conf && echo names; busybox true";
    let see = |flags: &str| run_anew(&stack, flags, script).success().stderr;
    let resolves = host.run("test", &["-e", "/etc/resolv.conf"]).code == 0;
    for (network, flags, all) in [
        ("default", "", true),
        ("default", "--network=host", true),
        ("default", "--network=default", true),
        ("default", "--network=none", false),
        ("none", "", false),
        ("none", "--network=default", false),
        ("none", "--network=host", true),
        ("host", "", true),
    ] {
        write(network);
        let seen = see(flags);
        let expected = if all { "| net: eth0 lo\n" } else { "| net: lo\n" };
        assert!(seen.contains(expected), "{network} {flags}: {seen}");
        assert_eq!(seen.contains("| names\n"), all && resolves, "{network} {flags}: {seen}");
    }
    write("elsewhere");
    let other = run(&stack, "", script).ended_with(2);
    assert!(
        other.stderr.contains("a build's network is none, host or default, not \"elsewhere\""),
        "{other}"
    );
}

#[test]
fn a_command_has_all_privileges_where_the_stack_file_grants_them() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "insecure");
    let stack = host.stack(folder.to_str().unwrap());
    let script = "busybox mkdir -p /mnt; busybox mount -t tmpfs none /mnt && echo mounted; echo masked: $(busybox cat /proc/self/mountinfo | busybox grep -c /proc/kcore); busybox grep CapEff /proc/self/status; busybox true";
    let grants = |line: &str| {
        let text = format!("name: n\nservices:\n  web:\n    build:\n      context: web\n{line}\n");
        fs::write(folder.join("stack.yaml"), text).unwrap();
    };
    grants("");
    let refused = run(&stack, "--security=insecure", script).ended_with(2);
    assert!(refused.stderr.contains("--security=insecure is not granted"), "{refused}");
    assert!(refused.stderr.contains("entitlements: [security.insecure]"), "{refused}");
    for grant in ["      entitlements: [security.insecure]", "      privileged: true"] {
        grants(grant);
        let insecure = run_anew(&stack, "--security=insecure", script).success();
        assert!(insecure.stderr.contains("| mounted\n"), "{insecure}");
        let usual = run_anew(&stack, "", script).success();
        assert!(!usual.stderr.contains("| mounted\n"), "a command that doesn't ask gets no more: {usual}");
    }
}

#[test]
fn an_ssh_agent_is_there_for_the_command_that_asks() {
    let Some(host) = Host::with(&["busybox", "ssh-agent", "ssh-add", "ssh-keygen", "ldd"]) else { return };
    let (folder, _kept) = super::project(&host, "ssh");
    let socket = host.folder().join("agent.socket");
    let mut agent = std::process::Command::new("ssh-agent");
    agent.args(["-D", "-a"]).arg(&socket).stdin(std::process::Stdio::null());
    let _agent = host.start(agent);
    eventually("the agent listens", SOON, || socket.exists());
    let at = host.folder().display();
    let made = host.shell(&format!(
        "set -e; ssh-keygen -q -t ed25519 -N '' -C me@here -f {at}/key
         SSH_AUTH_SOCK={} ssh-add -q {at}/key
         mkdir -p {}/web/root; cp -L --parents $(command -v ssh-add) $(ldd $(command -v ssh-add) | grep -o '/[^ ]*') {}/web/root
         ssh-keygen -lf {at}/key",
        socket.display(),
        folder.display(),
        folder.display()
    ));
    let listed = made.success().text().to_owned();
    let text = "name: n\nservices:\n  web:\n    build: { context: web, ssh: [default] }\n";
    fs::write(folder.join("stack.yaml"), text).unwrap();
    let script = r#"FROM scratch AS final
COPY busybox /bin/busybox
COPY root /
RUN --mount=type=ssh ["/usr/bin/ssh-add", "-l"]
RUN ["/bin/busybox", "sh", "-c", "echo left: $SSH_AUTH_SOCK $(busybox find / -xdev -type s) $(busybox ls /run)"]
"#;
    fs::write(folder.join("web/Dockerfile"), script).unwrap();
    let stack = host.stack(folder.to_str().unwrap());
    let without = stack.hoist(&["build", "web"]).ended_with(2);
    assert!(without.stderr.contains("SSH_AUTH_SOCK is not set"), "{without}");
    let built = stack.with("SSH_AUTH_SOCK", socket.to_str().unwrap()).hoist(&["build", "web"]).success();
    assert!(built.stderr.contains(&format!("| {listed}\n")), "{listed}: {built}");
    assert!(built.stderr.contains("| left:\n"), "nothing of it is in a layer: {built}");
}
