/**
 * Writing down what happens with containers, a line each in `.events`.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, lock, openAt, seekEnd, statusAt, writeAll } from "../../../ffi/fs/fs.ts";
import { now } from "../../host/clock.ts";

/** Something that happened with a container. */
export interface ContainerEvent {
  /** When, in UTC with nanoseconds: `2026-11-24T06:15:12.699123456Z`. */
  readonly time: string;
  /**
   * What: `create`, `start`, `start_failed`, `rename`, `pause`, `unpause`, `oom`, `health_status`, `die`, `destroy`.
   */
  readonly action: string;
  /** The container's id. */
  readonly id: string;
  /** Its name, if it has one. */
  readonly name?: string;
  /** When it was given another name: the one before. */
  readonly oldName?: string;
  /** The image as the user wrote it. */
  readonly image?: string;
  /** When it died: its exit code. */
  readonly exitCode?: number;
  /** When it died: the number of the signal that killed it. */
  readonly signal?: number;
  /** When it died: whether the kernel killed one of its processes for lack of memory. */
  readonly oomKilled?: boolean;
  /** When it could not be started again: the error number of the system call that failed. */
  readonly errno?: number;
  /** What that means. */
  readonly error?: string;
  /** When its health has changed: whether it is well. */
  readonly health?: string;
  /** When it died: whether nobody saw it. */
  readonly lost?: boolean;
}

/** Where events are written, below the folder of containers. */
export const EVENTS = ".events";

const MAX_SIZE = 1 << 20;

/** Renames the file behind `fd`, unless another process just did. */
function rotate(path: string, fd: number): void {
  lock(fd, "exclusive");
  if (statusAt(AT_FDCWD, path).ino === statusAt(fd).ino) Deno.renameSync(path, `${path}.1`);
}

/** Writes down what happened with a container. That it cannot be written hurts nobody. */
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
    const fd = openAt(AT_FDCWD, path, how, 0o600);
    try {
      writeAll(fd, new TextEncoder().encode(JSON.stringify(event) + "\n"));
      if (seekEnd(fd) > MAX_SIZE) rotate(path, fd);
    } finally {
      close(fd);
    }
  } catch {
    // It is a help for those who look on.
  }
}
