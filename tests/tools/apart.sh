#!/bin/sh
# apart.sh CMD [ARG...]: run CMD in mount and network namespaces of its own, where it may do as it likes:
# with lo up, no other link, and a /run/sauropod of its own.
exec unshare --mount --net --propagation private -- sh -ec '
  ip link set lo up
  mkdir -p /run/sauropod
  mount -t tmpfs sauropod /run/sauropod
  exec "$@"' sh "$@"
