/**
 * Doctor: prerequisites of the host (kernel, control groups, user), and the consequence of each gap.
 *
 * @module
 */

import { hasSyscall } from "../../ffi/process/probe.ts";
import { capabilitiesIn } from "../host/capabilities.ts";
import { type CgroupHost, type Controller, detectCgroups } from "../cgroup/host.ts";
import { findOrphans } from "../container/state/reclaim.ts";
import { output } from "../container/attached/run.ts";
import { messageOf } from "../errors.ts";
import type { Folders } from "../host/folders.ts";
import { missingFeatures, type NetworkFeature } from "../network/probe.ts";

/** One finding. */
export interface Finding {
  /** The subject. */
  what: string;
  /** Whether it is available. */
  ok: boolean;
  /** The present state. */
  found: string;
  /** The consequence of a gap; empty if there is none. */
  consequence: string;
}

function read(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return undefined;
  }
}

function finding(what: string, ok: boolean, found: string, consequence: string): Finding {
  return { what, ok, found, consequence: ok ? "" : consequence };
}

function user(): Finding[] {
  const root = Deno.uid() === 0;
  const status = read("/proc/self/status") ?? "";
  const own = capabilitiesIn(BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`));
  return [
    finding("user", root, root ? "root" : `uid ${Deno.uid()}`, "containers need root; use sudo"),
    finding("CAP_SYS_ADMIN", own.includes("SYS_ADMIN"), own.includes("SYS_ADMIN") ? "yes" : "no", "no containers"),
    finding(
      "CAP_SYS_RESOURCE",
      own.includes("SYS_RESOURCE"),
      own.includes("SYS_RESOURCE") ? "yes" : "no",
      "--ulimit cannot raise a hard limit",
    ),
  ];
}

const NEEDED_CALLS = [
  ["clone3", "no containers"],
  ["pidfd_getfd", "no terminals for containers"],
  ["open_tree", "no volumes"],
  ["mount_setattr", "no read-only volumes"],
  ["close_range", "no containers"],
  ["openat2", "no paths in images"],
] as const;

const NAMESPACES = ["mnt", "uts", "pid", "ipc", "net", "cgroup"] as const;

function kernel(): Finding[] {
  const missing = NEEDED_CALLS.filter(([name]) => !hasSyscall(name));
  const absent = NAMESPACES.filter((name) =>
    read(`/proc/self/ns/${name}`) === undefined && !exists(`/proc/self/ns/${name}`)
  );
  const types = read("/proc/filesystems") ?? "";
  const overlay = /\boverlay$/m.test(types);
  return [
    finding("kernel", true, read("/proc/sys/kernel/osrelease") ?? "unknown", ""),
    finding(
      "system calls",
      missing.length === 0,
      missing.length ? `without ${missing.map(([name]) => name).join(", ")}` : "all",
      missing.map(([name, consequence]) => `${name}: ${consequence}`).join("; ") + "; Linux 5.12 has them",
    ),
    finding("namespaces", absent.length === 0, absent.length ? `without ${absent.join(", ")}` : "all", "no containers"),
    finding("overlay", overlay, overlay ? "yes" : "no", "no containers until it is loaded: modprobe overlay"),
  ];
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

const CONTROLLERS: readonly (readonly [Controller, string])[] = [
  ["cpu", "--cpus and --cpu-shares are errors"],
  ["cpuset", "--cpuset-cpus and --cpuset-mems are errors"],
  ["memory", "--memory is an error"],
  ["pids", "--pids-limit is an error"],
];

function controlGroups(host: CgroupHost): Finding[] {
  const controllers = CONTROLLERS.map(([name, consequence]) => {
    const where = host.controllers.get(name);
    return finding(
      `cgroup ${name}`,
      where !== undefined,
      where ? `v${where.version}, ${where.mount}` : "nowhere",
      consequence,
    );
  });
  return [
    finding("cgroup layout", host.layout !== "none", host.layout, "limits are errors"),
    ...controllers,
    finding(
      "swap accounting",
      host.swapAccounting,
      host.swapAccounting ? "yes" : "no",
      "--memory-swap is an error; --memory does not bound swap",
    ),
  ];
}

const NETWORK_FEATURES: readonly NetworkFeature[] = ["bridge", "veth", "nf_tables"];

function networks(): Finding[] {
  const missing = missingFeatures();
  return NETWORK_FEATURES.map((name) => {
    const error = missing.get(name);
    const consequence = "bridged networks are errors: use --network none or host, or SAUROPOD_NETWORK";
    return finding(name, error === undefined, error ?? "yes", consequence);
  });
}

async function trial(folders: Folders): Promise<Finding> {
  const start = performance.now();
  try {
    const { containers, images } = folders;
    const { code } = await output("host", ["true"], { containers, images, network: "none" });
    const took = `${Math.round((performance.now() - start) * 10) / 10} ms`;
    return finding(
      "a container of host",
      code === 0,
      code === 0 ? `runs, ${took}` : `ends with ${code}`,
      "no containers",
    );
  } catch (error) {
    return finding("a container of host", false, messageOf(error), "no containers of host");
  }
}

function orphans(): Finding {
  const found = findOrphans().map(({ id, folder }) => `${id} (${folder})`);
  return finding(
    "containers without a folder",
    found.length === 0,
    found.length > 0 ? found.join(", ") : "none",
    "no command finds them; sauropod gc --orphans ends them",
  );
}

function passedOver({ passedOver, images, containers }: Folders): Finding[] {
  if (!passedOver) return [];
  const { path, why } = passedOver;
  return [
    finding("./images, ./containers", false, `${path} ${why}`, `they are not used, but ${images} and ${containers}`),
  ];
}

/** Examines the host, and runs one container of the image `host`. */
export async function examine(folders: Folders): Promise<Finding[]> {
  return [
    ...user(),
    ...kernel(),
    ...controlGroups(detectCgroups()),
    ...networks(),
    finding(
      "images",
      exists(folders.images),
      `${folders.images} (${folders.rule})`,
      "only the image host, until it is made",
    ),
    finding("containers", true, `${folders.containers} (${folders.rule})`, ""),
    ...passedOver(folders),
    orphans(),
    await trial(folders),
  ];
}
