#!/bin/bash
# all.sh: installs what the tests need on a Debian machine, then checks and tests everything. Takes no arguments, needs root.
# The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."
export DEBIAN_FRONTEND=noninteractive NO_COLOR=1
deno_version=2.9.6

packages=(attr bubblewrap buildah busybox-static crun docker.io docker-registry e2fsprogs fish gcc gcc-aarch64-linux-gnu iproute2
  iptables nftables openssl podman python3 runc skopeo strace umoci xfsprogs zsh zstd)
missing=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null | awk '$1 == "installed" { print $2 }' |
  sort | comm -13 - <(printf '%s\n' "${packages[@]}" | sort) || true)
if [ -n "$missing" ]; then
  apt-get update -qq
  apt-get install -y -qq $missing >/dev/null
fi
if [ "$(deno --version 2>/dev/null | awk 'NR == 1 { print $2 }')" != $deno_version ]; then
  command -v npm >/dev/null || apt-get install -y -qq npm >/dev/null
  npm install --silent --global deno@$deno_version
fi

# The tests run without a network. What they take from elsewhere is fetched before: the bundler, and the parts of two machines.
packed=$(mktemp -d)
deno run -A tools/pack/pack.ts "$packed" >/dev/null
rm -rf "$packed"
tests/tools/v2.sh || echo "a machine with nothing but cgroup v2 cannot be had" >&2
tests/tools/aarch64.sh || echo "an aarch64 machine cannot be had" >&2

deno task check
deno task shim:check
exec deno run -A tests/tools/suite.ts
