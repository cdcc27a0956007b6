/**
 * Parsers of container options: volumes, tmpfs, devices, resource limits.
 *
 * @module
 */

import { RLIMITS } from "../../../ffi/program/flags.ts";
import type { DeviceRule } from "../../cgroup/devices.ts";
import { InputError, messageOf } from "../../errors.ts";
import type { BindMount, Device, Rlimit, TmpfsMount, UserMount } from "../../program/spec.ts";

function refuse(message: string, code: string, facts: Record<string, unknown>, hint?: string): never {
  throw new InputError(message, { code, facts, hint });
}

/**
 * Checks and normalizes a mount target in the container. Errors name `option` and `whole`.
 *
 * @throws {InputError} `bad-mount`.
 */
export function containerPath(path: string, option: string, whole: string): string {
  const parts = path.split("/");
  if (!path.startsWith("/") || parts.includes("..") || path.includes("\0")) {
    refuse(
      `invalid ${option} ${JSON.stringify(whole)}: the target must be absolute and without .. or NUL`,
      "bad-mount",
      {
        value: whole,
      },
    );
  }
  const clean = "/" + parts.filter((part) => part !== "" && part !== ".").join("/");
  if (["/", "/dev", "/sys", "/proc"].includes(clean) || clean.startsWith("/proc/")) {
    refuse(`invalid ${option} ${JSON.stringify(whole)}: cannot mount on ${clean}`, "bad-mount", {
      value: whole,
      target: clean,
    });
  }
  return clean;
}

function isOwn(volume: string): boolean {
  return volume.startsWith("/") && !volume.includes(":");
}

/** Returns the target of a volume as written. */
export function volumeTarget(volume: string): string {
  return isOwn(volume) ? volume : volume.split(":")[1] ?? "";
}

/** Returns the target of a tmpfs mount as written. */
export function tmpfsTarget(mount: string): string {
  return mount.split(":")[0] ?? "";
}

const MAX_NAME = 255;

/** Returns a volume of the container, whose directory is named after its target. */
function ownVolume(text: string, folder: string): BindMount {
  const target = containerPath(text, "--volume", text);
  const name = target.slice(1).replaceAll("%", "%25").replaceAll("/", "%2F");
  if (new TextEncoder().encode(name).length > MAX_NAME) {
    refuse(
      `invalid --volume ${JSON.stringify(text)}: path too long`,
      "bad-mount",
      { value: text },
      "use SOURCE:TARGET",
    );
  }
  return {
    kind: "bind",
    source: `${folder}/volumes/${name}`,
    target,
    directory: true,
    readOnly: false,
  };
}

/** Returns the volumes that are created for a container. Throws {@linkcode InputError} `bad-mount`. */
export function ownVolumes(volumes: readonly string[] = [], folder: string): BindMount[] {
  return volumes.filter(isOwn).map((text) => ownVolume(text, folder));
}

/**
 * Parses `SOURCE:TARGET[:ro|rw]` and resolves the source, or `TARGET` alone, a volume in the container's directory
 * `folder`.
 *
 * @throws {InputError} `bad-mount`, `mount-source-missing`.
 */
function parseVolume(text: string, folder: string, devices: boolean): BindMount {
  if (isOwn(text)) return ownVolume(text, folder);
  const [source = "", target, access = "rw", ...rest] = text.split(":");
  if (source === "" || !target || rest.length > 0 || !["ro", "rw"].includes(access)) {
    refuse(
      `invalid --volume ${JSON.stringify(text)}`,
      "bad-mount",
      { value: text },
      "use [SOURCE:]TARGET[:ro], such as ./data:/data:ro; name a source with a colon by a symbolic link without one",
    );
  }
  const path = containerPath(target, "--volume", text);
  try {
    const real = Deno.realPathSync(source);
    const { isDirectory, isCharDevice, isBlockDevice } = Deno.statSync(real);
    return {
      kind: "bind",
      source: real,
      target: path,
      directory: isDirectory,
      readOnly: access === "ro",
      // A device given by name is meant to be used; control groups decide which devices work.
      devices: devices || (isCharDevice ?? false) || (isBlockDevice ?? false),
    };
  } catch (error) {
    const where = source.startsWith("/") ? source : `${Deno.cwd()}/${source}`;
    if (error instanceof Deno.errors.NotFound) {
      refuse(
        `cannot mount ${where}: no such file or directory`,
        "mount-source-missing",
        { source: where },
        "create it first",
      );
    }
    return refuse(`cannot mount ${where}: ${messageOf(error)}`, "bad-mount", { source: where });
  }
}

const TMPFS_FLAGS = ["rw", "nosuid", "nodev", "exec", "noexec"];
const TMPFS_VALUES = /^(size|nr_blocks|nr_inodes|uid|gid)=\d+[kKmMgG%]?$|^mode=[0-7]{3,4}$/;

/**
 * Parses `TARGET[:OPTIONS]`.
 *
 * @throws {InputError} `bad-mount`.
 */
function parseTmpfs(text: string): TmpfsMount {
  const [target = "", options = "", ...rest] = text.split(":");
  const list = options.split(",").filter((option) => option !== "");
  const wrong = rest.length > 0 || list.find((option) => !TMPFS_FLAGS.includes(option) && !TMPFS_VALUES.test(option));
  if (wrong) {
    refuse(
      `invalid --tmpfs ${JSON.stringify(text)}`,
      "bad-mount",
      { value: text },
      "use TARGET[:OPTIONS] with size=, mode=, uid=, gid=, nr_inodes=, exec or noexec, such as /run:size=16m,mode=755",
    );
  }
  return {
    kind: "tmpfs",
    target: containerPath(target, "--tmpfs", text),
    data: list.filter((option) => !TMPFS_FLAGS.includes(option)).join(","),
    executable: list.includes("exec"),
  };
}

const ACCESS = /^(?!.*(.).*\1)[rwm]{1,3}$/;

/**
 * Parses `PATH[:TARGET][:ACCESS]` and reads the device number.
 *
 * @throws {InputError} `bad-device`.
 */
function parseDevice(text: string): Device {
  const [source = "", ...words] = text.split(":");
  const last = words.at(-1) ?? "", access = ACCESS.test(last) ? last : "rwm";
  const [target = source, ...rest] = ACCESS.test(last) ? words.slice(0, -1) : words;
  const bad = (why: string): never =>
    refuse(`invalid --device ${JSON.stringify(text)}: ${why}`, "bad-device", { value: text });
  if (rest.length > 0) bad("use PATH[:TARGET][:ACCESS], with ACCESS a combination of r, w and m");
  if (!/^\/dev\/(?!(pts|shm|mqueue)(\/|$))/.test(target) || target.split("/").includes("..")) {
    bad("the target must be below /dev, and not in /dev/pts, /dev/shm or /dev/mqueue");
  }
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(source);
  } catch (error) {
    return bad(error instanceof Deno.errors.NotFound ? `no such file: ${source}` : messageOf(error));
  }
  return deviceOf(target, info, access) ?? bad(`${source} is not a device`);
}

/** Returns the device that `info` describes; undefined if it is not a device. */
function deviceOf(path: string, info: Deno.FileInfo, access = "rwm"): Device | undefined {
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
    access,
  };
}

/**
 * Parses `TYPE MAJOR:MINOR ACCESS`, the form of `devices.allow` of cgroup v1.
 *
 * @throws {InputError} `bad-device-rule`.
 */
export function parseDeviceRule(text: string): DeviceRule {
  const [, kind, major = "", minor = "", access = ""] = /^([abc]) (\d{1,4}|\*):(\d{1,7}|\*) ([rwm]{1,3})$/.exec(text) ??
    [];
  if ((kind !== "a" && kind !== "b" && kind !== "c") || !ACCESS.test(access)) {
    refuse(
      `invalid --device-cgroup-rule ${JSON.stringify(text)}`,
      "bad-device-rule",
      { value: text },
      "use TYPE MAJOR:MINOR ACCESS with TYPE a, b or c, such as c 189:* rwm",
    );
  }
  return {
    kind,
    ...(major === "*" ? {} : { major: Number(major) }),
    ...(minor === "*" ? {} : { minor: Number(minor) }),
    access,
  };
}

const STANDARD_DEVICES = new Map([
  ["null", "1:3"],
  ["zero", "1:5"],
  ["full", "1:7"],
  ["random", "1:8"],
  ["urandom", "1:9"],
  ["tty", "5:0"],
  ["console", "5:1"],
  ["ptmx", "5:2"],
]);
const LINKS = ["fd", "stdin", "stdout", "stderr"];

/**
 * Parses devices, without those of every container; with `all`, adds every device of the host.
 *
 * @throws {InputError} `bad-device`.
 */
export function parseDevices(texts: readonly string[], all: boolean): Device[] {
  const devices = new Map<string, Device>();
  for (const text of texts) {
    const device = parseDevice(text);
    const name = device.path.slice("/dev/".length);
    const standard = STANDARD_DEVICES.get(name);
    if (LINKS.includes(name) || (standard !== undefined && standard !== `${device.major}:${device.minor}`)) {
      refuse(`invalid --device ${JSON.stringify(text)}: every container has its own ${device.path}`, "bad-device", {
        value: text,
      });
    }
    const known = devices.get(device.path);
    if (known && (known.major !== device.major || known.minor !== device.minor || known.kind !== device.kind)) {
      refuse(`invalid --device ${JSON.stringify(text)}: ${device.path} is another device already`, "bad-device", {
        value: text,
      });
    }
    devices.set(device.path, device);
  }
  for (const { name } of all ? Deno.readDirSync("/dev") : []) {
    const device = deviceOf(`/dev/${name}`, Deno.lstatSync(`/dev/${name}`));
    if (device && !devices.has(device.path)) devices.set(device.path, device);
  }
  return [...devices.values()].filter(({ path }) => !STANDARD_DEVICES.has(path.slice("/dev/".length)));
}

/**
 * Parses volumes and tmpfs mounts, in an order in which none covers another. `folder` is the container's directory; with
 * `devices`, device nodes in volumes are usable.
 *
 * @throws {InputError} `bad-mount`, `mount-source-missing`.
 */
export function parseMounts(
  volumes: readonly string[],
  tmpfs: readonly string[],
  folder: string,
  devices = false,
): UserMount[] {
  const mounts = [...volumes.map((volume) => parseVolume(volume, folder, devices)), ...tmpfs.map(parseTmpfs)];
  const targets = mounts.map((mount) => mount.target);
  const twice = targets.find((target, i) => targets.indexOf(target) !== i);
  if (twice !== undefined) refuse(`duplicate mount target ${twice}`, "bad-mount", { target: twice });
  return mounts.sort((a, b) => a.target.split("/").length - b.target.split("/").length);
}

/**
 * Parses `NAME=SOFT[:HARD]`.
 *
 * @throws {InputError} `bad-ulimit`.
 */
export function parseUlimit(text: string): Rlimit {
  const [, resource = "", soft = "", hard = soft] =
    /^([a-z]+)=(-1|unlimited|\d+)(?::(-1|unlimited|\d+))?$/.exec(text) ?? [];
  if (!Object.keys(RLIMITS).includes(resource)) {
    const names = Object.keys(RLIMITS).join(", ");
    refuse(
      `invalid --ulimit ${JSON.stringify(text)}`,
      "bad-ulimit",
      { value: text },
      `use NAME=SOFT[:HARD] with ${names}`,
    );
  }
  const number = (value: string): number => value === "unlimited" ? -1 : Number(value);
  const limit = { resource, soft: number(soft), hard: number(hard) };
  if (resource === "nofile" && limit.soft === 0) {
    refuse(`invalid --ulimit ${JSON.stringify(text)}: the command needs a descriptor`, "bad-ulimit", { value: text });
  }
  if (limit.hard >= 0 && (limit.soft < 0 || limit.soft > limit.hard)) {
    refuse(`invalid --ulimit ${JSON.stringify(text)}: the soft limit exceeds the hard limit`, "bad-ulimit", {
      value: text,
    });
  }
  return limit;
}
