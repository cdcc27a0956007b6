/**
 * Container specifications: from options to a checked {@linkcode ContainerSpec}, before anything is created.
 *
 * @module
 */

import { RLIMITS } from "../../../ffi/program/flags.ts";
import { modeOf, ownershipOf, readSmallFile } from "../../../ffi/fs/paths.ts";
import { hardLimit, permittedCapabilities } from "../../../ffi/process/process.ts";
import { capabilitiesIn, type Capability, chooseCapabilities } from "../../host/capabilities.ts";
import { type DeviceRule, USUAL_DEVICES } from "../../cgroup/devices.ts";
import { type CgroupHost, readCpuset, thisHost } from "../../cgroup/host.ts";
import { groupName, type GroupPlan, planCgroups, type PlanOptions } from "../../cgroup/plan.ts";
import { lazy } from "../../lazy.ts";
import { CgroupError, InputError } from "../../errors.ts";
import type { ImageUser as User } from "../../image/passwd.ts";
import type { Image } from "../../store/image.ts";
import { apartFiles } from "../../network/name_files.ts";
import { selectNetwork } from "../../network/selection.ts";
import { signalNumber } from "../../host/signals.ts";
import type {
  CgroupMount,
  ContainerSpec,
  Device,
  KernelSetting,
  ProcessSpec,
  Rlimit,
  Rootfs,
  UserMount,
} from "../../program/spec.ts";
import type { ContainerOptions } from "../options.ts";

/** Default search path of commands. */
export const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SHM_SIZE = 64 * 1024 * 1024;
const DEFAULT_OPEN_FILES = 1024;
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;
const HOSTNAME = /^(?=.{1,64}$)[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$/;

let own: ReadonlySet<Capability> | undefined;

function ownCapabilities(): ReadonlySet<Capability> {
  own ??= new Set(capabilitiesIn(permittedCapabilities()));
  return own;
}

const NAME_HINT = "use letters, digits, -, _ and ., at most 255, beginning with a letter or digit";
const HOSTNAME_HINT = "use letters and digits, with - and . between them, at most 64";

function checkName(value: string | undefined, pattern: RegExp, what: string, hint: string): void {
  if (value === undefined || pattern.test(value)) return;
  throw new InputError(`invalid ${what} ${JSON.stringify(value)}`, { code: "bad-name", facts: { value }, hint });
}

/** Checks a container name. Throws {@linkcode InputError} `bad-name`. */
export function checkContainerName(name: string | undefined): void {
  checkName(name, NAME, "container name", NAME_HINT);
}

/** Refuses NUL characters in command, working directory and environment. Errors do not show values: they may be secrets. */
export function checkNul(
  command: readonly string[],
  { cwd = "", env = {} }: Pick<ContainerOptions, "cwd" | "env">,
): void {
  const refuse = (what: string): never => {
    throw new InputError(`invalid ${what}: NUL character`, { code: "nul-character" });
  };
  const word = command.findIndex((word) => word.includes("\0"));
  if (word >= 0) refuse(word === 0 ? "command" : `argument ${word} of the command`);
  if (cwd.includes("\0")) refuse("working directory");
  for (const [name, value] of Object.entries(env)) {
    if (`${name}${value}`.includes("\0")) refuse(`variable ${JSON.stringify(name)}`);
  }
}

/** Checks options, as far as that needs neither image nor host. Throws {@linkcode InputError}. */
export function checkOptions(command: readonly string[], options: ContainerOptions): void {
  if (command[0] === "") {
    throw new InputError("command required", {
      code: "no-command",
      hint: "add one after the image, such as /bin/sh",
    });
  }
  checkContainerName(options.name);
  checkName(options.hostname, HOSTNAME, "host name", HOSTNAME_HINT);
  if (options.stopSignal !== undefined) signalNumber(options.stopSignal);
  if (!Number.isFinite(options.stopTimeout ?? 0)) {
    throw new InputError(`invalid --stop-timeout ${options.stopTimeout}: number of seconds required`, {
      code: "bad-stop-timeout",
      facts: { stopTimeout: options.stopTimeout },
    });
  }
  checkNul(command, options);
  const name = Object.keys(options.env ?? {}).find((name) => name === "" || name.includes("="));
  if (name !== undefined) {
    throw new InputError(`invalid variable name ${JSON.stringify(name.replace(/=.*/s, "=…"))}`, {
      code: "bad-env",
      hint: "use env: { NAME: VALUE }",
    });
  }
  if (options.shmSize !== undefined && !(Number.isSafeInteger(options.shmSize) && options.shmSize >= 0)) {
    throw new InputError(`invalid --shm-size ${options.shmSize}: integer required`, {
      code: "bad-size",
      facts: { shmSize: options.shmSize },
    });
  }
  if (options.cwd !== undefined && (!options.cwd.startsWith("/") || options.cwd.split("/").includes(".."))) {
    throw new InputError(
      `invalid working directory ${JSON.stringify(options.cwd)}: it must be absolute and without ..`,
      {
        code: "bad-cwd",
        facts: { cwd: options.cwd },
      },
    );
  }
}

/**
 * Completes command and options from the image config.
 *
 * @throws {InputError} `no-command` if there is no command at all, and for an invalid image config.
 */
export async function completeFromImage<T extends ContainerOptions>(
  image: Image,
  command: readonly string[],
  options: T,
): Promise<{ command: readonly string[]; options: T }> {
  if (!image.settings && options.entrypoint === undefined && command.length > 0) return { command, options };
  const { applySettings } = await lazy.imageSettings();
  const complete = applySettings(command, options, image.settings);
  if (!image.settings?.Volumes) return complete;
  const { addImageVolumes } = await lazy.imageVolumes();
  return { ...complete, options: addImageVolumes(complete.options, image.settings.Volumes) };
}

// Without a user no file of the image is read.
const ROOT: User = { uid: 0, gid: 0, groups: [], home: "/root", name: "root" };

async function findUser(lower: readonly string[], { user, groups = [] }: ContainerOptions): Promise<User> {
  if (user === undefined && groups.length === 0) return ROOT;
  const { lookupGroups, lookupUser } = await lazy.passwd();
  const found = user === undefined ? ROOT : lookupUser(lower, user);
  return { ...found, groups: [...new Set([...found.groups, ...lookupGroups(lower, groups)])] };
}

function defaultOpenFiles(): Rlimit {
  // Deno raises its own soft limit; programs that use select(2) need the default.
  const hard = hardLimit(RLIMITS.nofile.value);
  return { resource: "nofile", soft: hard < 0 ? DEFAULT_OPEN_FILES : Math.min(hard, DEFAULT_OPEN_FILES), hard };
}

/** Parses mounts and devices, by a module that is loaded only if there are any. */
async function parseTexts(
  options: ContainerOptions,
  folder: string,
): Promise<{ mounts: UserMount[]; devices: Device[]; rules: readonly DeviceRule[] }> {
  const { volumes = [], tmpfs = [], devices = [], deviceRules = [], privileged = false } = options;
  if (!privileged && [volumes, tmpfs, devices, deviceRules].every((list) => list.length === 0)) {
    return { mounts: [], devices: [], rules: USUAL_DEVICES };
  }
  const { parseDevices, parseDeviceRule, parseMounts } = await lazy.parse();
  const found = parseDevices(devices, privileged), rules = deviceRules.map(parseDeviceRule);
  return {
    mounts: parseMounts(volumes, tmpfs, folder, privileged || rules.length > 0),
    devices: found,
    rules: [...USUAL_DEVICES, ...found, ...rules],
  };
}

async function resourceLimits({ ulimits = [] }: ContainerOptions): Promise<Rlimit[]> {
  if (ulimits.length === 0) return [defaultOpenFiles()];
  const { parseUlimit } = await lazy.parse();
  const last = new Map([defaultOpenFiles(), ...ulimits.map(parseUlimit)].map((rlimit) => [rlimit.resource, rlimit]));
  return [...last.values()];
}

function environment(options: ContainerOptions, user: User, hostname: string): string[] {
  const name = user.name ?? String(user.uid);
  const env: Record<string, string> = {
    PATH,
    HOME: user.home,
    USER: name,
    HOSTNAME: hostname,
    TERM: Deno.env.get("TERM") || "xterm",
    PS1: `${name}@${hostname}$ `,
    ...options.env,
  };
  return Object.entries(env).map(([key, value]) => `${key}=${value}`);
}

function ownership({ lower: [top = "/"] }: Image): Pick<Rootfs, "mode" | "uid" | "gid"> {
  const { mode, uid, gid } = ownershipOf(top) ?? { mode: 0o755, uid: 0, gid: 0 };
  return { mode: mode & 0o7777, uid, gid };
}

async function settings(options: ContainerOptions): Promise<KernelSetting[]> {
  if (options.sysctls === undefined && options.oomScoreAdj === undefined) return [];
  const { kernelSettings } = await lazy.kernelSettings();
  return kernelSettings(options);
}

let throttles: readonly string[] | undefined;

/**
 * Returns the thermal throttle counters of all processors, a side channel between containers. `processors` is the
 * directory of processors in sysfs.
 */
export function thermalFolders(processors: string): string[] {
  const folder = (number: number): string => `${processors}/cpu${number}/thermal_throttle`;
  if (modeOf(folder(0)) === undefined) return [];
  const ranges = (readSmallFile(`${processors}/possible`) ?? "0").trim().split(",").map((range) => range.split("-"));
  return ranges.flatMap(([first, last = first]) =>
    Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => folder(Number(first) + i))
  );
}

/** Returns the facts about a parent group that planning needs. */
function aboutParent(
  host: CgroupHost,
  parent: string | undefined,
): Pick<PlanOptions, "parent" | "hasParent" | "cpuset"> {
  if (parent === undefined) return {};
  const inside = (mount: string): string => `${mount}/${parent}`;
  const cpuset = host.controllers.get("cpuset");
  return {
    parent,
    hasParent: (mount) => modeOf(inside(mount)) !== undefined,
    cpuset: cpuset && (readCpuset(inside(cpuset.mount)) ?? host.cpuset),
  };
}

/**
 * Adds the device filter of cgroup v2 to the groups, if there is no devices controller of v1.
 *
 * @throws {CgroupError} `controller-missing` if rules are given and the host cannot enforce them.
 */
async function withDevices(
  host: CgroupHost,
  groups: readonly GroupPlan[],
  rules: readonly DeviceRule[],
  { asked, required }: { asked: boolean; required: boolean },
): Promise<readonly GroupPlan[]> {
  const v2 = groups.find(({ version }) => version === 2);
  if (host.controllers.get("devices")?.readOnly === false || (!v2 && !asked)) return groups;
  if (!v2) {
    throw new CgroupError("cannot enforce --device-cgroup-rule: no writable control groups", {
      code: "controller-missing",
      facts: { option: "--device-cgroup-rule", controller: "devices", layout: host.layout },
      hint: "mount v2 (mount -t cgroup2 cgroup2 /sys/fs/cgroup), or the devices controller of v1",
    });
  }
  const { deviceFilter } = await lazy.deviceFilter();
  const filter = { instructions: deviceFilter(rules), required: asked || required };
  return groups.map((group) => group === v2 ? { ...group, deviceFilter: filter } : group);
}

/** Returns the container's groups, and the hierarchies to mount: those with a limit. */
async function cgroups(
  id: string,
  { limits = {}, cgroupParent, privileged, deviceRules = [] }: ContainerOptions,
  rules: readonly DeviceRule[],
  capabilities: readonly Capability[],
): Promise<Pick<ContainerSpec, "cgroups" | "cgroupMounts">> {
  const host = thisHost(), about = aboutParent(host, cgroupParent);
  const plan = planCgroups(host, groupName(id), limits, { ...about, ...(privileged ? {} : { devices: rules }) });
  const needs = { asked: deviceRules.length > 0, required: capabilities.includes("MKNOD") };
  const groups = privileged ? plan.groups : await withDevices(host, plan.groups, rules, needs);
  const unified: CgroupMount = { name: "", type: "cgroup2", data: "" };
  return { cgroups: { groups }, cgroupMounts: host.layout === "v2" ? [unified] : groupMounts(groups) };
}

function groupMounts(groups: readonly GroupPlan[]): CgroupMount[] {
  return groups.filter(({ limited }) => limited).map(({ version, hierarchy }) =>
    version === 2
      ? { name: hierarchy, type: "cgroup2", data: "" }
      : { name: hierarchy, type: "cgroup", data: hierarchy }
  );
}

/** Returns the host name of a container. */
export function hostnameOf(id: string, { hostname }: ContainerOptions): string {
  return hostname ?? id;
}

/** Returns network and name files of a container without bridged networks; the reservation of addresses makes the others'. */
async function apart(
  options: ContainerOptions,
  hostname: string,
  containers: string,
): Promise<Pick<ContainerSpec, "network" | "files">> {
  const request = selectNetwork(options);
  if (request.mode === "bridge") return { network: { mode: "own", interfaces: [] }, files: [] };
  if (request.mode === "container") {
    const { joinContainer } = await lazy.networkJoin();
    return joinContainer(containers, request.container, hostname);
  }
  return {
    network: request.mode === "host" ? { mode: "host" } : { mode: "own", interfaces: [] },
    files: apartFiles(request.mode, hostname, options),
  };
}

/**
 * Returns the process of a command: identity, capabilities, environment and limits. Its user is looked up in the
 * directories `lower`.
 *
 * @throws {InputError} for invalid options, and `unknown-user`.
 */
export async function prepareProcess(
  lower: readonly string[],
  command: readonly string[],
  options: ContainerOptions,
  hostname: string,
): Promise<ProcessSpec> {
  const { privileged = false } = options;
  const user = await findUser(lower, options);
  const capabilities = chooseCapabilities(
    { add: options.capAdd, drop: options.capDrop, privileged },
    ownCapabilities(),
  );
  const asked = options.capAdd && user.uid !== 0
    ? chooseCapabilities({ add: options.capAdd, drop: ["ALL", ...options.capDrop ?? []] }, ownCapabilities())
    : [];
  return {
    args: command,
    env: environment(options, user, hostname),
    cwd: options.cwd ?? "/",
    identity: { uid: user.uid, gid: user.gid, groups: user.groups },
    capabilities,
    ambient: asked.filter((name) => capabilities.includes(name)),
    noNewPrivileges: !privileged && !options.allowNewPrivileges,
    rlimits: await resourceLimits(options),
    init: options.init ?? false,
  };
}

/**
 * Returns the specification of a container, without bridged networks.
 *
 * @throws {InputError} for invalid options, and `unknown-user`.
 * @throws {CgroupError} for limits that the host cannot set.
 */
export async function prepare(
  id: string,
  image: Image,
  command: readonly string[],
  options: ContainerOptions,
  folder: string,
): Promise<ContainerSpec> {
  checkOptions(command, options);
  const hostname = hostnameOf(id, options);
  const process = await prepareProcess(image.lower, command, options, hostname);
  const { mounts, devices, rules } = await parseTexts(options, folder);
  return {
    id,
    hostname,
    rootfs: {
      folder,
      lower: image.lower,
      ...ownership(image),
      readOnly: options.readOnly ?? false,
      volatile: !options.keep,
    },
    mounts,
    devices,
    ...await apart(options, hostname, folder.slice(0, folder.lastIndexOf("/"))),
    shmSize: options.shmSize ?? SHM_SIZE,
    ...await cgroups(id, options, rules, process.capabilities),
    settings: await settings(options),
    masked: throttles ??= thermalFolders("/sys/devices/system/cpu"),
    privileged: options.privileged ?? false,
    process,
  };
}
