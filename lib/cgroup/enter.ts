/**
 * Joining a container's control groups.
 *
 * @module
 */

import { isFolder, modeOf } from "../../ffi/fs/paths.ts";
import { type GroupPlan, INNER } from "./plan.ts";

/** The ways into groups. */
export interface Ways {
  /** The v2 group, into which a process is best born: moving it there costs a grace period of the kernel (12 ms). */
  readonly born?: string;
  /** The files by which a process that has one thread moves itself into the others, by writing `0`. */
  readonly files: readonly string[];
}

/** Returns the file by which a process that has one thread moves itself into a planned group. */
export function wayInto({ version, path, inner }: GroupPlan): string {
  return `${inner?.path ?? path}/${version === 1 ? "tasks" : "cgroup.procs"}`;
}

/** Returns the ways into the groups of a container, which are there. */
export function waysInto(groups: readonly string[]): Ways {
  const places = groups.map((path) => isFolder(`${path}/${INNER}`) ? `${path}/${INNER}` : path);
  const isV1 = (place: string): boolean => modeOf(`${place}/tasks`) !== undefined;
  const born = places.find((place) => !isV1(place) && isFolder(place));
  return {
    ...(born === undefined ? {} : { born }),
    files: places.filter(isV1).map((place) => `${place}/tasks`),
  };
}
