/**
 * Connecting with a detached container: what it writes is read from its log, so that a slow reader holds nobody up, and
 * what it is to read goes to a copy of its monitor's descriptor.
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
import { refuseUnseen } from "../state/unseen.ts";

/** A connection with a detached container. */
export interface AttachedContainer extends Disposable {
  /** Its standard input, or its terminal. Closing it disconnects us, and leaves the container's open. Default: closed. */
  readonly input?: WritableStream<Uint8Array>;
  /** Sets the size of its terminal. Default: it has none. */
  readonly resize?: (size: TerminalSize) => void;
}

/**
 * Passes on what a container writes from now on, until it has ended for good; to be called before it is started, `begun`
 * says from when on an end counts.
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
    // It may have ended, and its log be gone with it, before that can be opened.
    const how = flags("O", "WRONLY", "CREAT", "APPEND", "NOFOLLOW", "NONBLOCK");
    close(openAt(AT_FDCWD, `${containers}/${id}/log`, how, 0o600));
  }
  await copyLog(`${containers}/${id}`, { tail: 0, follow, signal, onLoss }, write);
}

/** A connection with a container whose standard input is ours: closing it is the end of what the container reads. */
export function attachOwn(fd: number): AttachedContainer {
  const own = handle(fd);
  return { input: writable(own), [Symbol.dispose]: own.close };
}

/**
 * Connects with the input of a running detached container.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `container-not-running`; `not-detached` for one
 * that somebody else is connected with.
 */
export async function attachInput(container: string, options: FolderOptions = {}): Promise<AttachedContainer> {
  const { containers } = findFolders(options);
  const record = findContainer(containers, container);
  const { id, detached } = record;
  const liveness = readOwnership(containers, id);
  refuseUnseen(containers, id, liveness);
  const status = statusOf(record, liveness);
  if (!liveness || (status !== "running" && status !== "restarting")) {
    throw new ContainerError(`container ${id} is not running: it is ${status}`, {
      code: "container-not-running",
      facts: { id, status },
      hint: `sauropod start ${id}`,
    });
  }
  if (!detached) {
    throw new ContainerError(`container ${id} is connected with whoever started it`, {
      code: "not-detached",
      facts: { id },
      hint: "sauropod exec runs one more command in it; with run --detach it can be attached to",
    });
  }
  const number = detached.terminal ?? detached.input;
  const fd = number === undefined
    ? undefined
    : await withPidfd(liveness.owner, (pidfd) => copyDescriptor(pidfd, number));
  if (fd === undefined) return { [Symbol.dispose]: () => {} };
  const copy = handle(fd);
  const terminal = detached.terminal === undefined ? {} : { resize: (size: TerminalSize): void => resize(copy, size) };
  return { input: writable(copy), ...terminal, [Symbol.dispose]: copy.close };
}
