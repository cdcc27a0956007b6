import { CgroupError, InputError } from "../errors.ts";
import type { CgroupHost, Controller, Cpuset, Hierarchy } from "./host.ts";
import { LIMIT_OPTIONS, type Limits, parseCpuList, validateLimits } from "./limits.ts";
import { settingsV1, settingsV2 } from "./settings.ts";

/** A value to write to a file of a control group. */
export interface GroupWrite {
  /** The absolute path. */
  file: string;
  /** What to write, in one write. */
  value: string;
  /** Whether it does not matter if the kernel has no such file (ENOENT). */
  optional?: true;
}

/** A group to make in one hierarchy: mkdir `path`, then `enable`, then `writes`, then `join`. */
export interface GroupPlan {
  /** Whether the group is of v1 or v2. */
  version: 1 | 2;
  /** The hierarchy's name, such as `cpu,cpuacct` or `unified`. */
  hierarchy: string;
  /** The folder to make. The folder above it must exist. */
  path: string;
  /** v2: what to write to the groups above, topmost first, so that this one has its controllers. */
  enable: readonly GroupWrite[];
  /** The limits, in an order that the kernel accepts for a fresh group. */
  writes: readonly GroupWrite[];
  /** `clone`: with CLONE_INTO_CGROUP (v2); `write`: write `0` to `path`/cgroup.procs from within (v1). */
  join: "clone" | "write";
}

/** Every group that a container needs. */
export interface CgroupPlan {
  /** One per hierarchy; none if nothing asks for one. */
  groups: readonly GroupPlan[];
}

/** Where to make groups. */
export interface PlanOptions {
  /** The group to make them below, such as `/machine.slice`, from the top of each hierarchy. It must exist. Default: the top. */
  parent?: string;
  /** What the parent's cpuset gives (`readCpuset`). Default: the host's. */
  cpuset?: Cpuset;
  /** Whether it must be possible to freeze it. Default: only where that costs nothing, that is on v2. */
  freezable?: boolean;
}

const NEEDS = [
  ["cpuShares", "cpu"],
  ["cpus", "cpu"],
  ["cpusetCpus", "cpuset"],
  ["cpusetMems", "cpuset"],
  ["memory", "memory"],
  ["memorySwap", "memory"],
  ["memoryReservation", "memory"],
  ["pids", "pids"],
] as const satisfies readonly (readonly [keyof Limits, Controller])[];

/**
 * Plans the groups of a container named `name`, as data; it reads and makes nothing.
 *
 * With v1 (and hybrid) a group is made only where a limit asks for one, as moving a process between v1 groups costs
 * a grace period of the kernel (about 12 ms). With pure v2 there is always one, unless it is mounted read-only and no limit asks.
 *
 * @throws {InputError} what `validateLimits` throws; `bad-cgroup-name`.
 * @throws {CgroupError} a limit that this host cannot set: `cgroups-missing`, `controller-missing`, `cgroup-read-only`,
 * `swap-accounting-missing`, `not-in-cpuset`, `cpuset-unknown`; `freezer-missing`.
 */
export function planCgroups(host: CgroupHost, name: string, limits: Limits, options: PlanOptions = {}): CgroupPlan {
  validateLimits(limits);
  const path = groupParts(name, options.parent ?? "");
  const cpuset = options.cpuset ?? host.cpuset;
  const asked = NEEDS.filter(([limit]) => limits[limit] !== undefined);
  const hierarchies = new Map(asked.map(([limit, controller]) => {
    const hierarchy = hierarchyFor(host, limit, controller);
    return [hierarchy.mount, hierarchy];
  }));
  refuseImpossible(host, limits, cpuset);
  if (host.layout === "v2" && host.unified && !host.unified.readOnly) {
    hierarchies.set(host.unified.mount, host.unified);
  }
  if (options.freezable) {
    const freezer = freezerOf(host);
    hierarchies.set(freezer.mount, freezer);
  }
  return { groups: [...hierarchies.values()].map((hierarchy) => planGroup(host, hierarchy, path, limits, cpuset)) };
}

/** The name of a container's group, in every hierarchy. */
export function groupName(id: string): string {
  return `sauropod-${id}`;
}

/**
 * Every path at which a group of the container `id` could be made, at its start or later. Most of them never are.
 *
 * @param parent The group to make them below, as in {@linkcode PlanOptions.parent}. Default: the top.
 */
export function groupCandidates(host: CgroupHost, id: string, parent = ""): string[] {
  const limiting = NEEDS.map(([, controller]) => host.controllers.get(controller));
  const hierarchies = [...limiting, host.controllers.get("freezer"), host.unified];
  const mounts = hierarchies.flatMap((hierarchy) => hierarchy && !hierarchy.readOnly ? [hierarchy.mount] : []);
  return [...new Set(mounts)].map((mount) => [mount, ...groupParts(groupName(id), parent)].join("/"));
}

/**
 * The file in which the kernel would count the out-of-memory kills of the container `id`; undefined where it counts none.
 *
 * @param parent As of {@linkcode groupCandidates}.
 */
export function oomFile(host: CgroupHost, id: string, parent = ""): string | undefined {
  const hierarchy = host.controllers.get("memory");
  if (!hierarchy || hierarchy.readOnly) return undefined;
  const file = hierarchy.version === 1 ? "memory.oom_control" : "memory.events";
  return [hierarchy.mount, ...groupParts(groupName(id), parent), file].join("/");
}

/** The hierarchy to freeze in: v2 where there is one, as it lets what is frozen be killed. */
function freezerOf(host: CgroupHost): Hierarchy {
  const found = [host.unified, host.controllers.get("freezer")].find((hierarchy) => hierarchy && !hierarchy.readOnly);
  if (found) return found;
  throw new CgroupError("No control groups that can be frozen are mounted here writable", {
    code: "freezer-missing",
    facts: { layout: host.layout },
    hint: "Mount v2 (mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified), or the freezer of v1.",
  });
}

function planGroup(
  host: CgroupHost,
  hierarchy: Hierarchy,
  parts: readonly string[],
  limits: Limits,
  cpuset: Cpuset | undefined,
): GroupPlan {
  const { version, mount, name } = hierarchy;
  const path = [mount, ...parts].join("/");
  const here = (controller: Controller): boolean => host.controllers.get(controller)?.mount === mount;
  // A v1 group of cpuset takes no process before it has both (ENOSPC), even if only a co-mounted controller is asked for.
  const halfSet = limits.cpusetCpus === undefined || limits.cpusetMems === undefined;
  if (version === 1 && here("cpuset") && halfSet && cpuset === undefined) {
    throw new CgroupError(`A group in ${mount} needs CPUs and memory nodes, but those of the group above are unknown`, {
      code: "cpuset-unknown",
      facts: { mount },
      hint: "Give both --cpuset-cpus and --cpuset-mems.",
    });
  }
  const settings =
    (version === 1
      ? settingsV1(limits, hierarchy.controllers.includes("cpuset") ? cpuset : undefined)
      : settingsV2(limits))
      .filter(({ controller }) => here(controller));
  return {
    version,
    hierarchy: name,
    path,
    enable: version === 1 ? [] : enables(host, mount, parts, new Set(settings.map(({ controller }) => controller))),
    writes: settings.map(({ file, value, optional }) => ({
      file: `${path}/${file}`,
      value,
      ...optional && { optional },
    })),
    join: version === 1 ? "write" : "clone",
  };
}

/** Hands controllers down to the last of `parts`. What a group below the top hands down is unknown; asking again is harmless. */
function enables(host: CgroupHost, mount: string, parts: readonly string[], wanted: Set<Controller>): GroupWrite[] {
  return parts.flatMap((_, depth) => {
    const missing = [...wanted].filter((controller) => depth > 0 || !host.unified?.enabled.includes(controller));
    const file = [mount, ...parts.slice(0, depth), "cgroup.subtree_control"].join("/");
    return missing.length > 0 ? [{ file, value: missing.map((controller) => `+${controller}`).join(" ") }] : [];
  });
}

function hierarchyFor(host: CgroupHost, limit: keyof Limits, controller: Controller): Hierarchy {
  const option = LIMIT_OPTIONS[limit];
  const hierarchy = host.controllers.get(controller);
  const facts = { limit, option, controller, layout: host.layout };
  if (host.layout === "none") {
    throw new CgroupError(`${option} needs the ${controller} controller, but no control groups are mounted here`, {
      code: "cgroups-missing",
      facts,
      hint: `Mount them (mount -t cgroup2 cgroup2 /sys/fs/cgroup), or leave out ${option}.`,
    });
  }
  if (hierarchy === undefined) {
    const where = host.unified ? `, and ${host.unified.mount}/cgroup.controllers does not offer it` : "";
    throw new CgroupError(`${option} needs the ${controller} controller, but no v1 hierarchy has it${where}`, {
      code: "controller-missing",
      facts,
      hint: `Look it up in /proc/cgroups; if it is there, enable it (kernel option cgroup_enable=${controller}), ` +
        `mount it or have it delegated. Or leave out ${option}.`,
    });
  }
  if (hierarchy.readOnly) {
    throw new CgroupError(`${option} needs a group in ${hierarchy.mount}, but that is mounted read-only`, {
      code: "cgroup-read-only",
      facts: { ...facts, mount: hierarchy.mount },
      hint: `Remount it (mount -o remount,rw ${hierarchy.mount}), or leave out ${option}.`,
    });
  }
  return hierarchy;
}

function refuseImpossible(host: CgroupHost, limits: Limits, cpuset: Cpuset | undefined): void {
  if (limits.memorySwap !== undefined && !host.swapAccounting) {
    throw new CgroupError("--memory-swap needs swap accounting, but this kernel has no memory.memsw.limit_in_bytes", {
      code: "swap-accounting-missing",
      facts: { limit: "memorySwap", option: LIMIT_OPTIONS.memorySwap },
      hint: "Boot with swapaccount=1, or leave out --memory-swap.",
    });
  }
  for (const [limit, given] of [["cpusetCpus", cpuset?.cpus], ["cpusetMems", cpuset?.mems]] as const) {
    const list = limits[limit];
    if (list === undefined || given === undefined) continue;
    const available = new Set(parseCpuList(given));
    const absent = parseCpuList(list)?.filter((number) => !available.has(number)) ?? [];
    if (absent.length > 0) {
      throw new CgroupError(`${LIMIT_OPTIONS[limit]} ${list}: ${absent.join(",")} cannot be used here, only ${given}`, {
        code: "not-in-cpuset",
        facts: { limit, option: LIMIT_OPTIONS[limit], value: list, absent, given },
        hint: `Choose from ${given}.`,
      });
    }
  }
}

function groupParts(name: string, parent: string): string[] {
  const parts = [...parent.split("/").filter(Boolean), name];
  if (name.includes("/") || parts.some((part) => /^\.{0,2}$|[\n\0]/.test(part))) {
    throw new InputError(`${JSON.stringify(name)} below ${JSON.stringify(parent)} cannot be a control group`, {
      code: "bad-cgroup-name",
      facts: { name, parent },
      hint: "Use a plain name without slashes, below a path such as /machine.slice.",
    });
  }
  return parts;
}
