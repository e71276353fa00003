#!/bin/bash
# The guest's first process: mounts what a system has, runs the command it was started for, hands the exit
# code back and switches the machine off.
#
# The command and the shared folder come through qemu's fw_cfg and virtiofs; output and exit code leave
# through two virtio serial ports, "out" and "code".
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount --make-rshared /
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
for dir in /dev/shm /run /tmp; do mount -t tmpfs tmpfs "$dir"; done
ln -sfn /proc/self/fd /dev/fd
ip link set lo up

# As systemd mounts it. The command gets a group of its own: the root keeps no limits.
groups=/sys/fs/cgroup
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 "$groups"
for controller in $(< "$groups/cgroup.controllers"); do echo "+$controller" > "$groups/cgroup.subtree_control"; done
mkdir "$groups/command"
mount -t bpf bpf /sys/fs/bpf

modprobe -aq virtio_console virtio_net virtio_rng virtiofs qemu_fw_cfg tun overlay
config=/sys/firmware/qemu_fw_cfg/by_name/opt/hoist
until [ -c "${out:-}" ] && [ -c "${code:-}" ]; do
  sleep 0.02
  for port in /sys/class/virtio-ports/*; do
    case $(cat "$port/name" 2> /dev/null) in
      out) out=/dev/${port##*/} ;;
      code) code=/dev/${port##*/} ;;
    esac
  done
done
mount -t virtiofs host /host

cat "$config/command/raw" > /run/command
(
  echo 0 > "$groups/command/cgroup.procs"
  cd /host
  exec setsid bash /run/command
) < /dev/null > "$out" 2>&1
status=$?

sync
echo "$status" > "$code"
umount /host
echo 1 > /proc/sys/kernel/sysrq
echo o > /proc/sysrq-trigger
sleep 10
