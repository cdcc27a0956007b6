/**
 * Mounts, control groups, links and processes that containers could leave in the test's namespaces.
 *
 * @module
 */

import assert from "node:assert/strict";

/** What containers could leave on a machine. */
export interface Machine {
  /** Mount points. */
  mounts: string[];
  /** Control groups of Sauropod's. */
  groups: string[];
  /** Network interfaces. */
  links: string[];
  /** Processes of Sauropod's shim. */
  processes: string[];
}

function lines(path: string, column: number): string[] {
  return Deno.readTextFileSync(path).trim().split("\n").map((line) => line.split(" ")[column] ?? "");
}

/** The links of this network namespace, but for the default network's bridge, which stays once it has been made. */
function links(): string[] {
  const names = [...Deno.readTextFileSync("/proc/net/dev").matchAll(/^ *([^\s:]+):/gm)].map(([, name = ""]) => name);
  return names.filter((name) => name !== "sauropod0").sort();
}

function isContainerLink(name: string): boolean {
  return name.startsWith("veth");
}

function groups(folder: string, depth: number): string[] {
  return [...Deno.readDirSync(folder)].filter(({ isDirectory }) => isDirectory).flatMap(({ name }) => {
    const path = `${folder}/${name}`;
    if (name.startsWith("sauropod-")) return [path];
    return depth > 0 ? groups(path, depth - 1) : [];
  });
}

function commandOf(pid: string): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** Looks at the machine. */
export function lookAtMachine(): Machine {
  const pids = [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((name) => /^\d+$/.test(name));
  return {
    mounts: lines("/proc/self/mountinfo", 4).sort(),
    groups: groups("/sys/fs/cgroup", 1).sort(),
    links: links().filter((name) => !isContainerLink(name)),
    processes: pids.map(commandOf).filter((command) => command.startsWith("sauropod-")).sort(),
  };
}

/** Checks that the machine is as it was. */
export function assertUnchanged(before: Machine): void {
  // The kernel takes the network of a container that has ended away soon, but not at once.
  const end = Date.now() + 60_000, clock = new Int32Array(new SharedArrayBuffer(4));
  while (links().some(isContainerLink) && Date.now() < end) Atomics.wait(clock, 0, 0, 10);
  assert.deepEqual(links().filter(isContainerLink), []);
  assert.deepEqual(lookAtMachine(), before);
}
