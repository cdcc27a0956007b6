/**
 * A plain container, and descriptors to start it with, for tests of programs.
 *
 * @module
 */

import { DEFAULT_CAPABILITIES } from "../../lib/host/capabilities.ts";
import type { LaunchFds } from "../../lib/program/launch_fds.ts";
import type { ContainerSpec } from "../../lib/program/spec.ts";

/** A plain container. */
export const SPEC: ContainerSpec = {
  id: "0123456789ab",
  hostname: "box",
  rootfs: {
    folder: "/containers/0123456789ab",
    lower: ["/images/one"],
    mode: 0o755,
    uid: 0,
    gid: 0,
    readOnly: false,
    volatile: false,
  },
  masked: [],
  mounts: [],
  devices: [],
  network: { mode: "own", interfaces: [] },
  files: [],
  shmSize: 65536,
  cgroups: { groups: [] },
  cgroupMounts: [],
  settings: [],
  privileged: false,
  process: {
    args: ["/bin/true"],
    env: ["PATH=/bin:/sbin"],
    cwd: "/",
    identity: { uid: 0, gid: 0, groups: [] },
    capabilities: DEFAULT_CAPABILITIES,
    ambient: [],
    noNewPrivileges: true,
    rlimits: [],
    init: false,
  },
};

/** Descriptors, which are nobody's. */
export const WIRING: LaunchFds = {
  streams: [{ fd: 0 }, { fd: 1 }, { fd: 2 }],
  shim: 10,
  hostNetwork: 12,
  lastProgram: 11,
  report: 13,
};
