//! A launch as text: every operation in its order.

use expect_test::expect;
use hoist_runtime::{defaults, sandbox};

use crate::world::*;

#[test]
fn a_default_launch_as_text() {
    let Some(world) = World::new("a_default_launch_as_text") else { return };
    let mut spec = shell("true");
    add_mount(&mut spec, defaults::mount("/data", "bind", "/srv/data", &["rbind", "ro"]));
    edit_process(&mut spec, |process| {
        process.set_no_new_privileges(Some(true)).set_oom_score_adj(Some(1000)).set_cwd("/app".into());
        process.user_mut().set_uid(1000).set_gid(1001).set_additional_gids(Some(vec![1001, 44]));
    });
    let (mut input, _output) = world.input(spec);
    input.netns = Some(sandbox::network_namespace().unwrap());
    input.init = true;
    expect![[r#"
        clone into a new PID namespace
        hide from ptrace and /proc
        join network namespace of the sandbox
        make new namespaces: mount cgroup uts ipc
        join a new session keyring
        set the host name to box
        set oom_score_adj to 1000
        clone all of /srv/data for /data
        keep mounts from reaching the host
        attach the root file system
        mount proc at /proc (nosuid,noexec,nodev)
        mount tmpfs at /dev (nosuid,strictatime,mode=755,size=65536k)
        make device /dev/null c 1:3 0666
        make device /dev/zero c 1:5 0666
        make device /dev/full c 1:7 0666
        make device /dev/random c 1:8 0666
        make device /dev/urandom c 1:9 0666
        make device /dev/tty c 5:0 0666
        link /dev/fd to /proc/self/fd
        link /dev/stdin to /proc/self/fd/0
        link /dev/stdout to /proc/self/fd/1
        link /dev/stderr to /proc/self/fd/2
        link /dev/ptmx to pts/ptmx
        link /dev/core to /proc/kcore
        mount devpts at /dev/pts (nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5)
        mount mqueue at /dev/mqueue (nosuid,noexec,nodev)
        mount tmpfs at /dev/shm (nosuid,noexec,nodev,mode=1777,size=67108864)
        mount sysfs at /sys (nosuid,noexec,nodev,ro)
        mount a frame for cgroups at /sys/fs/cgroup
        make all mounts at /sys/fs/cgroup nosuid,noexec,nodev,ro,private
        bind all of /srv/data at /data (ro)
        make directory /app
        make /proc/bus read-only
        make /proc/fs read-only
        make /proc/irq read-only
        make /proc/sys read-only
        make /proc/sysrq-trigger read-only
        mask /proc/acpi
        mask /proc/asound
        mask /proc/interrupts
        mask /proc/kcore
        mask /proc/keys
        mask /proc/latency_stats
        mask /proc/sched_debug
        mask /proc/scsi
        mask /proc/timer_list
        mask /proc/timer_stats
        mask /sys/devices/virtual/powercap
        mask /sys/firmware
        pivot into the root file system
        lead a new session
        enter the working directory /app
        connect standard input, output and error as uid 1000
        close all other descriptors
        reset all signals
        set the umask to 0022
        bound capabilities to chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap
        become uid 1000 gid 1001 with groups 1001,44
        set capabilities: effective chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap; permitted chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap; inheritable none
        set ambient capabilities: none
        forbid new privileges
        wait for the caller's word
        clone the program's process and stay as its init
        say that the program is next
        execute /bin/sh as ["/bin/sh", "-c", "true"] with PATH"#]].assert_eq(&prepare(input).unwrap().to_string());
}
