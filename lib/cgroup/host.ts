import { modeOf } from "../../ffi/fs/paths.ts";
import { isWithin, type Mount, parseMountinfo, visibleMounts } from "./mountinfo.ts";

/** A kind of resource that control groups govern; `io` is also v1's `blkio`. */
export type Controller = "cpu" | "cpuacct" | "cpuset" | "memory" | "pids" | "freezer" | "devices" | "io";

const CONTROLLERS: readonly Controller[] = [
  "cpu",
  "cpuacct",
  "cpuset",
  "memory",
  "pids",
  "freezer",
  "devices",
  "io",
];

/** A mounted tree of control groups. */
export interface Hierarchy {
  /** Its name in `/proc/self/cgroup`, such as `cpu,cpuacct` or `name=systemd`; `unified` for v2. */
  name: string;
  /** Whether it is a v1 or the v2 hierarchy. */
  version: 1 | 2;
  /** The directory of its topmost reachable group, with the `root` that detection was given in front. */
  mount: string;
  /** This process's own group below `mount`, such as `/user.slice`; `/` when that is the top or out of reach. */
  own: string;
  /** Its controllers, as the kernel names them. For v2: those that its topmost group may hand down. */
  controllers: readonly string[];
  /** Whether it is mounted read-only, so that no group can be made in it. */
  readOnly: boolean;
}

/** The CPUs and memory nodes that a group gives, as lists such as `0-3`. */
export interface Cpuset {
  /** CPUs. */
  cpus: string;
  /** Memory nodes. */
  mems: string;
}

/** Where each controller of this host lives. */
export interface CgroupHost {
  /** `hybrid`: v2 is mounted, and v1 has at least one controller in use; `v1` and `v2`: only that one; or `none`. */
  layout: "v1" | "v2" | "hybrid" | "none";
  /** The one hierarchy of each controller that is within reach. */
  controllers: ReadonlyMap<Controller, Hierarchy>;
  /** The v2 hierarchy, and the controllers its topmost group hands down already (`cgroup.subtree_control`). */
  unified?: Hierarchy & { enabled: readonly string[] };
  /** Every mounted hierarchy, v2 last. */
  hierarchies: readonly Hierarchy[];
  /**
   * Whether v1 counts swap (`memory.memsw.*` exists). True where memory is not in v1: v2's topmost group does not tell.
   */
  swapAccounting: boolean;
  /** The cpuset of its topmost group. Absent if unknown. */
  cpuset?: Cpuset;
}

/**
 * Finds the control groups of this host from `/proc/self/mountinfo` and `/proc/self/cgroup`; see cgroups(7).
 *
 * @param root Prefix of every path that is read, for another machine's tree. Default: none.
 */
export function detectCgroups(root = ""): CgroupHost {
  const mounts = reachableMounts(read(`${root}/proc/self/mountinfo`));
  const hierarchies = read(`${root}/proc/self/cgroup`).split("\n").flatMap((line) => {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line);
    return match ? toHierarchy(root, mounts, match[1] ?? "", match[2] ?? "/") ?? [] : [];
  }).sort((a, b) => a.version - b.version);

  const v2 = hierarchies.find((hierarchy) => hierarchy.version === 2);
  const controllers = new Map<Controller, Hierarchy>();
  for (const hierarchy of hierarchies) {
    // v2 has no controllers of these names: every group can be frozen, and counts its CPU time.
    const implied = hierarchy.version === 2 ? ["cpuacct", "freezer"] : [];
    for (const name of [...hierarchy.controllers, ...implied]) {
      const controller = CONTROLLERS.find((known) => known === (name === "blkio" ? "io" : name));
      if (controller !== undefined && !controllers.has(controller)) controllers.set(controller, hierarchy);
    }
  }
  const inV1 = controllers.values().some((hierarchy) => hierarchy.version === 1);
  const memory = controllers.get("memory");
  const cpuset = controllers.get("cpuset");
  return {
    layout: v2 ? (inV1 ? "hybrid" : "v2") : inV1 ? "v1" : "none",
    controllers,
    unified: v2 && { ...v2, enabled: words(read(`${v2.mount}/cgroup.subtree_control`)) },
    hierarchies,
    swapAccounting: memory?.version !== 1 || read(`${memory.mount}/memory.memsw.limit_in_bytes`) !== "",
    cpuset: cpuset && readCpuset(cpuset.mount),
  };
}

let found: CgroupHost | undefined;

/** Returns the control groups of this host, detected at the first call. */
export function thisHost(): CgroupHost {
  return found ??= detectCgroups();
}

/**
 * Returns the directory of the topmost v2 group, which a process must join to outlive the session or service that
 * starts it: systemd ends the processes in its own groups, which it finds in v2 wherever that is mounted. Returns
 * undefined if this process is in that group already, v2 is out of reach, or the topmost group takes no processes.
 */
export function lastingGroup({ unified }: Pick<CgroupHost, "unified">): string | undefined {
  if (!unified || unified.readOnly || unified.own === "/") return undefined;
  // A group that hands controllers down takes processes only if none is above it; that one has no such file.
  const takes = unified.enabled.length === 0 || modeOf(`${unified.mount}/cgroup.type`) === undefined;
  return takes ? unified.mount : undefined;
}

/** Reads the CPUs and memory nodes of a cpuset group (v1 or v2); returns `undefined` if they cannot be read. */
export function readCpuset(group: string): Cpuset | undefined {
  const first = (...files: string[]): string =>
    files.values().map((file) => read(`${group}/${file}`).trim()).find((text) => text !== "") ?? "";
  const cpus = first("cpuset.effective_cpus", "cpuset.cpus.effective", "cpuset.cpus");
  const mems = first("cpuset.effective_mems", "cpuset.mems.effective", "cpuset.mems");
  return cpus && mems ? { cpus, mems } : undefined;
}

/**
 * Returns the cgroup mounts that paths reach. Only mounts at or above one matter: a host can have thousands of others.
 */
function reachableMounts(mountinfo: string): Mount[] {
  const all = parseMountinfo(mountinfo);
  const isGroup = (mount: Mount): boolean => mount.type === "cgroup" || mount.type === "cgroup2";
  const groups = all.filter(isGroup);
  return visibleMounts(all.filter((mount) => groups.some(({ point }) => isWithin(point, mount.point)))).filter(isGroup);
}

/** Returns the hierarchy of a line of `/proc/self/cgroup`; `undefined` if it is not mounted. */
function toHierarchy(root: string, mounts: readonly Mount[], names: string, path: string): Hierarchy | undefined {
  const version = names === "" ? 2 : 1;
  const candidates = mounts
    .filter(({ type, superOptions }) =>
      version === 2
        ? type === "cgroup2"
        : type === "cgroup" && names.split(",").every((name) => superOptions.includes(name))
    )
    .map((mount) => ({ mount, own: pathBelow(mount.root, path), readOnly: isReadOnly(mount) }));
  // A container may see several parts of one hierarchy: prefer a writable one that includes this process and most of
  // the hierarchy.
  const [best] = candidates.sort((a, b) =>
    Number(a.readOnly) - Number(b.readOnly) ||
    Number(a.own === undefined) - Number(b.own === undefined) ||
    a.mount.root.length - b.mount.root.length
  );
  if (best === undefined) return undefined;
  const mount = root + best.mount.point;
  return {
    name: names || "unified",
    version,
    mount,
    own: best.own ?? "/",
    controllers: version === 2
      ? words(read(`${mount}/cgroup.controllers`))
      : names.split(",").filter((name) => !name.startsWith("name=")),
    readOnly: best.readOnly,
  };
}

/**
 * Returns a group's path as seen from a mount of `mountRoot`; `undefined` if it is not below it (`/..` is above a
 * namespace).
 */
function pathBelow(mountRoot: string, path: string): string | undefined {
  if (!isWithin(path, mountRoot) || path.split("/").includes("..")) return undefined;
  return mountRoot === "/" ? path : path.slice(mountRoot.length) || "/";
}

function isReadOnly({ options, superOptions }: Mount): boolean {
  return options.includes("ro") || superOptions.includes("ro");
}

function words(text: string): string[] {
  return text.split(/\s+/).filter(Boolean);
}

function read(file: string): string {
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
