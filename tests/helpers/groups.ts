/**
 * A look at the control groups of one container, whatever else lives on this machine.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type CgroupHost, type Controller, detectCgroups } from "../../lib/cgroup/host.ts";
import type { Limits } from "../../lib/cgroup/limits.ts";
import { statOf } from "../../lib/container/stats/process_usage.ts";

/** This host. */
export const host: CgroupHost = detectCgroups();

/** Every control group of a container that exists, whatever the record says. */
export function groupsOf(id: string, parent = ""): string[] {
  const paths = host.hierarchies.map(({ mount }) => `${mount}${parent && `/${parent}`}/sauropod-${id}`);
  return paths.filter((path) => {
    try {
      return Deno.statSync(path).isDirectory;
    } catch {
      return false;
    }
  });
}

/** The folder of a process's group in the hierarchy of `controller`. */
export function groupOf(pid: number, controller: Controller): string {
  const hierarchy = host.controllers.get(controller);
  if (!hierarchy) throw new Error(`${controller} is not on this host`);
  const name = hierarchy.version === 2 ? "" : hierarchy.name;
  const line = Deno.readTextFileSync(`/proc/${pid}/cgroup`).split("\n").find((line) => line.split(":")[1] === name);
  return `${hierarchy.mount}${line?.split(":").slice(2).join(":")}`;
}

/** What a file of a process's group says. The name of the file in v1, and in v2. */
export function setting(pid: number, controller: Controller, files: readonly [v1: string, v2: string]): string {
  const file = files[(host.controllers.get(controller)?.version ?? 1) - 1];
  return Deno.readTextFileSync(`${groupOf(pid, controller)}/${file}`).trim();
}

/** Whether this host has a controller. */
export function has(controller: Controller): boolean {
  return host.controllers.has(controller);
}

/** The first processor, where there is a choice: without the controller there must be one processor only. */
export function pinned(): Limits {
  if (has("cpuset")) return { cpusetCpus: "0" };
  assert.equal(navigator.hardwareConcurrency, 1);
  return {};
}

/** Seconds of CPU time that a process has used. */
export function cpuTime(pid: number): number {
  return statOf(pid)?.cpuSeconds ?? NaN;
}

/** A script whose processes hold 20 MiB of memory from when it says `up` until it is sent a line. */
export const HOLD = "exec 3<&0; dd if=/dev/zero bs=20M count=1 2>/dev/null | " +
  "{ head -c 1 >/dev/null; echo up; read end <&3; }";
