import { CgroupError, InputError } from "../errors.ts";
import type { CgroupHost, Controller, Cpuset, Hierarchy } from "./host.ts";
import { LIMIT_OPTIONS, type Limits, parseCpuList, validateLimits } from "./limits.ts";
import { type DeviceRule, formatRule } from "./devices.ts";
import { type Setting, settingsV1, settingsV2 } from "./settings.ts";

/** A value to write to a file of a control group. */
export interface GroupWrite {
  /** The absolute path. */
  file: string;
  /** The value, written at once. */
  value: string;
  /** Whether it does not matter if the kernel has no such file (ENOENT). */
  optional?: true;
}

/** The group below a container's, which its processes are in. */
export interface InnerGroup {
  /** The directory to make. */
  readonly path: string;
  /** v2: the `cgroup.subtree_control` write to the group above that enables its controllers. */
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
  /** The directory to make. The directory above it must exist. */
  path: string;
  /** Whether it has a limit that was asked for. */
  limited: boolean;
  /** v2: the `cgroup.subtree_control` writes to the groups above, topmost first, that enable its controllers. */
  enable: readonly GroupWrite[];
  /** The limits and device rules, in an order that the kernel accepts for a fresh group. */
  writes: readonly GroupWrite[];
  /**
   * The group that the container's processes join where this one holds limits: a user namespace inside the container
   * could mount the root of its cgroup namespace and write to it. Default: they join this one.
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

/** Location and devices of groups. */
export interface PlanOptions {
  /**
   * The group to make them below, such as `/machine.slice`, from the top of each hierarchy. It must exist. Default: the
   * top.
   */
  parent?: string;
  /**
   * Whether the hierarchy that is mounted at a directory has the parent. Where it does not, and no limit is asked for,
   * the group is made at the top. Default: all have it.
   */
  hasParent?: (mount: string) => boolean;
  /** The parent's cpuset (`readCpuset`). Default: the host's. */
  cpuset?: Cpuset;
  /** v1: the devices that it may use. Default: all. */
  devices?: readonly DeviceRule[];
}

/** Default limit on processes and threads, where the host counts them. */
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
 * Plans the groups of a container named `name` as data; changes nothing.
 *
 * Every writable hierarchy gets one: a container can freeze, limit and fill the root of its cgroup namespace. With v1
 * each costs some 40 µs, 15 of which move a single-threaded process.
 *
 * @throws {InputError} as `validateLimits` does; `bad-cgroup-name`.
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

/** Returns the name of a container's group, in every hierarchy. */
export function groupName(id: string): string {
  return `sauropod-${id}`;
}

/** The name of the group below it that its processes are in, where that is another. */
export const INNER = "inner";

/**
 * Returns the file in which the kernel counts the out-of-memory kills of planned groups; undefined where it counts
 * none.
 */
export function oomFile(host: CgroupHost, { groups }: CgroupPlan): string | undefined {
  const hierarchy = host.controllers.get("memory");
  const group = groups.find((group) => group.hierarchy === hierarchy?.name);
  if (!group) return undefined;
  // v1 counts in the group of the process alone.
  const { version, path, inner } = group;
  return version === 1 ? `${inner?.path ?? path}/memory.oom_control` : `${path}/memory.events`;
}

/**
 * Reports whether no process could be moved into a group of it: one of v1's cpuset needs CPUs and memory nodes, which
 * are unknown.
 */
function isClosed({ controllers }: CgroupHost, { version, mount }: Hierarchy, cpuset: Cpuset | undefined): boolean {
  return version === 1 && controllers.get("cpuset")?.mount === mount && cpuset === undefined;
}

/** Settings of the groups of one hierarchy. */
function settingsIn(
  host: CgroupHost,
  { version, mount, controllers }: Hierarchy,
  limits: Limits,
  cpuset: Cpuset | undefined,
): Setting[] {
  const here = (controller: Controller): boolean => host.controllers.get(controller)?.mount === mount;
  // A v1 group of cpuset takes no process before it has both (ENOSPC), even if only a co-mounted controller is asked
  // for.
  const halfSet = limits.cpusetCpus === undefined || limits.cpusetMems === undefined;
  if (version === 1 && here("cpuset") && halfSet && cpuset === undefined) {
    throw new CgroupError(`cannot create a group in ${mount}: the CPUs and memory nodes of its parent are unknown`, {
      code: "cpuset-unknown",
      facts: { mount },
      hint: "add both --cpuset-cpus and --cpuset-mems",
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
  // The values that every v1 cpuset group requires are no limit.
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
 * Enables the controllers of settings for the groups below. A single write enables all or none, so optional controllers
 * are enabled by writes of their own.
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

/**
 * Enables controllers down to the last of `parts`. The present state below the top is unknown; enabling again is
 * harmless.
 */
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
    throw new CgroupError(`cannot apply ${option}: no control groups are mounted for the ${controller} controller`, {
      code: "cgroups-missing",
      facts,
      hint: `mount them (mount -t cgroup2 cgroup2 /sys/fs/cgroup), or omit ${option}`,
    });
  }
  if (hierarchy === undefined) {
    const where = host.unified ? `, and ${host.unified.mount}/cgroup.controllers does not offer it` : "";
    throw new CgroupError(`cannot apply ${option}: no v1 hierarchy has the ${controller} controller${where}`, {
      code: "controller-missing",
      facts,
      hint: `if /proc/cgroups lists it, enable it (kernel option cgroup_enable=${controller}), ` +
        `mount it or have it delegated; or omit ${option}`,
    });
  }
  if (hierarchy.readOnly) {
    throw new CgroupError(`cannot apply ${option}: ${hierarchy.mount} is mounted read-only`, {
      code: "cgroup-read-only",
      facts: { ...facts, mount: hierarchy.mount },
      hint: `remount it (mount -o remount,rw ${hierarchy.mount}), or omit ${option}`,
    });
  }
  return hierarchy;
}

function refuseImpossible(host: CgroupHost, limits: Limits, cpuset: Cpuset | undefined): void {
  if (limits.memorySwap !== undefined && !host.swapAccounting) {
    throw new CgroupError(
      "cannot apply --memory-swap: this kernel lacks swap accounting (memory.memsw.limit_in_bytes)",
      {
        code: "swap-accounting-missing",
        facts: { limit: "memorySwap", option: LIMIT_OPTIONS.memorySwap },
        hint: "boot with swapaccount=1, or omit --memory-swap",
      },
    );
  }
  for (const [limit, given] of [["cpusetCpus", cpuset?.cpus], ["cpusetMems", cpuset?.mems]] as const) {
    const list = limits[limit];
    if (list === undefined || given === undefined) continue;
    const available = new Set(parseCpuList(given));
    const absent = parseCpuList(list)?.filter((number) => !available.has(number)) ?? [];
    if (absent.length > 0) {
      throw new CgroupError(
        `invalid ${LIMIT_OPTIONS[limit]} ${list}: ${absent.join(",")} not available, only ${given}`,
        {
          code: "not-in-cpuset",
          facts: { limit, option: LIMIT_OPTIONS[limit], value: list, absent, given },
          hint: `choose from ${given}`,
        },
      );
    }
  }
}

function groupParts(name: string, parent: string): string[] {
  const parts = [...parent.split("/").filter(Boolean), name];
  if (name.includes("/") || parts.some((part) => /^\.{0,2}$|[\n\0]/.test(part))) {
    throw new InputError(`invalid control group ${JSON.stringify(name)} below ${JSON.stringify(parent)}`, {
      code: "bad-cgroup-name",
      facts: { name, parent },
      hint: "use a plain name without slashes, below a path such as /machine.slice",
    });
  }
  return parts;
}
