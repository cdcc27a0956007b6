#!/bin/bash
# v2.sh COMMAND [ARGUMENT...]: runs COMMAND as root on a kernel whose only control groups are v2.
#
# The kernel is Debian's user-mode-linux, an ordinary program: it needs no virtualisation and boots in seconds. It runs
# on this machine's files, copy-on-write, except /tmp, which is empty; the working directory shows at its own path.
# Standard output, standard error and the exit code are COMMAND's; 125 if the machine did not come up, 77 if the package
# user-mode-linux could not be had. Without COMMAND it only gets the package.
set -euo pipefail

cache=${SAUROPOD_V2_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sauropod-v2}
here=$(dirname "$(realpath "$0")")
linux=$cache/usr/bin/linux.uml modules=$cache/usr/lib/uml/modules registers=$cache/registers.so

if [ ! -e "$linux" ]; then
  debs=$(mktemp -d)
  # As root, apt reads what its own user cannot. What is unpacked appears whole or not at all.
  (cd "$debs" && apt-get -qq -o APT::Sandbox::User=root download user-mode-linux &&
    dpkg-deb -x user-mode-linux_*.deb unpacked && mkdir -p "${cache%/*}" && mv -T unpacked "$cache") >&2 ||
    [ -e "$linux" ] || { rm -rf "$debs"; exit 77; }
  rm -rf "$debs"
fi
if [ ! -e "$registers" ]; then
  built=$(mktemp "$registers.XXXXXX")
  gcc -O2 -shared -fPIC -o "$built" "$here/v2_registers.c" -ldl && mv "$built" "$registers" || { rm -f "$built"; exit 77; }
fi
[ $# -gt 0 ] || exit 0

work=$(mktemp -d "${TMPDIR:-/tmp}/sauropod-v2.XXXXXX") machine=
trap '[ -z "$machine" ] || kill "$machine" 2>/dev/null || :; rm -rf "$work"' EXIT
trap 'exit 143' TERM INT HUP

{ printf 'cd %q && ' "$PWD"; printf '%q ' "$@"; } >"$work/command"
env -0 | grep -zE '^(PATH|LANG|DENO_[A-Z_]+|NO_COLOR)=' | while IFS= read -r -d '' line; do
  printf 'export %q\n' "$line"
done >"$work/environment"

# The machine's init. hostfs cannot hold an overlay's changes, so these go to a disk of their own.
cat >"$work/init" <<INIT
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t devtmpfs dev /dev; exec >/dev/tty0 2>&1
busybox insmod $modules/*/kernel/fs/overlayfs/overlay.ko
busybox mount -t ext4 /dev/ubda /mnt; cd /mnt; mkdir upper work root tmp; chmod 1777 tmp
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work root root; cd root
for type in proc sysfs; do mount -t \$type \$type \${type%fs}; done
mount -t devtmpfs dev dev; mkdir -p dev/pts dev/shm; mount -t devpts -o ptmxmode=666 pts dev/pts
mount -t tmpfs shm dev/shm; mount -t tmpfs run run; ln -s /proc/self/fd dev/fd
mount --bind /mnt/tmp tmp
mkdir -p ".$PWD" run/host run/old; mount --bind "$PWD" ".$PWD"; mount -t hostfs -o "$work" none run/host
mount -t cgroup2 cgroup2 sys/fs/cgroup
# As systemd leaves it: no process at the top, controllers handed down.
mkdir sys/fs/cgroup/init.scope; echo 1 >sys/fs/cgroup/init.scope/cgroup.procs
for name in \$(cat sys/fs/cgroup/cgroup.controllers); do echo +\$name >sys/fs/cgroup/cgroup.subtree_control; done
pivot_root . run/old; umount -l /run/old; hostname v2; busybox ip link set lo up
for i in 0 1; do stty -F /dev/ttyS\$i raw -echo; done
. /run/host/environment; export HOME=/root
setsid bash /run/host/command </dev/null >/dev/ttyS0 2>/dev/ttyS1
code=\$?; for i in 0 1; do stty -F /dev/ttyS\$i sane; done # which waits until all is written
echo \$code >/run/host/code; busybox poweroff -f
INIT
chmod +x "$work/init"
truncate -s 8G "$work/disk"
/sbin/mkfs.ext4 -qF -E lazy_itable_init=1 -O ^has_journal "$work/disk"

LD_PRELOAD=$registers "$linux" mem=2G uml_dir="$work" ubd0="$work/disk" root=/dev/root rootfstype=hostfs rootflags=/ ro init="$work/init" quiet panic=-1 \
  con=null con0=null,fd:3 ssl=null ssl0=null,fd:4 ssl1=null,fd:5 \
  3>"$work/log" 4>&1 5>&2 </dev/null >/dev/null 2>&1 &
machine=$!
wait "$machine" || :
[ -s "$work/code" ] || { tail -n 40 "$work/log" >&2; exit 125; }
exit "$(cat "$work/code")"
