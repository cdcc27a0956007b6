/**
 * Attaching to a detached container: its output is read from its log, so that a slow reader does not block it, and its
 * input is written to a copy of its monitor's descriptor (`pidfd_getfd(2)`).
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt } from "../../../ffi/fs/fs.ts";
import { copyDescriptor } from "../../../ffi/process/process.ts";
import { ContainerError } from "../../errors.ts";
import { findFolders, type FolderOptions } from "../../host/folders.ts";
import type { TerminalSize } from "../../program/launch_fds.ts";
import { copyLog, type LogLoss, requireLog } from "../state/log.ts";
import type { LogStream } from "../state/log_format.ts";
import { isHeld } from "../state/list.ts";
import { findContainer } from "../state/names.ts";
import { withPidfd } from "../state/process_handle.ts";
import { handle, resize, writable } from "../attached/pipes.ts";
import { statusOf } from "../state/record.ts";
import { readOwnership } from "../state/ownership.ts";
import { notRunning, requireVisibleOwner } from "../state/errors.ts";

/** A connection to a detached container. */
export interface AttachedContainer extends Disposable {
  /** Its standard input, or its terminal. Closing it only disconnects; the container's stays open. Default: closed. */
  readonly input?: WritableStream<Uint8Array>;
  /** Sets the size of its terminal. Default: it has none. */
  readonly resize?: (size: TerminalSize) => void;
}

/**
 * Passes on the output of a container from now on, until it has exited and will not be restarted. For a call before the
 * start, `begun` returns whether the container has been started, and so whether an exit counts.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `no-log`.
 */
export async function followOutput(
  container: string,
  write: (stream: LogStream, bytes: Uint8Array<ArrayBuffer>) => void,
  options: FolderOptions & { begun?: () => boolean; signal?: AbortSignal; onLoss?: (loss: LogLoss) => void } = {},
): Promise<void> {
  const { containers } = findFolders(options);
  const record = findContainer(containers, container), { id, keep } = record;
  const { begun = () => true, signal, onLoss } = options;
  const follow = (): boolean => !begun() || isHeld(containers, id);
  if (begun()) requireLog(containers, record);
  else if (!keep && record.options.logSize !== 0) {
    // The container may exit, and its log be removed with it, before the log can be opened.
    const how = flags("O", "WRONLY", "CREAT", "APPEND", "NOFOLLOW", "NONBLOCK");
    close(openAt(AT_FDCWD, `${containers}/${id}/log`, how, 0o600));
  }
  await copyLog(`${containers}/${id}`, { tail: 0, follow, signal, onLoss }, write);
}

/** Wraps the write end of a container's standard input, which this process owns: closing it is end-of-file there. */
export function attachOwn(fd: number): AttachedContainer {
  const own = handle(fd);
  return { input: writable(own), [Symbol.dispose]: own.close };
}

/**
 * Connects to the input of a running detached container.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `container-not-running`; `not-detached` for an
 * attached container.
 */
export async function attachInput(container: string, options: FolderOptions = {}): Promise<AttachedContainer> {
  const { containers } = findFolders(options);
  const record = findContainer(containers, container);
  const { id, detached } = record;
  const ownership = readOwnership(containers, id);
  requireVisibleOwner(containers, id, ownership);
  const status = statusOf(record, ownership);
  if (!ownership || (status !== "running" && status !== "restarting")) throw notRunning(id, status);
  if (!detached) {
    throw new ContainerError(`cannot attach to container ${id}: it is attached to the process that started it`, {
      code: "not-detached",
      facts: { id },
      hint: "start another command in it: sauropod exec; or start it with run --detach",
    });
  }
  const number = detached.terminal ?? detached.input;
  const fd = number === undefined
    ? undefined
    : await withPidfd(ownership.owner, (pidfd) => copyDescriptor(pidfd, number));
  if (fd === undefined) return { [Symbol.dispose]: () => {} };
  const copy = handle(fd);
  const terminal = detached.terminal === undefined ? {} : { resize: (size: TerminalSize): void => resize(copy, size) };
  return { input: writable(copy), ...terminal, [Symbol.dispose]: copy.close };
}
