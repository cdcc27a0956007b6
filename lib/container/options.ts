/**
 * What a user can ask of a container, and the parsing of those options that are written as text.
 *
 * @module
 */

import { RLIMITS } from "../../ffi/calls.ts";
import type { Limits } from "../cgroup/limits.ts";
import { parseSize } from "../cgroup/limits.ts";
import { InputError } from "../errors.ts";
import type { FolderOptions } from "../folders.ts";
import type { BindMount, Device, Rlimit, TmpfsMount } from "../spec.ts";

/** What one of the command's standard streams is connected with, as in `Deno.Command`. */
export type StreamOption = "piped" | "inherit" | "null";

/** Options of a container. All are optional; the doc comment of each says what it is without. */
export interface ContainerOptions extends FolderOptions {
  /** A name of its own for the container. Default: none; its id is enough to find it. */
  name?: string;
  /** The container's host name. Default: its id. */
  hostname?: string;
  /** Environment variables beside PATH, HOME, USER, HOSTNAME, TERM and PS1, which they can replace. */
  env?: Readonly<Record<string, string>>;
  /** The working directory, absolute; made if missing. Default: `/`. */
  cwd?: string;
  /** `NAME|UID[:GROUP|GID]`, names from the image's `/etc/passwd` and `/etc/group`. Default: root. */
  user?: string;
  /** Put a PID 1 in front of the command that forwards signals and reaps orphans. Default: false. */
  init?: boolean;
  /** Limits on CPU, memory and processes. Default: none. */
  limits?: Limits;
  /** Resource limits as `NAME=SOFT[:HARD]`, such as `nofile=1024:4096`; -1 or `unlimited` is no limit. */
  ulimits?: readonly string[];
  /** `none`: a network namespace with `lo` only; `host`: the host's network. Default: `none`. */
  network?: "none" | "host";
  /** Files and folders of the host as `SOURCE:TARGET[:ro]`; a relative source begins at the working directory. */
  volumes?: readonly string[];
  /** Folders in memory as `TARGET[:OPTIONS]`, options as tmpfs(5) has them, and `exec`. */
  tmpfs?: readonly string[];
  /** Devices of the host as `PATH[:TARGET]`. */
  devices?: readonly string[];
  /** Mount the container's root read-only. Default: false. */
  readOnly?: boolean;
  /** Size of /dev/shm in bytes. Default: 64 MiB. */
  shmSize?: number;
  /** Capabilities to add to the default ones, such as `NET_ADMIN`, or `ALL`. */
  capAdd?: readonly string[];
  /** Capabilities to take away, or `ALL`. */
  capDrop?: readonly string[];
  /** All capabilities and devices, nothing masked. Only for commands that may own the machine. Default: false. */
  privileged?: boolean;
  /** Let set-user-id programs of the image gain privileges. Default: false. */
  allowNewPrivileges?: boolean;
  /** The control group to make the container's below, such as `/machine`. It must exist. Default: the top. */
  cgroupParent?: string;
  /** Keep the container's folder when it has ended. Default: false; the command line keeps unless `--rm`. */
  keep?: boolean;
}

function refuse(message: string, code: string, facts: Record<string, unknown>, hint?: string): never {
  throw new InputError(message, { code, facts, hint });
}

function containerPath(path: string, option: string, whole: string): string {
  const parts = path.split("/");
  if (!path.startsWith("/") || parts.includes("..")) {
    refuse(`${option} ${whole}: the path in the container must be absolute and without ..`, "bad-mount", {
      value: whole,
    });
  }
  const clean = "/" + parts.filter((part) => part !== "" && part !== ".").join("/");
  if (["/", "/dev", "/sys", "/proc"].includes(clean) || clean.startsWith("/proc/")) {
    refuse(`${option} ${whole}: nothing can be mounted on ${clean}`, "bad-mount", { value: whole, target: clean });
  }
  return clean;
}

/**
 * Reads `SOURCE:TARGET[:ro|rw]` and looks the source up.
 *
 * @throws {InputError} `bad-mount`, `mount-source-missing`.
 */
export function parseVolume(text: string): BindMount {
  const [source = "", target, access = "rw", ...rest] = text.split(":");
  if (source === "" || !target || rest.length > 0 || !["ro", "rw"].includes(access)) {
    refuse(`--volume ${text} is not SOURCE:TARGET[:ro]`, "bad-mount", { value: text }, "for example ./data:/data:ro");
  }
  const path = containerPath(target, "--volume", text);
  try {
    const real = Deno.realPathSync(source);
    return {
      kind: "bind",
      source: real,
      target: path,
      directory: Deno.statSync(real).isDirectory,
      readOnly: access === "ro",
    };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const where = source.startsWith("/") ? source : `${Deno.cwd()}/${source}`;
    refuse(`--volume ${text}: there is no ${where}`, "mount-source-missing", { source: where }, "create it first");
  }
}

const TMPFS_FLAGS = ["rw", "nosuid", "nodev", "exec", "noexec"];
const TMPFS_VALUES = /^(size|nr_blocks|nr_inodes|uid|gid)=\d+[kKmMgG%]?$|^mode=[0-7]{3,4}$/;

/**
 * Reads `TARGET[:OPTIONS]`.
 *
 * @throws {InputError} `bad-mount`.
 */
export function parseTmpfs(text: string): TmpfsMount {
  const [target = "", options = "", ...rest] = text.split(":");
  const list = options.split(",").filter((option) => option !== "");
  const wrong = rest.length > 0 || list.find((option) => !TMPFS_FLAGS.includes(option) && !TMPFS_VALUES.test(option));
  if (wrong) {
    refuse(
      `--tmpfs ${text} is not TARGET[:OPTIONS]`,
      "bad-mount",
      { value: text },
      "options are size=, mode=, uid=, gid=, nr_inodes=, exec and noexec: /run:size=16m,mode=755",
    );
  }
  return {
    kind: "tmpfs",
    target: containerPath(target, "--tmpfs", text),
    data: list.filter((option) => !TMPFS_FLAGS.includes(option)).join(","),
    executable: list.includes("exec"),
  };
}

/**
 * Reads `PATH[:TARGET]` and looks the device up.
 *
 * @throws {InputError} `bad-device`.
 */
export function parseDevice(text: string): Device {
  const [source = "", target = source, ...rest] = text.split(":");
  const bad = (why: string): never => refuse(`--device ${text}: ${why}`, "bad-device", { value: text });
  if (rest.length > 0) bad("it is not PATH[:TARGET]");
  if (!target.startsWith("/dev/") || target.split("/").includes("..")) {
    bad("the path in the container must be below /dev");
  }
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(source);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return bad(`there is no ${source}`);
  }
  return deviceOf(target, info) ?? bad(`${source} is no device`);
}

/** A device node like the one that `info` describes; undefined if that is none. */
export function deviceOf(path: string, info: Deno.FileInfo): Device | undefined {
  if (!info.isCharDevice && !info.isBlockDevice) return undefined;
  const { rdev, mode } = info;
  if (rdev === null || mode === null) return undefined;
  const number = BigInt(rdev);
  return {
    path,
    kind: info.isCharDevice ? "c" : "b",
    major: Number((number >> 8n) & 0xfffn),
    minor: Number((number & 0xffn) | ((number >> 12n) & 0xfff00n)),
    mode: mode & 0o777,
  };
}

/**
 * Reads `NAME=SOFT[:HARD]`.
 *
 * @throws {InputError} `bad-ulimit`.
 */
export function parseUlimit(text: string): Rlimit {
  const [, resource = "", soft = "", hard = soft] =
    /^([a-z]+)=(-1|unlimited|\d+)(?::(-1|unlimited|\d+))?$/.exec(text) ?? [];
  if (!Object.keys(RLIMITS).includes(resource)) {
    const names = Object.keys(RLIMITS).join(", ");
    refuse(`--ulimit ${text} is not NAME=SOFT[:HARD]`, "bad-ulimit", { value: text }, `names are ${names}`);
  }
  const number = (value: string): number => value === "unlimited" ? -1 : Number(value);
  const limit = { resource, soft: number(soft), hard: number(hard) };
  if (limit.hard >= 0 && (limit.soft < 0 || limit.soft > limit.hard)) {
    refuse(`--ulimit ${text}: the soft limit is above the hard one`, "bad-ulimit", { value: text });
  }
  return limit;
}

/**
 * Reads the lines of an environment file: `NAME=VALUE`, or `NAME` to take the caller's; empty lines and lines that
 * begin with `#` are skipped.
 *
 * @throws {InputError} `bad-env`.
 */
export function parseEnvFile(text: string): Record<string, string> {
  const lines = text.split(/\r?\n/).map((line) => line.trimStart()).filter((line) => line && !line.startsWith("#"));
  return parseEnv(lines);
}

/**
 * Reads `NAME=VALUE` words, or `NAME` to take the caller's value if it has one.
 *
 * @throws {InputError} `bad-env`.
 */
export function parseEnv(words: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const word of words) {
    const at = word.indexOf("=");
    const name = at < 0 ? word : word.slice(0, at);
    if (name === "" || /[\s\0]/.test(name)) {
      refuse(`${JSON.stringify(word)} is not NAME=VALUE`, "bad-env", { value: word });
    }
    const value = at < 0 ? Deno.env.get(name) : word.slice(at + 1);
    if (value !== undefined) env[name] = value;
  }
  return env;
}

export { parseSize };
