//! Stacks as the planner gets them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use expect_test::expect;
use hoist_model::{Command, Digest, HealthTest, ImageSource, MountKind, OnChange, RestartPolicy};
use std::path::PathBuf;
use std::time::Duration;
use support::{lines, lower_text};

const SHOP: &str = r#"
name: shop
services:
  web:
    image: nginx:1
    command: nginx -g 'daemon off;'
    environment: { DB_PASSWORD: x, MODE: "1" }
    ports: ["127.0.0.1:8080:80", "9000-9001:9000-9001/udp"]
    volumes: ["data:/data:ro", "./conf:/etc/conf", "/anonymous", { type: tmpfs, target: /t, tmpfs: { size: 1m } }]
    tmpfs: /run:mode=755,size=64k
    secrets: [key]
    depends_on: { db: { condition: service_healthy } }
    cpus: 0.5
    mem_limit: 64m
    pids_limit: 20
    cap_drop: [all]
    restart: on-failure:3
    stop_grace_period: 1m
    deploy: { replicas: 2 }
    healthcheck: { test: [CMD, "true"], interval: 1s }
  db:
    x-hoist: { rootfs: ./db }
    healthcheck: { test: "pg_isready" }
volumes: { data: {} }
secrets: { key: { file: ./secret.txt } }
"#;

#[test]
fn a_shop() {
    let lowered = lower_text(SHOP).unwrap();
    assert_eq!(lines(&lowered.warnings), "");
    let stack = lowered.stack;
    let web = &stack.services["web"];
    assert_eq!(web.command, Command::Given(["nginx", "-g", "daemon off;"].map(str::to_owned).to_vec()));
    assert_eq!(web.entrypoint, Command::Image);
    assert!(web.environment["DB_PASSWORD"].sensitive && !web.environment["MODE"].sensitive);
    let ports: Vec<_> = web.ports.iter().map(|p| (p.published, p.target, p.protocol.to_string())).collect();
    expect!["[(Some(8080), 80, \"tcp\"), (Some(9000), 9000, \"udp\"), (Some(9001), 9001, \"udp\")]"]
        .assert_eq(&format!("{ports:?}"));
    assert_eq!(web.resources.cpu_millis, Some(500));
    assert_eq!(web.resources.memory, Some(64 << 20));
    assert_eq!(web.resources.pids, Some(20));
    assert_eq!(web.cap_drop, ["ALL"]);
    assert_eq!(web.restart, RestartPolicy::OnFailure { max: Some(3) });
    assert_eq!(web.stop_grace_period, Duration::from_secs(60));
    assert_eq!(web.replicas, 2);
    let health = web.healthcheck.as_ref().unwrap();
    assert_eq!(health.test, HealthTest::Exec(vec!["true".to_owned()]));
    assert_eq!((health.interval, health.retries), (Duration::from_secs(1), 3));
    assert!(web.depends_on["db"].required);
    assert_eq!(stack.services["db"].image, ImageSource::Rootfs(PathBuf::from("/p/db")));
    assert_eq!(stack.networks["default"].id.as_str(), "shop_default");
    assert_eq!(stack.volumes["data"].id.as_str(), "shop_data");
    let mounts: Vec<String> = web
        .mounts
        .iter()
        .map(|mount| {
            let kind = match &mount.kind {
                MountKind::Content { content, .. } => String::from_utf8_lossy(content).into_owned(),
                kind => format!("{kind:?}"),
            };
            format!("{} {} {kind}\n", mount.target.display(), mount.read_only)
        })
        .collect();
    expect![[r#"
        /data true Volume { id: VolumeId("shop_data"), subpath: None, no_copy: false }
        /etc/conf false Bind { source: "/p/conf", create: true, propagation: None, recursive: true, writable_below: false, content: None }
        /anonymous false Anonymous
        /t false Tmpfs(TmpfsOptions { size: Some(1048576), mode: None, uid: None, gid: None, flags: [] })
        /run false Tmpfs(TmpfsOptions { size: Some(65536), mode: Some(493), uid: None, gid: None, flags: [] })
        /run/secrets/key true hunter2
    "#]]
    .assert_eq(&mounts.concat());
}

#[test]
fn single_files_count_with_their_content() {
    let text = "services:\n  web:\n    image: x\n    volumes: [\"./secret.txt:/a\", \"./missing:/b\", \"/etc/hosts:/c\"]\n";
    let stack = lower_text(text).unwrap().stack;
    let of = |at: usize| match &stack.services["web"].mounts[at].kind {
        MountKind::Bind { content, create, .. } => (content.clone(), *create),
        other => panic!("{other:?}"),
    };
    assert_eq!(of(0), (Some(Digest::of(b"hunter2")), false));
    assert_eq!((of(1), of(2)), ((None, true), (None, true)));
}

#[test]
fn what_other_content_means_is_read_or_refused_with_its_line() {
    let with = |value: &str| {
        lower_text(&format!("services:\n  web:\n    image: x\n    x-hoist: {{ on-change: {value} }}\n"))
    };
    let read = |value: &str| with(value).unwrap().stack.services["web"].on_change.clone();
    assert_eq!(read("recreate"), OnChange::Recreate);
    assert_eq!(read("none"), OnChange::None);
    assert_eq!(read("signal:HUP"), OnChange::Signal("HUP".to_owned()));
    for wrong in ["restart", "'signal:'"] {
        let found = lines(&with(wrong).unwrap_err());
        assert!(found.starts_with("/p/stack.yaml:4:") && found.contains("none, or signal:NAME"), "{found}");
    }
}

#[test]
fn keys_without_effect_are_named_with_their_line() {
    let text = "services:\n  web:\n    image: x\n    ipc: host\n    runtime: runc\n    isolation: default\n    deploy:\n      placement: { constraints: [a] }\n      replicas: 1\n    volumes:\n      - ./a:/a:z\nnetworks:\n  default:\n    driver: overlay\n";
    expect![[r#"
        /p/stack.yaml:8:7: warning[no-effect-yet]: `services.web.deploy.placement` has no effect yet
        /p/stack.yaml:4:5: warning[no-effect-yet]: `services.web.ipc` has no effect yet
        /p/stack.yaml:14:13: warning[no-effect]: the network `default` wants the driver `overlay`, which has no effect
        /p/stack.yaml:11:9: warning[no-effect]: `services.web`: `z` and `Z` have no effect: Hoist doesn't relabel files for SELinux
    "#]]
    .assert_eq(&lines(&lower_text(text).unwrap().warnings));
}

#[test]
fn values_of_a_build_without_effect_are_named_with_their_line() {
    let text = "services:\n  web:\n    build:\n      context: .\n      provenance: mode=min\n      sbom: false\n      entitlements: [security.insecure, device]\n      platforms: [linux/amd64, linux/arm64]\n  job:\n    build: { context: ., sbom: true, platforms: [linux/arm64] }\n";
    expect![[r#"
        /p/stack.yaml:10:26: warning[no-effect]: `services.job.build.sbom` has no effect: Hoist writes no attestations
        /p/stack.yaml:5:7: warning[no-effect]: `services.web.build.provenance` has no effect: Hoist writes no attestations
        /p/stack.yaml:8:7: warning[one-platform]: `services.web.build.platforms` names several: one is built, this machine's own if it is among them, else the first
        /p/stack.yaml:7:41: warning[no-effect]: `services.web.build.entitlements` grants nothing: "device"
    "#]].assert_eq(&lines(&lower_text(text).unwrap().warnings));
}

#[test]
fn what_is_not_there_yet_is_an_error_where_dropping_it_would_hurt() {
    let text = "services:\n  a:\n    build: .\n  b:\n    image: x\n    ports: [\"1:1/sctp\"]\n    network_mode: container:x\n    restart: sometimes\n";
    expect![[r#"
        /p/stack.yaml:8:14: error[invalid-value]: `services.b`: `restart: sometimes` is unknown: no, always, on-failure[:N] or unless-stopped
        /p/stack.yaml:6:13: error[not-supported-yet]: `services.b`: ports of the protocol `sctp` can't be published yet
        /p/stack.yaml:7:19: error[not-supported]: `services.b`: `network_mode: container:x` is not there: none, host, bridge or service:NAME
    "#]]
    .assert_eq(&lines(&lower_text(text).unwrap_err()));
}

const ROUTER: &str = r"
name: vpn
services:
  vpn:
    image: vpn
    networks: { inner: { x-hoist: { sources: [10.8.0.0/24, 'fd08::/64'] } }, lab: {} }
networks:
  inner: {}
  lab: { x-hoist: { source_check: false } }
";

#[test]
fn what_instances_may_send_is_declared() {
    let stack = lower_text(ROUTER).unwrap().stack;
    let sources = |network: &str| -> Vec<String> {
        let attachment = &stack.services["vpn"].networks[network];
        attachment.sources.iter().map(ToString::to_string).collect()
    };
    assert_eq!(sources("inner"), ["10.8.0.0/24", "fd08::/64"]);
    assert_eq!(sources("lab"), [""; 0]);
    assert!(!stack.networks["inner"].unchecked && stack.networks["lab"].unchecked);
    for (wrong, message) in [
        ("sources: [10.8.0.0/24", "sources: [nowhere"),
        ("source_check: false", "source_check: 7"),
        ("source_check: false", "source_chek: false"),
        ("sources:", "source:"),
    ] {
        assert!(lower_text(&ROUTER.replace(wrong, message)).is_err(), "{message}");
    }
}

#[test]
fn isolation_that_can_not_be_had_is_an_error_at_its_place() {
    let text = "services:\n  a:\n    image: x\n    userns_mode: keep-id\n    runtime: runsc\n    isolation: hyperv\n    ipc: none\n    cap_drop: [NET_RAWW, all]\n    cap_add: [cap_sys_time]\n    devices: [\"vendor.com/gpu=all\", \"/dev/a:/dev/b:rx\", \"dev/c\", \"/dev/d\"]\n  b:\n    image: x\n    userns_mode: host\n    runtime: runc\n";
    expect![[r#"
        /p/stack.yaml:4:18: error[not-supported]: `services.a`: `userns_mode: keep-id` is not supported: instances have the host's users and groups; take it out if that is enough
        /p/stack.yaml:5:14: error[not-supported]: `services.a`: `runtime: runsc` is not supported: Hoist is the runtime; take it out if that is enough
        /p/stack.yaml:6:16: error[not-supported]: `services.a`: `isolation: hyperv` is not supported: it is for Windows; take it out if that is enough
        /p/stack.yaml:7:10: error[not-supported]: `services.a`: `ipc: none` is not supported: every instance has a `/dev/shm` of its own; take it out
        /p/stack.yaml:8:16: error[invalid-value]: `services.a`: `cap_drop`: there is no capability `NET_RAWW`
        /p/stack.yaml:10:15: error[invalid-device]: `services.a`: `vendor.com/gpu=all` is a device of the Container Device Interface, which is not there: name its path
        /p/stack.yaml:10:37: error[invalid-device]: `services.a`: `rx` of the device `/dev/a`: permissions are of r, w and m
        /p/stack.yaml:10:57: error[invalid-device]: `services.a`: the device `dev/c` needs absolute paths on the host and inside
        /p/stack.yaml:7:5: warning[no-effect-yet]: `services.a.ipc` has no effect yet
    "#]].assert_eq(&lines(&lower_text(text).unwrap_err()));
}

#[test]
fn mounts_that_lead_out_or_over_the_kernels_files_are_errors() {
    let text = "services:\n  a:\n    image: x\n    volumes:\n      - { type: volume, source: vol, target: /c, volume: { subpath: a/../b } }\n      - vol:/proc\n      - /srv:/proc/sys\n      - /srv:/proc/../proc/1\n      - /proc:/proc:ro\n      - /srv/meminfo:/proc/meminfo:ro\n      - /sys:/sys:ro\n      - vol:/sys\n      - vol:/\n      - /:/rootfs:ro\n    tmpfs: [\"/proc/acpi\", \"/t:nosuch\", \"/u:size=1k,noexec\"]\n    configs: [{ source: c, target: /proc/self/attr/exec }]\nvolumes: { vol: {} }\nconfigs: { c: { content: x } }\n";
    expect![[r#"
        /p/stack.yaml:7:9: error[invalid-volume]: `services.a`: nothing can be mounted at `/proc/sys`: `/proc` is the kernel's
        /p/stack.yaml:8:9: error[invalid-volume]: `services.a`: nothing can be mounted at `/proc/1`: `/proc` is the kernel's
        /p/stack.yaml:12:9: error[invalid-volume]: `services.a`: only the host's own `/sys` can be mounted at `/sys`
        /p/stack.yaml:13:9: error[invalid-volume]: `services.a`: a mount can't take the place of the root file system
        /p/stack.yaml:15:13: error[invalid-volume]: `services.a`: nothing can be mounted at `/proc/acpi`: `/proc` is the kernel's
        /p/stack.yaml:15:27: error[invalid-volume]: `services.a`: `nosuch` is not a tmpfs option
        /p/stack.yaml:16:36: error[invalid-volume]: `services.a`: nothing can be mounted at `/proc/self/attr/exec`: `/proc` is the kernel's
    "#]].assert_eq(&lines(&lower_text(text).unwrap_err()));
}

#[test]
fn what_a_bind_asks_for_is_done_or_refused() {
    let text = "services:\n  a:\n    image: x\n    volumes:\n      - /srv:/a:ro,noexec,nosuid,cached,odd\n      - { type: bind, source: /srv, target: /b, bind: { recursive: readonly } }\n      - { type: bind, source: /srv, target: /c, bind: { recursive: writable } }\n      - { type: bind, source: /srv, target: /d, read_only: true, bind: { recursive: readonly, propagation: rslave } }\n      - { type: bind, source: /srv, target: /e, bind: { propagation: sideways } }\n";
    expect![[r#"
        /p/stack.yaml:6:68: error[invalid-volume]: `services.a`: `recursive: readonly` needs `read_only: true`
        /p/stack.yaml:7:68: error[invalid-volume]: `services.a`: `recursive: writable` needs `read_only: true`
        /p/stack.yaml:8:85: error[invalid-volume]: `services.a`: `recursive: readonly` needs `propagation: rprivate`: what comes later would be writable
        /p/stack.yaml:9:70: error[invalid-volume]: `services.a`: `propagation: sideways` is unknown: private, rprivate, slave, rslave, shared or rshared
        /p/stack.yaml:5:9: warning[no-effect]: `services.a`: the volume option `odd` has no effect
    "#]].assert_eq(&lines(&lower_text(text).unwrap_err()));
    let text = "services:\n  a:\n    image: x\n    volumes:\n      - /srv:/a:ro,noexec,nosuid\n      - { type: bind, source: /srv, target: /b, read_only: true, bind: { recursive: writable } }\n      - { type: bind, source: /srv, target: /c, bind: { recursive: disabled } }\n";
    let stack = lower_text(text).unwrap().stack;
    let mounts: Vec<String> = stack.services["a"].mounts.iter().map(|mount| format!("{mount:?}\n")).collect();
    expect![[r#"
        Mount { target: "/a", kind: Bind { source: "/srv", create: true, propagation: None, recursive: true, writable_below: false, content: None }, read_only: true, options: ["noexec", "nosuid"] }
        Mount { target: "/b", kind: Bind { source: "/srv", create: true, propagation: None, recursive: true, writable_below: true, content: None }, read_only: true, options: [] }
        Mount { target: "/c", kind: Bind { source: "/srv", create: true, propagation: None, recursive: false, writable_below: false, content: None }, read_only: false, options: [] }
    "#]].assert_eq(&mounts.concat());
}
