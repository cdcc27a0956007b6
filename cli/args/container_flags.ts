/**
 * The flags of `run` and `explain`: what can be said of a container, and what it means to the library.
 *
 * @module
 */

import type { Limits } from "../../lib/cgroup/limits.ts";
import type { ContainerOptions, HealthCheck } from "../../lib/container/options.ts";
import type { PullPolicy } from "../../lib/store/image.ts";
import { InputError } from "../../lib/errors.ts";
import type { FolderOptions, Folders } from "../../lib/host/folders.ts";
import { lazy } from "../../lib/lazy.ts";
import { parseDuration } from "../../lib/text/duration.ts";
import { parseRate, parseSize } from "../../lib/text/size.ts";
import type { FlagTable } from "./normalize.ts";
import { type Flags, many, number, one, readFlags, tableOf, UsageError, word, yes } from "./flag_schema.ts";

/** Everything that can be said of a container to `run` and `explain`. */
export interface ContainerFlags extends FolderOptions {
  /** See the brief of each in {@linkcode FLAGS}. */
  readonly name?: string;
  readonly label?: readonly string[];
  readonly cidfile?: string;
  readonly entrypoint?: string;
  readonly pull?: PullPolicy;
  readonly platform?: string;
  readonly hostname?: string;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly groupAdd?: readonly string[];
  readonly init?: boolean;
  readonly stopSignal?: string;
  readonly stopTimeout?: number;
  readonly cpu?: number;
  readonly cpuShares?: number;
  readonly cpus?: number;
  readonly cpuQuota?: number;
  readonly cpuPeriod?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly mem?: number;
  readonly memory?: number;
  readonly memorySwap?: number;
  readonly memoryReservation?: number;
  readonly pidsLimit?: number;
  readonly ulimit?: readonly string[];
  readonly sysctl?: readonly string[];
  readonly oomScoreAdj?: number;
  readonly network?: readonly string[];
  readonly net?: readonly string[];
  readonly networkAlias?: readonly string[];
  readonly containerAddr?: string;
  readonly ip?: string;
  readonly bridgeAddr?: string;
  readonly publish?: readonly string[];
  readonly publishAll?: boolean;
  readonly expose?: readonly string[];
  readonly dns?: readonly string[];
  readonly dnsSearch?: readonly string[];
  readonly dnsOption?: readonly string[];
  readonly addHost?: readonly string[];
  readonly netRate?: number;
  readonly volume?: readonly string[];
  readonly mount?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly device?: readonly string[];
  readonly deviceCgroupRule?: readonly string[];
  readonly readOnly?: boolean;
  readonly shmSize?: number;
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly privileged?: boolean;
  readonly securityOpt?: readonly string[];
  readonly cgroupParent?: string;
  readonly rm?: boolean;
  readonly detach?: boolean;
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly restart?: string;
  readonly logDriver?: string;
  readonly logOpt?: readonly string[];
  readonly healthCmd?: string;
  readonly healthInterval?: number;
  readonly healthTimeout?: number;
  readonly healthRetries?: number;
  readonly healthStartPeriod?: number;
  readonly noHealthcheck?: boolean;
  readonly json?: boolean;
  /** Show the values of environment variables, as `explain` does. */
  readonly showEnv?: boolean;
}

function pullPolicy(text: string): PullPolicy {
  if (text === "always" || text === "missing" || text === "never") return text;
  throw new Error(`${JSON.stringify(text)} is not always, missing or never`);
}

function folder(text: string): string {
  if (!text.startsWith("-")) return text;
  throw new InputError("that is no folder", { code: "bad-folder", hint: "docker's -i is --interactive here, or -it" });
}

/** The flags. */
export const FLAGS: Flags<ContainerFlags> = {
  images: one("DIR", "Folder of images [default: see doctor]", folder),
  containers: word("DIR", "Folder of containers [default: see doctor]"),
  name: word("NAME", "Name of the container"),
  label: many("NAME=VALUE", "Note about it, which ps --filter label=NAME finds"),
  cidfile: word("FILE", "New file that gets the container's id"),
  entrypoint: word("PROGRAM", "What is executed before the command; empty for nothing [default: the image's]"),
  pull: one("POLICY", "Pull the image: always, missing or never [default: missing]", pullPolicy),
  platform: word("OS/ARCH", "Kind of machine that the image is for [default: this one]"),
  hostname: word("NAME", "Host name [default: the container's id]"),
  env: many("NAME=VALUE", "Environment variable; NAME alone takes the caller's value"),
  envFile: many("FILE", "File of environment variables, one a line"),
  workdir: word("DIR", "Working directory, made if missing [default: /]"),
  user: word("USER[:GROUP]", "User and group, by name or number [default: root]"),
  groupAdd: many("GROUP", "One more group of the user, by name or number"),
  init: yes("Put a PID 1 in front that forwards signals and reaps orphans"),
  stopSignal: word("SIGNAL", "Signal that asks the command to end [default: the image's, else TERM]"),
  stopTimeout: one("SECONDS", "Time to end before it is killed; -1 for ever [default: 10]", number),
  cpu: one("SHARES", "Same as --cpu-shares", number),
  cpuShares: one("SHARES", "Relative weight of CPU time [the kernel's default: 1024]", number),
  cpus: one("N", "CPU time at most, in CPUs", number),
  cpuQuota: one("MICROSECONDS", "The same as time in each --cpu-period", number),
  cpuPeriod: one("MICROSECONDS", "What --cpu-quota is part of [default: 100000]", number),
  cpusetCpus: word("0-3,5", "CPUs that may be used"),
  cpusetMems: word("0,1", "Memory nodes that may be used"),
  mem: one("SIZE", "Same as --memory", parseSize),
  memory: one("SIZE", "Memory at most, with b, k, m or g", parseSize),
  memorySwap: one(
    "SIZE",
    "Memory and swap together at most; -1 for no limit",
    (text) => text === "-1" ? -1 : parseSize(text),
  ),
  memoryReservation: one("SIZE", "Memory that the kernel tries to leave it", parseSize),
  pidsLimit: one("N", "Processes at most; 0 or -1 for no limit [default: 4096]", number),
  ulimit: many("NAME=SOFT[:HARD]", "Resource limit, such as nofile=1024:4096"),
  sysctl: many(
    "NAME=VALUE",
    "Setting of the kernel's for this container alone: net.*, fs.mqueue.*, kernel.sem and such",
  ),
  oomScoreAdj: one("N", "How likely it is killed for lack of memory, from -1000 to 1000", number),
  network: many("NAME", "Network: a bridged one, none, host or container:NAME [default: bridge, that is sauropod0]"),
  net: many("NAME", "Same as --network"),
  networkAlias: many("NAME", "Name by which siblings on its networks find it"),
  containerAddr: word("ADDRESS", "Its address on its first network [default: the next that is free]"),
  ip: word("ADDRESS", "Same as --container-addr"),
  bridgeAddr: word("ADDRESS/PREFIX", "This machine's address on sauropod0, replaces it [default: 10.10.10.1/24]"),
  publish: many("[IP:][HOST:]PORT[/udp]", "Port of this machine that leads to one of the container's"),
  publishAll: yes("Publish all exposed ports on free ports of this machine"),
  expose: many("PORT[/udp]", "Port for --publish-all"),
  dns: many("ADDRESS", "Name server [default: this machine's]"),
  dnsSearch: many("DOMAIN", "Domain in which to look for names [default: this machine's]"),
  dnsOption: many("OPTION", "Option of resolv.conf [default: this machine's]"),
  addHost: many("NAME:ADDRESS", "Line for /etc/hosts; host-gateway is this machine's address"),
  netRate: one("RATE", "Bits a second that may go each way, as 10mbit", parseRate),
  volume: many("[SOURCE:]TARGET[:ro]", "Folder or file of the host, or a folder of the container's own"),
  mount: many(
    "type=TYPE,…",
    "The same in words: type=bind,source=SOURCE,target=TARGET,readonly; also volume and tmpfs",
  ),
  tmpfs: many("TARGET[:OPTIONS]", "Folder in memory, such as /run:size=16m,mode=755"),
  device: many("PATH[:TARGET][:rwm]", "Device of the host"),
  deviceCgroupRule: many("RULE", "Devices that it may use beside, such as 'c 189:* rwm'"),
  readOnly: yes("Mount the container's root read-only"),
  shmSize: one("SIZE", "Size of /dev/shm [default: 64m]", parseSize),
  capAdd: many("CAP", "Capability to add, such as NET_ADMIN, or ALL"),
  capDrop: many("CAP", "Capability to take away, or ALL"),
  privileged: yes("All capabilities and devices, nothing hidden: the container may own the machine"),
  securityOpt: many("OPTION", "no-new-privileges=false lets set-user-id programs gain privileges"),
  cgroupParent: word("PATH", "Existing control group to make the container's in"),
  rm: yes("Remove the container when it has ended"),
  detach: yes("Let it run in the background, and print its id"),
  interactive: yes("With --detach: keep standard input open for attach"),
  tty: yes("Give the container a terminal [default: if standard input is one]"),
  restart: word("POLICY", "With --detach: no, on-failure[:TIMES], always or unless-stopped [default: no]"),
  logDriver: word("DRIVER", "With --detach: none for no log [default: json-file, in files]"),
  logOpt: many("NAME=VALUE", "With --detach: max-size=10m, the size of a log file; max-file=3, how many"),
  healthCmd: word("COMMAND", "With --detach: for /bin/sh -c in it; ends with 0 if the container is well"),
  healthInterval: one("TIME", "Time between two checks [default: 30s]", parseDuration),
  healthTimeout: one("TIME", "Time after which a check has failed [default: 30s]", parseDuration),
  healthRetries: one("N", "Failures in a row that make it unhealthy [default: 3]", number),
  healthStartPeriod: one("TIME", "Time after the start in which failures do not count [default: 0s]", parseDuration),
  noHealthcheck: yes("Nobody asks whether it is well"),
  json: yes("Print JSON (explain only)"),
  showEnv: yes("Show values of environment variables (explain only)"),
};

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

/** What `arrange` must know of the flags. */
export const FLAG_TABLE: FlagTable = tableOf(FLAGS, SHORT);

/**
 * Reads arranged words: flags, then `--`, the image, and the command.
 *
 * @throws {UsageError}
 */
export function readWords(
  words: readonly string[],
  name = "run",
): { flags: ContainerFlags; image: string; command: string[] } {
  const { values: flags, rest: [image, ...command] } = readFlags(name, FLAGS, words);
  if (image !== undefined) return { flags, image, command };
  throw new UsageError(name, { kind: "missing", names: [name === "fork" ? "CONTAINER" : "IMAGE"] });
}

// What lifts restrictions that containers do not have here is true already.
const SECURITY = /^(no-new-privileges([=:](true|false))?|(seccomp|apparmor)[=:]unconfined|label[=:]disable)$/;

function allowsNewPrivileges(options: readonly string[]): boolean {
  const unknown = options.find((option) => !SECURITY.test(option));
  if (unknown === undefined) return options.some((option) => option.endsWith("false"));
  throw new InputError(`unknown --security-opt ${unknown}`, {
    code: "bad-security-opt",
    facts: { option: unknown },
    hint: "no-new-privileges=true (the default) or no-new-privileges=false",
  });
}

async function environment({ env = [], envFile = [] }: ContainerFlags): Promise<Record<string, string>> {
  if (env.length + envFile.length === 0) return {};
  return (await lazy.environment()).readEnvironment(env, envFile);
}

async function labels({ label }: ContainerFlags): Promise<Pick<ContainerOptions, "labels">> {
  if (label === undefined) return {};
  const { parseLabels } = await lazy.labels();
  return { labels: parseLabels(label) };
}

async function mounts({ volume, tmpfs, mount }: ContainerFlags): Promise<Pick<ContainerOptions, "volumes" | "tmpfs">> {
  if (mount === undefined) return { volumes: volume, tmpfs };
  const { readMounts } = await lazy.mountOption(), more = readMounts(mount);
  return { volumes: [...volume ?? [], ...more.volumes], tmpfs: [...tmpfs ?? [], ...more.tmpfs] };
}

async function sysctls({ sysctl }: ContainerFlags): Promise<Pick<ContainerOptions, "sysctls">> {
  if (sysctl === undefined) return {};
  const { parseSysctls } = await lazy.kernelSettings();
  return { sysctls: parseSysctls(sysctl) };
}

const USUAL_PERIOD = 100_000;

/** CPU time as docker's older flags have it. */
function cpus({ cpus, cpuQuota, cpuPeriod = USUAL_PERIOD }: ContainerFlags): number | undefined {
  if (cpuQuota === undefined || cpuQuota < 0) return cpus;
  if (cpus === undefined && cpuPeriod > 0) return cpuQuota / cpuPeriod;
  throw new InputError("--cpus and --cpu-quota say the same: give one of them, and a --cpu-period above 0", {
    code: "bad-cpus",
    hint: "--cpus 1.5",
  });
}

/** The limits that flags ask for. */
export function limitsOf(flags: ContainerFlags): Limits {
  return {
    cpuShares: flags.cpuShares ?? flags.cpu,
    cpus: cpus(flags),
    cpusetCpus: flags.cpusetCpus,
    cpusetMems: flags.cpusetMems,
    memory: flags.memory ?? flags.mem,
    memorySwap: flags.memorySwap,
    memoryReservation: flags.memoryReservation,
    pids: flags.pidsLimit,
  };
}

// What docker and podman call logs in files.
const FILES = "json-file", LOG_DRIVERS: readonly string[] = [FILES, "local", "k8s-file"];

/** What is asked of the log: docker's names for it. */
function logOptions(
  { logDriver = FILES, logOpt = [] }: ContainerFlags,
): Pick<ContainerOptions, "logSize" | "logFiles"> {
  if (logDriver === "none") return { logSize: 0 };
  if (!LOG_DRIVERS.includes(logDriver)) {
    throw new InputError(`there is no log driver ${JSON.stringify(logDriver)}`, {
      code: "bad-log-driver",
      facts: { logDriver },
      hint: "none for no log; without --log-driver it is in files",
    });
  }
  const options: Pick<ContainerOptions, "logSize" | "logFiles"> = {};
  for (const option of logOpt) {
    const [, name, value = ""] = /^(max-size|max-file)=(.+)$/.exec(option) ?? [];
    if (name === "max-size") options.logSize = parseSize(value);
    else if (name === "max-file" && /^[1-9]\d{0,3}$/.test(value)) options.logFiles = Number(value);
    else {
      throw new InputError(`--log-opt ${option} is not known`, {
        code: "bad-log-option",
        facts: { option },
        hint: "max-size=10m, max-file=3",
      });
    }
  }
  return options;
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

/** What only a container that outlives the command can have. */
function detachedOptions(flags: ContainerFlags): Partial<ContainerOptions> {
  const health = healthCheck(flags);
  return {
    interactive: flags.interactive,
    tty: flags.tty,
    restart: flags.restart,
    ...logOptions(flags),
    ...(health ? { health } : {}),
  };
}

function networkOptions(flags: ContainerFlags): Partial<ContainerOptions> {
  return {
    network: [...flags.network ?? [], ...flags.net ?? []],
    networkAliases: flags.networkAlias,
    containerAddress: flags.containerAddr ?? flags.ip,
    bridgeAddress: flags.bridgeAddr,
    publish: flags.publish,
    publishAll: flags.publishAll,
    expose: flags.expose,
    dns: flags.dns,
    dnsSearch: flags.dnsSearch,
    dnsOptions: flags.dnsOption,
    addHosts: flags.addHost,
    netRate: flags.netRate,
  };
}

/** What the flags ask of the library. Throws {@linkcode InputError} for what it cannot read. */
export async function containerOptions(flags: ContainerFlags, folders: Folders): Promise<ContainerOptions> {
  return {
    images: folders.images,
    containers: folders.containers,
    name: flags.name,
    entrypoint: flags.entrypoint,
    pull: flags.pull,
    platform: flags.platform,
    hostname: flags.hostname,
    env: await environment(flags),
    cwd: flags.workdir,
    user: flags.user,
    groups: flags.groupAdd,
    init: flags.init,
    stopSignal: flags.stopSignal,
    stopTimeout: flags.stopTimeout,
    ...await labels(flags),
    limits: limitsOf(flags),
    ulimits: flags.ulimit,
    ...await sysctls(flags),
    oomScoreAdj: flags.oomScoreAdj,
    ...networkOptions(flags),
    ...await mounts(flags),
    devices: flags.device,
    deviceRules: flags.deviceCgroupRule,
    readOnly: flags.readOnly,
    shmSize: flags.shmSize,
    capAdd: flags.capAdd,
    capDrop: flags.capDrop,
    privileged: flags.privileged,
    allowNewPrivileges: flags.securityOpt && allowsNewPrivileges(flags.securityOpt),
    cgroupParent: flags.cgroupParent,
    ...detachedOptions(flags),
  };
}
