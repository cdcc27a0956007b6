#!/bin/bash
# aarch64.sh FOLDER SCRIPT: runs SCRIPT with busybox' sh, as root, on an aarch64 machine that QEMU emulates.
#
# The machine has Debian's aarch64 kernel, its C library and busybox, npm's deno, control groups v2, and a copy of FOLDER,
# which is the working directory: /work. Standard output is what SCRIPT writes, and the exit code its own; 125 if the
# machine did not come up, 77 if its parts could not be had. Without arguments it only gets the parts.
set -euo pipefail

deno=2.9.6
cache=${SAUROPOD_AARCH64_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sauropod-aarch64-$deno}
# What bridged networks need besides overlayfs.
modules="overlay bridge veth nf_tables nft_chain_nat nft_masq nft_nat nft_ct nft_fib_inet nft_reject_inet nft_meta_bridge"

# Like apt-get and apt-cache, for packages of that architecture, without telling this machine's package manager.
foreign() {
  local tool=$1
  shift
  "$tool" -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root \
    -o Dir::State="$parts/state" -o Dir::State::status="$parts/state/status" -o Dir::Cache="$parts/state" "$@"
}

get_parts() {
  mkdir -p "$parts"/{state/lists/partial,state/archives/partial,native,foreign,qemu,root}
  touch "$parts/state/status"
  foreign apt-get update
  kernel=$(foreign apt-cache depends linux-image-cloud-arm64 | awk '/Depends:/ {print $2; exit}')
  (cd "$parts/foreign" && foreign apt-get download "$kernel" libc6 libgcc-s1 busybox-static)
  (cd "$parts/native" && apt-get -qq -o APT::Sandbox::User=root download \
    $(apt-get install -s --no-install-recommends qemu-system-arm | awk '/^Inst/ {print $2}'))
  for deb in "$parts"/foreign/*.deb; do dpkg-deb -x "$deb" "$parts/root"; done
  for deb in "$parts"/native/*.deb; do dpkg-deb -x "$deb" "$parts/qemu"; done
  (cd "$parts" && npm pack --silent "@deno/linux-arm64-glibc@$deno" && tar -xzf ./*.tgz)
  mv "$parts/package/deno" "$parts/root/bin/deno"
  mv "$parts"/root/boot/vmlinuz-* "$parts/kernel"
  (cd "$parts/root/lib/modules/"* && rm -rf kernel/drivers/{gpu,infiniband,media,scsi,usb} kernel/sound kernel/fs/{xfs,btrfs})
  busybox depmod -b "$parts/root" "$(ls "$parts/root/lib/modules")"
  rm -rf "$parts"/{state,native,foreign,package,*.tgz,root/boot,root/usr/share}
}

if [ ! -e "$cache" ]; then
  mkdir -p "${cache%/*}"
  parts=$(mktemp -d "$cache.XXXXXX")
  # It appears whole or not at all; any command that fails ends this.
  trap 'rm -rf "$parts"; exit 77' EXIT
  get_parts >&2
  [ -e "$cache" ] || mv -T "$parts" "$cache"
  rm -rf "$parts"
  trap - EXIT
fi
[ $# -gt 0 ] || exit 0

work=$(mktemp -d "${TMPDIR:-/tmp}/sauropod-aarch64.XXXXXX") machine=
trap '[ -z "$machine" ] || kill "$machine" 2>/dev/null || :; rm -rf "$work"' EXIT
trap 'exit 143' TERM INT HUP

mkdir "$work/files" "$work/files/work"
cp -a "$1/." "$work/files/work"
printf '%s\n' "$2" >"$work/files/script"

# An initramfs cannot be pivoted away from, so all is copied to another file system first.
cat >"$work/files/init" <<INIT
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /machine
/bin/busybox --install -s /bin
mount -t tmpfs machine /machine
cp -a /bin /lib /work /script /machine
cd /machine; mkdir -p proc sys dev run tmp root etc; chmod 1777 tmp
cat >start <<START
export PATH=/bin HOME=/root NO_COLOR=1
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
mkdir -p /dev/pts /dev/shm; mount -t devpts -o ptmxmode=666 pts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo '+cpu +memory +pids' >/sys/fs/cgroup/cgroup.subtree_control
for module in $modules; do modprobe \\\$module; done
ip link set lo up; hostname aarch64; cd /work; stty -F /dev/ttyAMA0 -onlcr
sh /script </dev/null >/dev/ttyAMA0 2>&1
echo "exit \\\$?" >/dev/ttyAMA0
poweroff -f
START
exec switch_root /machine /bin/sh /start
INIT
chmod +x "$work/files/init"
{ (cd "$cache/root" && find . | busybox cpio -o -H newc); (cd "$work/files" && find . | busybox cpio -o -H newc); } \
  >"$work/initrd" 2>/dev/null

libraries=$cache/qemu/usr/lib/x86_64-linux-gnu:$cache/qemu/lib/x86_64-linux-gnu
LD_LIBRARY_PATH=$libraries "$cache/qemu/usr/bin/qemu-system-aarch64" -L "$cache/qemu/usr/share/qemu" \
  -machine virt -cpu cortex-a72 -smp 2 -m 3G -nodefaults -display none -no-reboot -serial "file:$work/console" \
  -kernel "$cache/kernel" -initrd "$work/initrd" -append "console=ttyAMA0 quiet panic=-1 rdinit=/init" >&2 &
machine=$!
wait "$machine" || :
# The kernel says a last word after that.
end=$(grep -nE '^exit [0-9]+' "$work/console" | tail -n 1) || { tail -n 40 "$work/console" >&2; exit 125; }
head -n "$((${end%%:*} - 1))" "$work/console"
exit "$(tr -dc 0-9 <<<"${end#*:}")"
