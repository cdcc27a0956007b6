/**
 * Looking at containers that live on their own: their monitors, their logs, and what they leave.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { assertUnchanged, lookAtMachine, type Machine } from "./leftovers.ts";
import { until } from "./until.ts";
import type { World } from "./world.ts";

export { until };

/** What `inspect` tells of a container. */
export interface Inspected {
  /** Its id. */
  readonly id: string;
  /** What it is doing. */
  readonly status: string;
  /** Its name. */
  readonly name?: string;
  /** The number of its first process. */
  readonly pid?: number;
  /** Its control groups. */
  readonly cgroups?: readonly string[];
  /** What its monitor tells. */
  readonly state?: {
    readonly status: string;
    readonly restarts: number;
    readonly startedAt: string;
    readonly finishedAt?: string;
    readonly health?: string;
    readonly failures?: number;
  };
  /** How it ended. */
  readonly ended?: { readonly code: number; readonly lost?: true; readonly oomKilled?: true; readonly signal?: number };
  /** Its places on networks. */
  readonly networks?: readonly { readonly addresses: readonly string[]; readonly host: string }[];
  /** Its published ports. */
  readonly ports?: readonly { readonly hostPort: number }[];
}

/** Runs the command line, which must succeed; what it printed, without the last newline. */
export async function cli(world: World, ...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await world.cli(words);
  assert.deepEqual([code, stderr], [0, ""], words.join(" "));
  return stdout.trimEnd();
}

let next = 400_000_000 + Deno.pid * 10_000;

/** A number of seconds to sleep by which a container's process is known. */
export function marker(): string {
  return String(next++);
}

/** Starts `sauropod wait CONTAINER`; when this returns it waits, so that it hears of whatever end comes after. */
export async function startWaiting(world: World, container: string): Promise<Deno.ChildProcess> {
  const child = world.start(["wait", container]);
  // It waits for nothing but the end of a process that it has opened.
  await until("waiting", () => descriptorsOf(child.pid).values().some((path) => path === "anon_inode:[pidfd]"));
  return child;
}

/** What `inspect` tells. */
export async function inspect(world: World, container: string): Promise<Inspected> {
  const { code, stdout, stderr } = await world.cli(["inspect", container]);
  assert.equal(code, 0, stderr);
  const [found]: Inspected[] = JSON.parse(stdout);
  return found ?? assert.fail(`${container} is not there`);
}

/** What a monitor has written into the file `state` of the container `id`. */
export function stateOf(world: World, id: string): NonNullable<Inspected["state"]> & { readonly code?: number } {
  return JSON.parse(Deno.readTextFileSync(`${world.folders.containers}/${id}/state`));
}

/** The numbers in /proc. */
export function pids(): number[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((pid) => pid > 0);
}

/** The words of a process's command; none if it is gone. */
export function wordsOf(pid: number): string[] {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0").slice(0, -1);
  } catch {
    return [];
  }
}

/** The processes that have `word` among the words of their command. */
export function processesWith(word: string): number[] {
  return pids().filter((pid) => wordsOf(pid).includes(word));
}

function orNothing<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    // It has just ended, or been closed.
    return undefined;
  }
}

/** What the descriptors of a process lead to, by their number; none if it is gone. */
export function descriptorsOf(pid: number): Map<number, string> {
  const folder = `/proc/${pid}/fd`;
  const numbers = orNothing(() => [...Deno.readDirSync(folder)].map(({ name }) => Number(name))) ?? [];
  return new Map(
    numbers.flatMap((fd): [number, string][] => {
      const path = orNothing(() => Deno.readLinkSync(`${folder}/${fd}`));
      return path === undefined ? [] : [[fd, path]];
    }),
  );
}

function parentOf(pid: number): number {
  const stat = orNothing(() => Deno.readTextFileSync(`/proc/${pid}/stat`)) ?? "";
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

/** The monitors of a world's containers, of `id` only if given. */
export function monitorsOf(world: World, id = ""): number[] {
  const folder = `${world.folders.containers}/${id}`;
  const found = pids().filter((pid) =>
    wordsOf(pid)[0] === "sauropod-monitor" && descriptorsOf(pid).values().some((path) => path.startsWith(folder))
  );
  // A container's process looks like its monitor until it executes its command.
  return found.filter((pid) => !found.includes(parentOf(pid)));
}

/** Control groups of the containers `ids`. */
export function groupsOf(ids: readonly string[]): string[] {
  const folders = (path: string): string[] =>
    [...Deno.readDirSync(path)].filter(({ isDirectory }) => isDirectory).map(({ name }) => `${path}/${name}`);
  const all = ["/sys/fs/cgroup", ...folders("/sys/fs/cgroup")].flatMap(folders);
  return all.filter((path) => ids.some((id) => path.endsWith(`/sauropod-${id}`)));
}

/** What a container wrote to one of its streams, as its log has it. */
export function logged(world: World, id: string, stream: "stdout" | "stderr", files = ["log"]): Uint8Array {
  const read = (name: string): Uint8Array => Deno.readFileSync(`${world.folders.containers}/${id}/${name}`);
  const text = files.map((name) => Buffer.from(read(name)).toString("latin1")).join("");
  const parts = text.split("\n").slice(0, -1).map((line) => {
    const [, from, kind, rest = ""] =
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) ([^]*)$/.exec(line) ?? assert.fail(line);
    return from === stream ? rest + (kind === "F" ? "\n" : "") : "";
  });
  return Buffer.from(parts.join(""), "latin1");
}

/** The events of a world's containers. */
export function eventsOf(world: World): { action: string; id: string; health?: string; exitCode?: number }[] {
  return Deno.readTextFileSync(`${world.folders.containers}/.events`).trim().split("\n").map((line) =>
    JSON.parse(line)
  );
}

/** Every name below the folder of containers but those that are always there. */
export function leftIn(world: World): string[] {
  const { containers } = world.folders;
  const usual = [".live", ".lock", ".names", ".names/.lock", ".events"];
  const below = (folder: string): string[] =>
    [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
      const path = `${folder}/${name}`;
      return isDirectory ? [path, ...below(path)] : [path];
    });
  return below(containers).map((path) => path.slice(containers.length + 1)).filter((path) => !usual.includes(path))
    .sort();
}

/** What containers could leave in our namespaces. Other processes may be using Sauropod elsewhere on this machine. */
export function lookApart(): Pick<Machine, "mounts" | "links"> {
  const { mounts, links } = lookAtMachine();
  return { mounts, links };
}

/** Checks that our namespaces are as they were. */
export function assertApart(before: Pick<Machine, "mounts" | "links">): void {
  const { groups, processes } = lookAtMachine();
  assertUnchanged({ ...before, groups, processes });
}

/** The ids of all containers that a world has ever started. */
function idsOf(world: World): string[] {
  try {
    return [...new Set(eventsOf(world).map(({ id }) => id))];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Checks that nothing is left of a world's containers: files, marks, names, monitors, control groups. */
export function assertNothingLeft(world: World): void {
  assert.deepEqual([leftIn(world), monitorsOf(world), groupsOf(idsOf(world))], [[], [], []]);
}

/** Removes all containers of a world, and checks that nothing is left of them. */
export async function clear(world: World): Promise<void> {
  const { code, stderr } = await world.cli(["rm", "-f", "--all"]);
  assert.deepEqual([code, stderr], [0, ""]);
  assertNothingLeft(world);
}
