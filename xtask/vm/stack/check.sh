#!/bin/bash
# A whole stack on control groups of version 2: its limits are in force, running out of memory is told, and nothing stays.
#
#   check.sh HOIST      HOIST: the program
set -euo pipefail
hoist=$1
here=$(dirname "$0")
export HOIST_ROOT=/var/tmp/hoist-check

fail() {
  echo "FAILED: $*"
  "$hoist" ps -a -f "$here/stack.yaml" || true
  tail -n 20 "$HOIST_ROOT"/*.log || true
  exit 1
}

groups() { find /sys/fs/cgroup -type d -path '*hoist*'; }

"$hoist" -f "$here/stack.yaml" up -d after limited
"$hoist" -f "$here/stack.yaml" up -d
for _ in $(seq 20); do
  told=$("$hoist" -f "$here/stack.yaml" ps -a greedy)
  [[ $told == *"out of memory"* ]] && break
  sleep 0.5
done
[[ $told == *"out of memory"* ]] || fail "ps doesn't say that memory ran out"

view=$("$hoist" -f "$here/stack.yaml" exec limited cat /proc/self/cgroup)
[ "$view" = 0::/ ] || fail "an instance sees more than its own control group: $view"
seen=$("$hoist" -f "$here/stack.yaml" exec limited cat /sys/fs/cgroup/{memory,pids,cpu}.max | tr '\n' ' ')
[ "$seen" = "67108864 20 50000 100000 " ] || fail "an instance doesn't see its limits: $seen"
for _ in $(seq 20); do
  beside=$("$hoist" -f "$here/stack.yaml" exec manages cat /proc/self/cgroup || true)
  [ "$beside" = 0::/init ] && break
  sleep 0.5
done
[ "$beside" = 0::/init ] || fail "nothing can be run beside a manager of control groups: $beside"
found=0
for group in $(groups); do
  [ -f "$group/pids.max" ] && [ "$(cat "$group/pids.max")" = 20 ] || continue
  [ "$(cat "$group/memory.max")" = 67108864 ] || fail "memory.max is $(cat "$group/memory.max")"
  [ "$(cat "$group/cpu.max")" = "50000 100000" ] || fail "cpu.max is $(cat "$group/cpu.max")"
  found=$((found + 1))
done
[ "$found" = 2 ] || fail "not two control groups have the limits of 'limited', but $found"

"$hoist" -f "$here/stack.yaml" down -v
"$hoist" agent stop
for _ in $(seq 50); do
  [ -z "$(groups)" ] && break
  sleep 0.2
done
[ -z "$(groups)" ] || fail "control groups are left: $(groups)"
[ -z "$(ip netns list; ip -o link | grep hoist || true)" ] || fail "links are left"
echo "a whole stack on control groups of version 2: ok"
