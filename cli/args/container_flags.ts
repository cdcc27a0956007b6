/**
 * Flags of `run`, `create`, `fork` and `explain`, and the container options that they set.
 *
 * @module
 */

import type { Limits } from "../../lib/cgroup/limits.ts";
import type { ContainerOptions, HealthCheck } from "../../lib/container/options.ts";
import type { PullPolicy } from "../../lib/store/image.ts";
import { InputError } from "../../lib/errors.ts";
import type { Folders } from "../../lib/host/folders.ts";
import { lazy } from "../../lib/lazy.ts";
import { parseDuration } from "../../lib/text/duration.ts";
import { parseRate, parseSize } from "../../lib/text/size.ts";
import type { FlagTable } from "./normalize.ts";
import {
  type Flag,
  many,
  number,
  one,
  readFlags,
  tableOf,
  UsageError,
  type ValuesOf,
  word,
  yes,
} from "./flag_schema.ts";

/** A flag that may set a container option by itself. */
interface OptionFlag<T> extends Flag<T> {
  /** Sets the option, if the flag was given. Default: {@linkcode containerOptions} reads the flag. */
  set?(options: ContainerOptions, value?: T): void;
}

function option<K extends keyof ContainerOptions, T extends NonNullable<ContainerOptions[K]>>(
  name: K,
  flag: Flag<T>,
): OptionFlag<T> {
  return { ...flag, set: (options, value) => void (value !== undefined && (options[name] = value)) };
}

function limit<K extends keyof Limits, T extends NonNullable<Limits[K]>>(name: K, flag: Flag<T>): OptionFlag<T> {
  return { ...flag, set: (options, value) => void (value !== undefined && ((options.limits ??= {})[name] = value)) };
}

function pullPolicy(text: string): PullPolicy {
  if (text === "always" || text === "missing" || text === "never") return text;
  throw new Error("expected always, missing or never");
}

function directory(text: string): string {
  if (!text.startsWith("-")) return text;
  throw new InputError("expected a directory", {
    code: "bad-folder",
    hint: "write docker's -i as --interactive, or as -it",
  });
}

function swapSize(text: string): number {
  return text === "-1" ? -1 : parseSize(text);
}

/** The flags, each with the option it sets; those without one are read by {@linkcode containerOptions} or the command. */
export const FLAGS = {
  images: one("DIR", "Directory of images [default: see doctor]", directory),
  containers: word("DIR", "Directory of containers [default: see doctor]"),
  name: option("name", word("NAME", "Assign a name to the container")),
  label: many("NAME=VALUE", "Set a label, for ps --filter label=NAME"),
  cidfile: word("FILE", "Write the container ID to a new file"),
  entrypoint: option("entrypoint", word("PROGRAM", "Override the image's entry point; empty for none")),
  pull: option("pull", one("POLICY", "Pull the image: always, missing or never [default: missing]", pullPolicy)),
  platform: option("platform", word("OS/ARCH", "Set the image's platform [default: this machine's]")),
  hostname: option("hostname", word("NAME", "Set the host name [default: the container ID]")),
  env: many("NAME=VALUE", "Set an environment variable; NAME alone copies the caller's"),
  envFile: many("FILE", "Read environment variables from a file, one a line"),
  workdir: option("cwd", word("DIR", "Set the working directory, created if missing [default: /]")),
  user: option("user", word("USER[:GROUP]", "Set user and group, by name or ID [default: root]")),
  groupAdd: option("groups", many("GROUP", "Add a supplementary group, by name or ID")),
  init: option("init", yes("Run an init that forwards signals and reaps processes")),
  stopSignal: option("stopSignal", word("SIGNAL", "Set the stop signal [default: the image's, else TERM]")),
  stopTimeout: option("stopTimeout", one("SECONDS", "Set the time before stop kills; -1 never [default: 10]", number)),
  cpu: limit("cpuShares", one("SHARES", "Same as --cpu-shares", number)),
  cpuShares: limit("cpuShares", one("SHARES", "Set the relative CPU weight [kernel default: 1024]", number)),
  cpus: limit("cpus", one("N", "Limit CPU time to N CPUs", number)),
  cpuQuota: one("MICROSECONDS", "Limit CPU time in each --cpu-period", number),
  cpuPeriod: one("MICROSECONDS", "Set the period of --cpu-quota [default: 100000]", number),
  cpusetCpus: limit("cpusetCpus", word("0-3,5", "Limit execution to these CPUs")),
  cpusetMems: limit("cpusetMems", word("0,1", "Limit execution to these memory nodes")),
  mem: limit("memory", one("SIZE", "Same as --memory", parseSize)),
  memory: limit("memory", one("SIZE", "Limit memory, with b, k, m or g", parseSize)),
  memorySwap: limit("memorySwap", one("SIZE", "Limit memory plus swap; -1 for unlimited", swapSize)),
  memoryReservation: limit("memoryReservation", one("SIZE", "Set the soft limit of memory", parseSize)),
  pidsLimit: limit("pids", one("N", "Limit processes; 0 or -1 for unlimited [default: 4096]", number)),
  ulimit: option("ulimits", many("NAME=SOFT[:HARD]", "Set a resource limit, such as nofile=1024:4096")),
  sysctl: many("NAME=VALUE", "Set a namespaced sysctl: net.*, fs.mqueue.*, kernel.sem and such"),
  oomScoreAdj: option("oomScoreAdj", one("N", "Set the OOM score adjustment, -1000 to 1000", number)),
  network: many(
    "NAME",
    "Join a network: a bridged one, none, host or container:NAME [default: bridge, that is sauropod0]",
  ),
  net: many("NAME", "Same as --network"),
  networkAlias: option("networkAliases", many("NAME", "Add a name for peers on its networks")),
  ip: option("containerAddress", word("ADDRESS", "Same as --container-addr")),
  containerAddr: option(
    "containerAddress",
    word("ADDRESS", "Set the address on the first network [default: a free one]"),
  ),
  bridgeAddr: option(
    "bridgeAddress",
    word("ADDRESS/PREFIX", "Replace the host's address on sauropod0 [default: 10.10.10.1/24]"),
  ),
  publish: option("publish", many("[IP:][HOST:]PORT[/udp]", "Publish a container port on the host")),
  publishAll: option("publishAll", yes("Publish all exposed ports on free host ports")),
  expose: option("expose", many("PORT[/udp]", "Expose a port to --publish-all")),
  dns: option("dns", many("ADDRESS", "Set a name server [default: the host's]")),
  dnsSearch: option("dnsSearch", many("DOMAIN", "Set a DNS search domain [default: the host's]")),
  dnsOption: option("dnsOptions", many("OPTION", "Set a resolv.conf option [default: the host's]")),
  addHost: option("addHosts", many("NAME:ADDRESS", "Add a line to /etc/hosts; host-gateway is the host")),
  netRate: option("netRate", one("RATE", "Limit bits per second each way, as 10mbit", parseRate)),
  volume: option("volumes", many("[SOURCE:]TARGET[:ro]", "Bind mount a host path, or create a volume")),
  mount: many("type=TYPE,…", "Mount bind, volume or tmpfs: type=bind,source=SOURCE,target=TARGET,readonly"),
  tmpfs: option("tmpfs", many("TARGET[:OPTIONS]", "Mount a tmpfs, such as /run:size=16m,mode=755")),
  device: option("devices", many("PATH[:TARGET][:rwm]", "Add a host device")),
  deviceCgroupRule: option("deviceRules", many("RULE", "Allow more devices, such as 'c 189:* rwm'")),
  readOnly: option("readOnly", yes("Mount the root filesystem read-only")),
  shmSize: option("shmSize", one("SIZE", "Set the size of /dev/shm [default: 64m]", parseSize)),
  capAdd: option("capAdd", many("CAP", "Add a capability, such as NET_ADMIN, or ALL")),
  capDrop: option("capDrop", many("CAP", "Drop a capability, or ALL")),
  privileged: option("privileged", yes("Give all capabilities and devices: control of the host")),
  securityOpt: many("OPTION", "Set no-new-privileges=false to allow set-user-ID programs"),
  cgroupParent: option("cgroupParent", word("PATH", "Set an existing parent cgroup")),
  rm: yes("Remove the container when it exits"),
  detach: yes("Run in the background, print the container ID"),
  interactive: option("interactive", yes("With --detach, keep standard input open for attach")),
  tty: option("tty", yes("Allocate a terminal [default: if standard input is one]")),
  restart: option(
    "restart",
    word("POLICY", "With --detach, restart: no, on-failure[:TIMES], always or unless-stopped [default: no]"),
  ),
  logDriver: word("DRIVER", "With --detach, set none for no log [default: json-file]"),
  logOpt: many("NAME=VALUE", "With --detach, set max-size=10m or max-file=3 of the log"),
  healthCmd: word("COMMAND", "With --detach, check health by a shell command"),
  healthInterval: one("TIME", "Set the time between checks [default: 30s]", parseDuration),
  healthTimeout: one("TIME", "Set the timeout of a check [default: 30s]", parseDuration),
  healthRetries: one("N", "Set the failures that make it unhealthy [default: 3]", number),
  healthStartPeriod: one("TIME", "Ignore failures after the start [default: 0s]", parseDuration),
  noHealthcheck: yes("Disable the health check"),
  json: yes("Print JSON (explain only)"),
  showEnv: yes("Show values of environment variables (explain only)"),
};

type Values = ValuesOf<typeof FLAGS>;

/** Values of {@linkcode FLAGS}; those not given are absent. */
export type ContainerFlags = Partial<Values>;

/** The short forms of {@linkcode FLAGS}. */
export const SHORT = {
  i: "images",
  c: "containers",
  h: "hostname",
  e: "env",
  w: "workdir",
  u: "user",
  m: "memory",
  v: "volume",
  p: "publish",
  P: "publishAll",
  l: "label",
  t: "tty",
  d: "detach",
} as const;

/** The flags as `normalizeArgs` needs them. */
export const FLAG_TABLE: FlagTable = tableOf(FLAGS, SHORT);

/**
 * Reads normalized words: flags, then `--`, the image, and the command.
 *
 * @throws {UsageError}
 */
export function readWords(
  words: readonly string[],
  name = "run",
): { flags: ContainerFlags; image: string; command: string[] } {
  const { values: flags, rest: [image, ...command] } = readFlags<Values>(name, FLAGS, words);
  if (image !== undefined) return { flags, image, command };
  throw new UsageError(name, { kind: "missing", names: [name === "fork" ? "CONTAINER" : "IMAGE"] });
}

// Restrictions that no container has here are lifted already.
const SECURITY = /^(no-new-privileges([=:](true|false))?|(seccomp|apparmor)[=:]unconfined|label[=:]disable)$/;

function allowsNewPrivileges(options: readonly string[]): boolean {
  const unknown = options.find((option) => !SECURITY.test(option));
  if (unknown === undefined) return options.some((option) => option.endsWith("false"));
  throw new InputError(`invalid --security-opt ${JSON.stringify(unknown)}`, {
    code: "bad-security-opt",
    facts: { option: unknown },
    hint: "use no-new-privileges=true (the default) or no-new-privileges=false",
  });
}

const DEFAULT_PERIOD = 100_000;

/** Returns the CPU limit of docker's older flags. */
function quotaOf({ cpus, cpuQuota, cpuPeriod = DEFAULT_PERIOD }: ContainerFlags): number | undefined {
  if (cpuQuota === undefined || cpuQuota < 0) return undefined;
  if (cpus === undefined && cpuPeriod > 0) return cpuQuota / cpuPeriod;
  throw new InputError("--cpus and --cpu-quota cannot be combined, and --cpu-period must be above 0", {
    code: "bad-cpus",
    hint: "use --cpus 1.5",
  });
}

// docker's and podman's names for logs in files.
const FILES = "json-file", LOG_DRIVERS: readonly string[] = [FILES, "local", "k8s-file"];

function setLog(options: ContainerOptions, { logDriver = FILES, logOpt = [] }: ContainerFlags): void {
  if (logDriver === "none") options.logSize = 0;
  else if (!LOG_DRIVERS.includes(logDriver)) {
    throw new InputError(`invalid --log-driver ${JSON.stringify(logDriver)}`, {
      code: "bad-log-driver",
      facts: { logDriver },
      hint: "use none for no log, or leave it out for a log in files",
    });
  }
  for (const option of logDriver === "none" ? [] : logOpt) {
    const [, name, value = ""] = /^(max-size|max-file)=(.+)$/.exec(option) ?? [];
    if (name === "max-size") options.logSize = parseSize(value);
    else if (name === "max-file" && /^[1-9]\d{0,3}$/.test(value)) options.logFiles = Number(value);
    else {
      throw new InputError(`invalid --log-opt ${JSON.stringify(option)}`, {
        code: "bad-log-option",
        facts: { option },
        hint: "use max-size=10m or max-file=3",
      });
    }
  }
}

function healthCheck(flags: ContainerFlags): HealthCheck | undefined {
  if (flags.noHealthcheck || flags.healthCmd === undefined || flags.healthCmd === "none") return undefined;
  return {
    command: flags.healthCmd,
    interval: flags.healthInterval,
    timeout: flags.healthTimeout,
    startPeriod: flags.healthStartPeriod,
    retries: flags.healthRetries,
  };
}

function setAll<V>(
  flags: { readonly [K in keyof V]: OptionFlag<V[K]> },
  values: Partial<V>,
  options: ContainerOptions,
): void {
  for (const name in flags) flags[name].set?.(options, values[name]);
}

/** Returns the limits that flags set. */
export function limitsOf(flags: ContainerFlags): Limits {
  const limits: Limits = { cpus: quotaOf(flags) };
  setAll<Values>(FLAGS, flags, { limits });
  return limits;
}

/**
 * Returns the container options that flags set.
 *
 * @throws {InputError} for values that cannot be read.
 */
export async function containerOptions(flags: ContainerFlags, folders: Folders): Promise<ContainerOptions> {
  const { env = [], envFile = [], label, sysctl, network = [], net = [], mount, securityOpt } = flags;
  const options: ContainerOptions = { limits: { cpus: quotaOf(flags) } }, health = healthCheck(flags);
  setAll<Values>(FLAGS, flags, options);
  options.images = folders.images;
  options.containers = folders.containers;
  if (env.length + envFile.length > 0) options.env = await (await lazy.environment()).readEnvironment(env, envFile);
  if (label) options.labels = (await lazy.labels()).parseLabels(label);
  if (sysctl) options.sysctls = (await lazy.kernelSettings()).parseSysctls(sysctl);
  if (network.length + net.length > 0) options.network = [...network, ...net];
  if (mount) {
    const { volumes, tmpfs } = (await lazy.mountOption()).readMounts(mount);
    options.volumes = [...options.volumes ?? [], ...volumes];
    options.tmpfs = [...options.tmpfs ?? [], ...tmpfs];
  }
  if (securityOpt) options.allowNewPrivileges = allowsNewPrivileges(securityOpt);
  setLog(options, flags);
  if (health) options.health = health;
  return options;
}
