/**
 * The processes of containers: those in the pid namespace of a container's first process, and in namespaces within.
 *
 * @module
 */

import { namespaceOf, pidNamespacesOf } from "../../../ffi/process/namespaces.ts";

/** A process, and the first process of the container that it belongs to. */
export interface Member {
  /** The number of the container's first process, as the host sees it. */
  readonly first: number;
  /** The number of the process, as the host sees it. */
  readonly pid: number;
}

/** Whose a process is: the first process of its container, `outside`, or `gone`. */
type Owner = number | "outside" | "gone";

/** Makes what says whose a process is. */
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
 * Looks through /proc once, for any number of containers, and yields each process as soon as it is seen; processes that
 * have ended but were not waited for are among them.
 *
 * @param firsts The first processes of containers, which must be alive.
 */
export function* findProcesses(firsts: readonly number[]): Generator<Member> {
  if (firsts.length === 0) return;
  const ownerOf = makeOwnerOf(firsts);
  for (const pid of allPids()) {
    const first = ownerOf(pid);
    if (typeof first === "number") yield { first, pid };
  }
}

/** The numbers of a container's processes, by that of its first one. */
export function* processesOf(first: number): Generator<number> {
  for (const { pid } of findProcesses([first])) yield pid;
}
