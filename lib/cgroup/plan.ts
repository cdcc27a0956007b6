import { CgroupError, InputError } from "../errors.ts";
import type { CgroupHost, Controller, Cpuset, Hierarchy } from "./host.ts";
import { LIMIT_OPTIONS, type Limits, parseCpuList, validateLimits } from "./limits.ts";
import { type DeviceRule, formatRule } from "./devices.ts";
import { type Setting, settingsV1, settingsV2 } from "./settings.ts";

/** A value to write to a file of a control group. */
export interface GroupWrite {
  /** The absolute path. */
  file: string;
  /** What to write, in one write. */
  value: string;
  /** Whether it does not matter if the kernel has no such file (ENOENT). */
  optional?: true;
}

/** The group below a container's, which its processes are in. */
export interface InnerGroup {
  /** The folder to make. */
  readonly path: string;
  /** v2: what to write to the group above, so that this one has its controllers. */
  readonly enable: readonly GroupWrite[];
  /** The limits once more, for programs that look at them: those of the group above hold whatever becomes of these. */
  readonly writes: readonly GroupWrite[];
}

/** A group to make in one hierarchy: `enable`, mkdir `path`, `writes`, then `inner`, then `join`. */
export interface GroupPlan {
  /** Whether the group is of v1 or v2. */
  version: 1 | 2;
  /** The hierarchy's name, such as `cpu,cpuacct` or `unified`. */
  hierarchy: string;
  /** The folder to make. The folder above it must exist. */
  path: string;
  /** Whether it has a limit that was asked for. */
  limited: boolean;
  /** v2: what to write to the groups above, topmost first, so that this one has its controllers. */
  enable: readonly GroupWrite[];
  /** The limits and device rules, in an order that the kernel accepts for a fresh group. */
  writes: readonly GroupWrite[];
  /**
   * The group that the container is in where this one holds limits: a user namespace that the container makes can mount
   * what its cgroup namespace begins at, and write to it. Default: the container is in this one.
   */
  inner?: InnerGroup;
  /** v2, where v1 has no devices controller: the program of the kernel's that decides which devices it may use. */
  deviceFilter?: DeviceFilter;
  /** `clone`: with CLONE_INTO_CGROUP (v2); `write`: write `0` to the group's `tasks` from within (v1). */
  join: "clone" | "write";
}

/** A program of the kernel's (BPF) that decides about devices. */
export interface DeviceFilter {
  /** Its instructions. */
  readonly instructions: Uint8Array;
  /** Whether the container could use devices without it: if the kernel has no such programs, it is not made then. */
  readonly required: boolean;
}

/** Every group that a container needs. */
export interface CgroupPlan {
  /** One for each hierarchy that is mounted writable. */
  groups: readonly GroupPlan[];
}

/** Where to make groups, and what they hold beside limits. */
export interface PlanOptions {
  /** The group to make them below, such as `/machine.slice`, from the top of each hierarchy. It must exist. Default: the top. */
  parent?: string;
  /**
   * Whether the hierarchy that is mounted at a folder has the parent. Where it does not, and no limit is asked for, the
   * group is made at the top. Default: all have it.
   */
  hasParent?: (mount: string) => boolean;
  /** What the parent's cpuset gives (`readCpuset`). Default: the host's. */
  cpuset?: Cpuset;
  /** v1: the devices that it may use. Default: all. */
  devices?: readonly DeviceRule[];
}

/** Processes and threads of a container at most, where nobody asks for something else and the host counts them. */
export const USUAL_PIDS = 4096;

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
 * There is one in every hierarchy that can be written to: what a container's cgroup namespace begins at, it can freeze,
 * limit and fill. With v1 that costs some 40 µs each, 15 of which are for moving a process that has one thread.
 *
 * @throws {InputError} what `validateLimits` throws; `bad-cgroup-name`.
 * @throws {CgroupError} a limit that this host cannot set: `cgroups-missing`, `controller-missing`, `cgroup-read-only`,
 * `swap-accounting-missing`, `not-in-cpuset`, `cpuset-unknown`.
 */
export function planCgroups(host: CgroupHost, name: string, limits: Limits, options: PlanOptions = {}): CgroupPlan {
  const { parent = "", hasParent = () => true, cpuset = host.cpuset, devices } = options;
  validateLimits(limits);
  const below = groupParts(name, parent), alone = groupParts(name, "");
  const asked = NEEDS.filter(([limit]) => limits[limit] !== undefined);
  const limiting = new Set(asked.map(([limit, controller]) => hierarchyFor(host, limit, controller).mount));
  refuseImpossible(host, limits, cpuset);
  const groups = host.hierarchies.filter(({ readOnly }) => !readOnly).flatMap((hierarchy) => {
    const { mount } = hierarchy, limited = limiting.has(mount);
    if (!limited && isClosed(host, hierarchy, cpuset)) return [];
    const parts = limited || parent === "" || hasParent(mount) ? below : alone;
    const settings = settingsIn(host, hierarchy, limits, cpuset);
    return planGroup(host, hierarchy, parts, settings, limited, devices);
  });
  return { groups };
}

/** The name of a container's group, in every hierarchy. */
export function groupName(id: string): string {
  return `sauropod-${id}`;
}

/** The name of the group below it that its processes are in, where that is another. */
export const INNER = "inner";

/** The file in which the kernel counts the out-of-memory kills of planned groups; undefined where it counts none. */
export function oomFile(host: CgroupHost, { groups }: CgroupPlan): string | undefined {
  const hierarchy = host.controllers.get("memory");
  const group = groups.find((group) => group.hierarchy === hierarchy?.name);
  if (!group) return undefined;
  // v1 counts in the group of the process alone.
  const { version, path, inner } = group;
  return version === 1 ? `${inner?.path ?? path}/memory.oom_control` : `${path}/memory.events`;
}

/** Whether no process could be moved into a group of it: one of v1's cpuset needs CPUs and memory nodes, which are unknown. */
function isClosed({ controllers }: CgroupHost, { version, mount }: Hierarchy, cpuset: Cpuset | undefined): boolean {
  return version === 1 && controllers.get("cpuset")?.mount === mount && cpuset === undefined;
}

/** What is set in the groups of one hierarchy. */
function settingsIn(
  host: CgroupHost,
  { version, mount, controllers }: Hierarchy,
  limits: Limits,
  cpuset: Cpuset | undefined,
): Setting[] {
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
  const usual: Setting[] = limits.pids === undefined
    ? [{ controller: "pids", file: "pids.max", value: String(USUAL_PIDS), optional: true }]
    : [];
  const asked = version === 1
    ? settingsV1(limits, controllers.includes("cpuset") ? cpuset : undefined)
    : settingsV2(limits);
  return [...asked, ...usual].filter(({ controller }) => here(controller));
}

function planGroup(
  host: CgroupHost,
  { version, mount, name, controllers }: Hierarchy,
  parts: readonly string[],
  settings: readonly Setting[],
  limited: boolean,
  devices: readonly DeviceRule[] | undefined,
): GroupPlan {
  const path = [mount, ...parts].join("/"), below = `${path}/${INNER}`;
  const writesIn = (group: string): GroupWrite[] =>
    settings.map(({ file, value, optional }) => ({ file: `${group}/${file}`, value, ...optional && { optional } }));
  const rules = version === 1 && devices && controllers.includes("devices") ? rulesIn(path, devices) : [];
  // What every v1 group of cpuset must have is no limit.
  const holdsLimits = version === 2 || limited || settings.some(({ controller }) => controller !== "cpuset");
  return {
    version,
    hierarchy: name,
    path,
    limited,
    enable: version === 1 ? [] : enables(host, mount, parts, settings),
    writes: [...writesIn(path), ...rules],
    ...(holdsLimits && {
      inner: { path: below, enable: version === 1 ? [] : handDown(path, settings), writes: writesIn(below) },
    }),
    join: version === 1 ? "write" : "clone",
  };
}

function rulesIn(path: string, devices: readonly DeviceRule[]): GroupWrite[] {
  const allow = devices.map((rule) => ({ file: `${path}/devices.allow`, value: formatRule(rule) }));
  return [{ file: `${path}/devices.deny`, value: "a" }, ...allow];
}

/**
 * Hands the controllers of settings down to the groups below one. One write hands down all or none: what nobody asked for
 * must not keep the rest from being handed down.
 */
function handDown(group: string, settings: readonly Setting[]): GroupWrite[] {
  const [asked, usual] = [settings.filter(({ optional }) => !optional), settings.filter(({ optional }) => optional)];
  const named = (some: readonly Setting[]): string[] => [...new Set(some.map(({ controller }) => `+${controller}`))];
  const needed = named(asked), rest = named(usual).filter((name) => !needed.includes(name));
  const file = `${group}/cgroup.subtree_control`;
  return [
    ...(needed.length > 0 ? [{ file, value: needed.join(" ") }] : []),
    ...(rest.length > 0 ? [{ file, value: rest.join(" "), optional: true } as const] : []),
  ];
}

/** Hands controllers down to the last of `parts`. What a group below the top hands down is unknown; asking again is harmless. */
function enables(
  host: CgroupHost,
  mount: string,
  parts: readonly string[],
  settings: readonly Setting[],
): GroupWrite[] {
  return parts.flatMap((_, depth) => {
    const missing = settings.filter(({ controller }) => depth > 0 || !host.unified?.enabled.includes(controller));
    return handDown([mount, ...parts.slice(0, depth)].join("/"), missing);
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
