/**
 * The processes of containers: those in the pid namespace of a container's first process, and in namespaces within.
 *
 * @module
 */

import { namespaceOf, pidNamespacesOf } from "../../ffi/namespaces.ts";

/** A process, and the first process of the container that it belongs to. */
export interface Member {
  /** The number of the container's first process, as the host sees it. */
  readonly first: number;
  /** The number of the process, as the host sees it. */
  readonly pid: number;
}

/**
 * Looks through /proc once, for any number of containers, and yields each process as soon as it is seen; processes that
 * have ended but were not waited for are among them.
 *
 * @param firsts The first processes of containers, which must be alive.
 */
export function* findProcesses(firsts: Iterable<number>): Generator<Member> {
  const owners = new Map<string, number | undefined>();
  for (const first of firsts) {
    const namespace = namespaceOf(first, "pid");
    if (namespace !== undefined) owners.set(namespace, first);
  }
  if (owners.size === 0) return;
  const own = namespaceOf("self", "pid");
  if (own !== undefined) owners.set(own, undefined);
  for (const { name } of Deno.readDirSync("/proc")) {
    const pid = Number(name);
    const namespace = pid > 0 ? namespaceOf(pid, "pid") : undefined;
    if (namespace === undefined) continue;
    if (!owners.has(namespace)) owners.set(namespace, ownerOf(pid, owners));
    const first = owners.get(namespace);
    if (first !== undefined) yield { first, pid };
  }
}

/** The container in which the pid namespace of a process lies. */
function ownerOf(pid: number, owners: ReadonlyMap<string, number | undefined>): number | undefined {
  const known = pidNamespacesOf(pid).find((namespace) => owners.has(namespace));
  return known === undefined ? undefined : owners.get(known);
}

/** The numbers of a container's processes, by that of its first one. */
export function* processesOf(first: number): Generator<number> {
  for (const { pid } of findProcesses([first])) yield pid;
}
