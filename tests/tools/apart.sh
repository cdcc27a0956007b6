#!/bin/bash
# apart.sh CMD [ARG...]: run CMD in pid, mount, network and, where control groups are v1 or hybrid, cgroup namespaces of its
# own. There lo is up and the only link, /run/sauropod is empty, and everything that CMD leaves running is killed at its end,
# also when this script is told to end, or is killed. The directory SAUROPOD_TEST_IMAGE, if set, is read-only.
set -u
top=/sys/fs/cgroup

# Mounts each hierarchy again, so that its root is the group that this shell is in.
show_own_groups() {
  local mount type options
  for mount in $top/*/; do
    mount=${mount%/}
    read -r type options < <(awk -v path="$mount" '$5 == path {
      for (i = 7; i <= NF; i++) if ($i == "-") print $(i + 1), $(i + 3) }' /proc/self/mountinfo) || continue
    umount "$mount"
    if [ "$type" = cgroup ]; then mount -t cgroup -o "${options#rw,}" cgroup "$mount"; else mount -t cgroup2 cgroup2 "$mount"; fi
  done
}

if [ "${1-}" = --inside ]; then
  shift
  [ -e $top/cgroup.controllers ] || show_own_groups
  ip link set lo up && mkdir -p /run/sauropod && mount -t tmpfs sauropod /run/sauropod || exit 125
  if [ -n "${SAUROPOD_TEST_IMAGE-}" ]; then
    mount --bind "$SAUROPOD_TEST_IMAGE" "$SAUROPOD_TEST_IMAGE" && mount -o remount,bind,ro "$SAUROPOD_TEST_IMAGE" || exit 125
  fi
  # Not exec: the shell stays as PID 1, which reaps what nobody else does.
  "$@"
  exit $?
fi

groups=()
# A v2 group that hands controllers down may hold no process, so on a pure v2 host CMD stays in this shell's group.
if [ ! -e $top/cgroup.controllers ]; then
  for hierarchy in $top/*/; do
    group=${hierarchy}sauropod-apart-$$
    mkdir "$group" 2>/dev/null || continue
    groups+=("$group")
    # A v1 cpuset is empty at first, and takes no process then.
    for file in cpuset.cpus cpuset.mems; do [ ! -e "$group/$file" ] || cat "$hierarchy$file" >"$group/$file"; done
  done
fi

child=
trap '[ -z "$child" ] || kill -KILL "$child"' TERM INT HUP
(
  for group in "${groups[@]}"; do echo $BASHPID >"$group/cgroup.procs"; done
  # A shell has what runs beside it ignore SIGINT and SIGQUIT.
  exec setpriv --pdeathsig KILL env --default-signal=INT,QUIT \
    unshare --cgroup --mount --net --pid --fork --kill-child --mount-proc --propagation private -- "$0" --inside "$@"
) <&0 &
child=$!
# After a signal the first wait has ended early.
{ wait $child; code=$?; [ $code -le 128 ] || { wait $child; code=$?; }; } 2>/dev/null

for _ in {1..20}; do
  left=
  for group in "${groups[@]}"; do
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
    [ ! -d "$group" ] || left=1
  done
  [ -n "$left" ] || break
  sleep 0.1
done
exit $code
