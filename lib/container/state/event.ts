/**
 * Event log of containers: one JSON line per event, appended to `.events`.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
import { AT_FDCWD, lock, openAt, seekEnd, statusAt, writeAll } from "../../../ffi/fs/fs.ts";
import { now } from "../../host/clock.ts";

/** An event of a container. */
export interface ContainerEvent {
  /** Time in UTC with nanoseconds: `2026-11-24T06:15:12.699123456Z`. */
  readonly time: string;
  /**
   * Kind of event: `create`, `start`, `start_failed`, `rename`, `pause`, `unpause`, `oom`, `health_status`, `die`, `destroy`.
   */
  readonly action: string;
  /** Id of the container. */
  readonly id: string;
  /** Name of the container, if it has one. */
  readonly name?: string;
  /** For `rename`: the previous name. */
  readonly oldName?: string;
  /** Image name as given by the user. */
  readonly image?: string;
  /** For `die`: the exit status. */
  readonly exitCode?: number;
  /** For `die`: the number of the signal that killed it. */
  readonly signal?: number;
  /** For `die`: whether the kernel killed one of its processes for lack of memory. */
  readonly oomKilled?: boolean;
  /** For `start_failed`: the error number of the system call that failed. */
  readonly errno?: number;
  /** For `start_failed`: the description of that error number. */
  readonly error?: string;
  /** For `health_status`: the new health status. */
  readonly health?: string;
  /** For `die`: whether no process saw the exit, and a later command recorded it. */
  readonly lost?: boolean;
}

/** Name of the event log in the directory of containers. */
export const EVENTS = ".events";

const MAX_SIZE = 1 << 20;

/** Renames the file behind `fd`, unless another process has just done so. */
function rotate(path: string, fd: number): void {
  lock(fd, "exclusive");
  if (statusAt(AT_FDCWD, path).ino === statusAt(fd).ino) Deno.renameSync(path, `${path}.1`);
}

/** Records an event of a container. Errors are ignored. */
export function recordEvent(
  containers: string,
  action: "create" | "start" | "rename" | "pause" | "unpause" | "die" | "destroy",
  { id, name, image }: Pick<ContainerEvent, "id" | "name" | "image">,
  more: Pick<ContainerEvent, "oldName" | "exitCode" | "signal" | "oomKilled" | "lost"> = {},
): void {
  const path = `${containers}/${EVENTS}`;
  const time = `${now().slice(0, -1)}000000Z`;
  const event: ContainerEvent = { time, action, id, name, image, ...more };
  const how = flags("O", "WRONLY", "APPEND", "CREAT", "NOFOLLOW", "NONBLOCK");
  try {
    using file = new Fd(openAt(AT_FDCWD, path, how, 0o600));
    writeAll(file.number, new TextEncoder().encode(JSON.stringify(event) + "\n"));
    if (seekEnd(file.number) > MAX_SIZE) rotate(path, file.number);
  } catch {
    // The event log must not fail a command.
  }
}
