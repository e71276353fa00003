//! Each namespace is new, shared or joined as the specification says.

use std::fs;

use hoist_runtime::sandbox;
use oci_spec::runtime::LinuxNamespaceType;

use crate::world::*;

const KINDS: [&str; 6] = ["pid", "mnt", "uts", "ipc", "net", "cgroup"];

fn namespace(pid: &str, kind: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_namespace_is_new() {
    let Some(world) = World::new("every_namespace_is_new") else { return };
    let (mut input, output) = world.input(shell("echo up; sleep 1000"));
    input.netns = Some(sandbox::network_namespace().unwrap());
    let running = start(prepare(input).unwrap()).unwrap();
    assert_eq!(read_line(&output), "up");
    let pid = running.pid.as_raw_nonzero().to_string();
    for kind in KINDS {
        assert_ne!(namespace(&pid, kind), namespace("thread-self", kind), "{kind}");
    }
    assert_eq!(status(&running, "NSpid").split_whitespace().last(), Some("1"));
    let inside = tool("nsenter", &["-t", &pid, "-u", "-n", "sh", "-c", "hostname; ip -br link show lo"]);
    assert!(inside.starts_with("box\nlo "), "{inside}");
    assert!(inside.contains("<LOOPBACK,UP,LOWER_UP>"), "{inside}");
}

#[test]
fn what_is_not_listed_is_shared() {
    let Some(world) = World::new("what_is_not_listed_is_shared") else { return };
    let mut spec = shell("for n in pid uts ipc net; do readlink /proc/self/ns/$n; done");
    spec.set_hostname(None);
    edit_linux(&mut spec, |linux| {
        linux.namespaces_mut().as_mut().unwrap().retain(|n| n.typ() == LinuxNamespaceType::Mount);
    });
    let (input, output) = world.input(spec);
    let text = finish(prepare(input).unwrap(), output).ok();
    let own: Vec<_> = ["pid", "uts", "ipc", "net"].map(|kind| namespace("thread-self", kind)).into();
    assert_eq!(text.lines().collect::<Vec<_>>(), own);
}

#[test]
fn another_containers_namespaces_are_joined_by_path() {
    let Some(world) = World::new("another_containers_namespaces_are_joined_by_path") else { return };
    let (input, output) = world.input(shell("echo up; exec sleep 1000"));
    let first = start(prepare(input).unwrap()).unwrap();
    assert_eq!(read_line(&output), "up");
    let pid = first.pid.as_raw_nonzero().to_string();
    let other = tempfile::tempdir().unwrap();
    let mut layers = world.layers();
    (layers.upper, layers.work) = (other.path().join("upper"), other.path().join("work"));
    fs::create_dir(&layers.upper).unwrap();
    fs::create_dir(&layers.work).unwrap();

    let mut spec = shell("for n in pid uts ipc net; do readlink /proc/self/ns/$n; done");
    spec.set_hostname(None);
    edit_linux(&mut spec, |linux| {
        for namespace in linux.namespaces_mut().as_mut().unwrap() {
            let kind = match namespace.typ() {
                LinuxNamespaceType::Pid => "pid",
                LinuxNamespaceType::Uts => "uts",
                LinuxNamespaceType::Ipc => "ipc",
                LinuxNamespaceType::Network => "net",
                _ => continue,
            };
            namespace.set_path(Some(format!("/proc/{pid}/ns/{kind}").into()));
        }
    });
    let (mut input, output) = world.input(spec);
    input.rootfs = hoist_runtime::rootfs::assemble(&hoist_runtime::rootfs::Rootfs::Layers(layers)).unwrap();
    let text = finish(prepare(input).unwrap(), output).ok();
    let expected: Vec<_> = ["pid", "uts", "ipc", "net"].map(|kind| namespace(&pid, kind)).into();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn sysctls_reach_the_containers_namespaces_only() {
    let Some(world) = World::new("sysctls_reach_the_containers_namespaces_only") else { return };
    let before = fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    let mut spec = shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax");
    edit_linux(&mut spec, |linux| {
        let sysctls = [("net.ipv4.ip_unprivileged_port_start", "0"), ("kernel.msgmax", "4321")];
        let sysctls = sysctls.map(|(key, value)| (key.to_owned(), value.to_owned()));
        linux.set_sysctl(Some(sysctls.into_iter().collect()));
    });
    assert_eq!(world.run(spec).ok(), "0\n4321\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), before);
}

#[test]
fn a_sysctl_of_the_host_is_refused() {
    let Some(world) = World::new("a_sysctl_of_the_host_is_refused") else { return };
    let mut spec = shell("true");
    edit_linux(&mut spec, |linux| {
        linux.set_sysctl(Some([("vm.swappiness".to_owned(), "1".to_owned())].into()));
    });
    let error = prepare(world.input(spec).0).unwrap_err().to_string();
    assert_eq!(error, "linux.sysctl: vm.swappiness belongs to the host, not to a namespace of the container");
}
