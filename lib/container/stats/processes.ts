/**
 * Processes of containers: those in the PID namespace of a container's first process, and in nested namespaces.
 *
 * @module
 */

import { namespaceOf, pidNamespacesOf } from "../../../ffi/process/namespaces.ts";

/** A process and the first process of its container. */
export interface Member {
  /** PID of the container's first process on the host. */
  readonly first: number;
  /** PID of the process on the host. */
  readonly pid: number;
}

/** Container of a process, by its first process; `outside` of all, or `gone`. */
type Owner = number | "outside" | "gone";

/** Returns a function that finds the container of a process. */
function makeOwnerOf(firsts: Iterable<number>): (pid: number) => Owner {
  const owners = new Map<string, number | "outside">();
  for (const first of firsts) {
    const namespace = namespaceOf(first, "pid");
    if (namespace !== undefined) owners.set(namespace, first);
  }
  const own = namespaceOf("self", "pid");
  if (own !== undefined) owners.set(own, "outside");
  return (pid) => {
    const namespace = namespaceOf(pid, "pid");
    if (namespace === undefined) return "gone";
    const known = owners.get(namespace);
    if (known !== undefined) return known;
    const around = pidNamespacesOf(pid).find((name) => owners.has(name));
    const owner = around === undefined ? "outside" : owners.get(around) ?? "outside";
    owners.set(namespace, owner);
    return owner;
  };
}

function* allPids(): Generator<number> {
  for (const { name } of Deno.readDirSync("/proc")) {
    const pid = Number(name);
    if (pid > 0) yield pid;
  }
}

/**
 * Scans /proc once for any number of containers, and yields each of their processes as soon as it is seen, including
 * zombies.
 *
 * @param firsts First processes of the containers, which must be alive.
 */
export function* findProcesses(firsts: readonly number[]): Generator<Member> {
  if (firsts.length === 0) return;
  const ownerOf = makeOwnerOf(firsts);
  for (const pid of allPids()) {
    const first = ownerOf(pid);
    if (typeof first === "number") yield { first, pid };
  }
}

/** Yields the PIDs of a container's processes, given that of its first. */
export function* processesOf(first: number): Generator<number> {
  for (const { pid } of findProcesses([first])) yield pid;
}
