/**
 * The flags that describe a container, and what they mean to the library. `run` and `explain` share them.
 *
 * @module
 */

import type { FlagParametersForType } from "npm:@stricli/core@1.3.0";
import type { Limits } from "../lib/cgroup/limits.ts";
import type { ContainerOptions } from "../lib/container/options.ts";
import { parseEnv, parseEnvFile } from "../lib/environment.ts";
import { InputError, messageOf } from "../lib/errors.ts";
import type { Folders } from "../lib/folders.ts";
import { parseSize } from "../lib/size.ts";

/** Where images and containers live. */
export interface FolderFlags {
  /** The folder of images. */
  readonly images?: string;
  /** The folder of containers. */
  readonly containers?: string;
}

/** Everything that can be said of a container. */
export interface ContainerFlags extends FolderFlags {
  /** See the brief of each in {@linkcode containerFlags}. */
  readonly name?: string;
  readonly hostname?: string;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly init?: boolean;
  readonly cpu?: number;
  readonly cpuShares?: number;
  readonly cpus?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly mem?: number;
  readonly memory?: number;
  readonly memorySwap?: number;
  readonly memoryReservation?: number;
  readonly pidsLimit?: number;
  readonly ulimit?: readonly string[];
  readonly network?: "none" | "host";
  readonly volume?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly device?: readonly string[];
  readonly readOnly?: boolean;
  readonly shmSize?: number;
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly privileged?: boolean;
  readonly securityOpt?: readonly string[];
  readonly cgroupParent?: string;
}

const text = (input: string): string => input;

function number(input: string): number {
  const value = Number(input);
  if (input.trim() === "" || !Number.isFinite(value)) throw new Error(`${JSON.stringify(input)} is not a number`);
  return value;
}

function size(input: string): number {
  return input === "-1" ? -1 : parseSize(input);
}

function one<T>(brief: string, placeholder: string, parse: (input: string) => T): {
  kind: "parsed";
  brief: string;
  placeholder: string;
  parse: (input: string) => T;
  optional: true;
} {
  // The parser shows no placeholders beside flags.
  return { kind: "parsed", brief: `${placeholder}: ${brief}`, placeholder, parse, optional: true };
}

function many(brief: string, placeholder: string): ReturnType<typeof one<string>> & { variadic: true } {
  return { ...one(brief, placeholder, text), variadic: true };
}

function yes(brief: string): { kind: "boolean"; brief: string; optional: true; withNegated: false } {
  return { kind: "boolean", brief, optional: true, withNegated: false };
}

/** The flags of {@linkcode FolderFlags}. */
export const folderFlags: FlagParametersForType<FolderFlags> = {
  images: one("Folder of images [default: see doctor]", "DIR", text),
  containers: one("Folder of containers [default: see doctor]", "DIR", text),
};

/** The short forms of {@linkcode folderFlags}. */
export const folderAliases = { i: "images", c: "containers" } as const;

/** The flags of {@linkcode ContainerFlags}. */
export const containerFlags: FlagParametersForType<ContainerFlags> = {
  ...folderFlags,
  name: one("Name of the container", "NAME", text),
  hostname: one("Host name [default: the container's id]", "NAME", text),
  env: many("Environment variable; NAME alone takes the caller's value", "NAME=VALUE"),
  envFile: many("File of environment variables, one a line", "FILE"),
  workdir: one("Working directory, made if missing [default: /]", "DIR", text),
  user: one("User and group, by name or number [default: root]", "USER[:GROUP]", text),
  init: yes("Put a PID 1 in front that forwards signals and reaps orphans"),
  cpu: one("Same as --cpu-shares", "SHARES", number),
  cpuShares: one("Relative weight of CPU time [the kernel's default: 1024]", "SHARES", number),
  cpus: one("CPU time at most, in CPUs", "N", number),
  cpusetCpus: one("CPUs that may be used", "0-3,5", text),
  cpusetMems: one("Memory nodes that may be used", "0,1", text),
  mem: one("Same as --memory", "SIZE", parseSize),
  memory: one("Memory at most, with b, k, m or g", "SIZE", parseSize),
  memorySwap: one("Memory and swap together at most; -1 for no limit", "SIZE", size),
  memoryReservation: one("Memory that the kernel tries to leave it", "SIZE", parseSize),
  pidsLimit: one("Processes at most; -1 for no limit", "N", number),
  ulimit: many("Resource limit, such as nofile=1024:4096", "NAME=SOFT[:HARD]"),
  network: {
    kind: "enum",
    values: ["none", "host"],
    brief: "none: its own, with lo only; host: the host's [default: none]",
    optional: true,
  },
  volume: many("Folder or file of the host in the container", "SOURCE:TARGET[:ro]"),
  tmpfs: many("Folder in memory, such as /run:size=16m,mode=755", "TARGET[:OPTIONS]"),
  device: many("Device of the host", "PATH[:TARGET]"),
  readOnly: yes("Mount the container's root read-only"),
  shmSize: one("Size of /dev/shm [default: 64m]", "SIZE", parseSize),
  capAdd: many("Capability to add, such as NET_ADMIN, or ALL", "CAP"),
  capDrop: many("Capability to take away, or ALL", "CAP"),
  privileged: yes("All capabilities and devices, nothing hidden: the container may own the machine"),
  securityOpt: many("no-new-privileges=false lets set-user-id programs gain privileges", "OPTION"),
  cgroupParent: one("Existing control group to make the container's in", "PATH", text),
};

/** The short forms of {@linkcode containerFlags}. */
export const containerAliases = {
  ...folderAliases,
  e: "env",
  w: "workdir",
  u: "user",
  m: "memory",
  v: "volume",
} as const;

function allowsNewPrivileges(options: readonly string[]): boolean {
  for (const option of options) {
    if (!/^no-new-privileges([=:](true|false))?$/.test(option)) {
      throw new InputError(`unknown --security-opt ${option}`, {
        code: "bad-security-opt",
        hint: "no-new-privileges=true (the default) or no-new-privileges=false",
      });
    }
  }
  return options.some((option) => option.endsWith("false"));
}

function environment(flags: ContainerFlags): Record<string, string> {
  const files = (flags.envFile ?? []).map((path) => {
    try {
      return parseEnvFile(Deno.readTextFileSync(path));
    } catch (error) {
      if (error instanceof InputError) throw error;
      throw new InputError(`--env-file ${path}: ${messageOf(error)}`, { code: "bad-env-file", cause: error });
    }
  });
  return Object.assign({}, ...files, parseEnv(flags.env ?? []));
}

function limits(flags: ContainerFlags): Limits {
  return {
    cpuShares: flags.cpuShares ?? flags.cpu,
    cpus: flags.cpus,
    cpusetCpus: flags.cpusetCpus,
    cpusetMems: flags.cpusetMems,
    memory: flags.memory ?? flags.mem,
    memorySwap: flags.memorySwap,
    memoryReservation: flags.memoryReservation,
    pids: flags.pidsLimit,
  };
}

/** What the flags ask of the library. Throws {@linkcode InputError} for what it cannot read. */
export function containerOptions(flags: ContainerFlags, folders: Folders): ContainerOptions {
  return {
    images: folders.images,
    containers: folders.containers,
    name: flags.name,
    hostname: flags.hostname,
    env: environment(flags),
    cwd: flags.workdir,
    user: flags.user,
    init: flags.init,
    limits: limits(flags),
    ulimits: flags.ulimit,
    network: flags.network,
    volumes: flags.volume,
    tmpfs: flags.tmpfs,
    devices: flags.device,
    readOnly: flags.readOnly,
    shmSize: flags.shmSize,
    capAdd: flags.capAdd,
    capDrop: flags.capDrop,
    privileged: flags.privileged,
    allowNewPrivileges: allowsNewPrivileges(flags.securityOpt ?? []),
    cgroupParent: flags.cgroupParent,
  };
}
